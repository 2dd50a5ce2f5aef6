"""The table: which text of vLLM's log tells what. Each row carries its own test, a real line.

The name of a group is the field and its unit. `size` and `rate` come with the unit that was printed, in `size_unit`
and `rate_unit`. Source of the texts: vLLM's and Run:ai Model Streamer's own format strings, release by release.
"""

import re
from dataclasses import dataclass

NUMBER = r"-?\d+(?:\.\d+)?"
COUNT = r"\d[\d,]*"
UNIT = r"Bytes?|[KMGT]iB"


@dataclass(frozen=True)
class Rule:
    """A text that vLLM prints, and what it tells."""

    phase: str
    pattern: re.Pattern[str]
    example: str
    vllm: str  # the releases that print it, first to last; open: still printed in the newest known


def _rule(phase: str, pattern: str, example: str, vllm: str) -> Rule:
    return Rule(phase, re.compile(pattern), example, vllm)


RULES = (
    _rule(
        "load_weights",
        rf"Loading weights took (?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:23 [default_loader.py:308] Loading weights took 387.56 seconds",
        "0.8.0 -",
    ),
    _rule(
        "load_model",
        rf"Model loading took (?P<memory_gib>{NUMBER}) Gi?B(?: memory)? and (?P<duration_s>{NUMBER}) seconds",
        "INFO 02-15 05:15:26 [gpu_model_runner.py:3549] Model loading took 34.3774 GiB memory and 390.373224 seconds",
        "0.8.0 -",  # 0.8.0 to 0.8.2 print GB and mean GiB
    ),
    _rule(
        "torch_compile",
        rf"torch\.compile (?:takes|took) (?P<duration_s>{NUMBER}) s in total",
        "INFO 02-15 05:15:37 [monitor.py:34] torch.compile takes 8.94 s in total",
        "0.8.0 -",
    ),
    _rule(
        "init_engine",
        rf"init engine \(profile, create kv cache, warmup model\) took (?P<duration_s>{NUMBER}) s",
        "INFO 02-15 05:15:49 [core.py:254] init engine (profile, create kv cache, warmup model) took 22.52 seconds",
        "0.8.0 -",
    ),
    _rule(
        "graph_capture",
        rf"(?<!Encoder )[Gg]raph capturing finished in (?P<duration_s>{NUMBER}) secs, took (?P<memory_gib>{NUMBER}) GiB",
        "INFO 02-15 05:15:49 [gpu_model_runner.py:4466] Graph capturing finished in 10 secs, took 1.01 GiB",
        "0.8.0 -",  # whole seconds; the memory can be negative
    ),
    _rule(
        "kv_cache",
        rf"Available KV cache memory: (?P<memory_gib>{NUMBER}) GiB",
        "INFO 11-24 02:51:08 [gpu_worker.py:560] Available KV cache memory: 55.89 GiB",
        "0.9.1 -",
    ),
    _rule(
        "kv_cache",
        rf"Explicitly set \((?P<memory_gib>{NUMBER})/{NUMBER}\) GiB for KV cache",
        "INFO 11-24 02:54:00 [cpu_worker.py:260] Explicitly set (1.0/14.71) GiB for KV cache on node 0.",
        "0.32.0 -",  # seen in a CPU start of 0.32.0
    ),
    _rule(
        "kv_cache",
        rf"KV cache size: (?P<tokens>{COUNT}) tokens",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2177] GPU KV cache size: 457,872 tokens",
        "0.8.0 -",
    ),
    _rule(
        "kv_cache",
        rf"Maximum concurrency for {COUNT} tokens per request: (?P<max_concurrency>{NUMBER})x",
        "INFO 11-24 02:51:08 [kv_cache_utils.py:2178] Maximum concurrency for 4,096 tokens per request: 111.79x",
        "0.8.0 -",
    ),
    _rule(
        "stream",
        rf"\[RunAI Streamer\] Overall time to stream (?P<size>{NUMBER}) (?P<size_unit>{UNIT}) of all files to [\w:]+: "
        rf"(?P<duration_s>{NUMBER})s, (?P<rate>{NUMBER}) (?P<rate_unit>{UNIT})/s",
        "[2026-02-15 05:16:38] INFO file_streamer.py:66: [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: "
        "28.52s, 1.2 GiB/s",
        "any",  # the streamer's own line, not vLLM's
    ),
    _rule(
        "ready",
        rf"BENCHMARK_READY_SECONDS[= ](?P<duration_s>{NUMBER})",
        "BENCHMARK_READY_SECONDS=421.8885",
        "any",  # the line of the script that made the seed, and of logs recorded like it
    ),
    _rule(
        "version",
        r"Initializing a V\d LLM engine \(v(?P<version>[^)\s]+)\)",
        "INFO 11-24 02:53:47 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='tiny-tp2'",
        "0.8.0 -",
    ),
)

SERVING = "starting the server"

# What vLLM is doing from this text on, for people who wait. The first whose text is in the line counts.
STAGES = (
    ("non-default args", "reading the model's config"),
    ("Initializing a V", "starting the engine"),
    ("Starting to load model", "loading weights"),
    ("Loading model from scratch", "loading weights"),
    ("Loading weights took", "finishing the weights"),
    ("Model loading took", "profiling"),
    ("Warming up model for the compilation", "compiling"),
    ("Starting torch.compile", "compiling"),
    ("Dynamo bytecode transform time", "compiling"),
    ("Capturing CUDA graphs", "capturing graphs"),
    ("init engine (profile", SERVING),
)


def stage_of(text: str) -> str | None:
    """The stage that a line opens, or None."""
    return next((stage for marker, stage in STAGES if marker in text), None)
