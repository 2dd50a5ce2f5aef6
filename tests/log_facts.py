"""What vLLM prints, as format strings of 37 releases, and what a person reads in each.

`tests/facts/vllm_log_formats.tsv` was read out of vLLM's source, release by release. The labels here are by hand: they
say what must be found in each format once it is filled in, or why nothing is read in it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FACTS = Path(__file__).parent / "facts" / "vllm_log_formats.tsv"
TO = "\N{EN DASH}"  # between the ends of a range
PLACE = re.compile(r"%(%|[\d.]*[sdfr])")

Told = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Fact:
    """A format string of vLLM's, and the releases that have it."""

    phase: str  # the list's own, for its order
    ranges: str  # of releases, as the list has them
    releases: tuple[str, ...]
    level: str
    text: str


def release_key(release: str) -> tuple[int, ...]:
    """For comparing: 0.10.1.1 comes after 0.9.2."""
    return tuple(int(part) for part in release.split("."))


def read_facts() -> list[Fact]:
    """All rows, each with the releases that its ranges cover."""
    rows = [line.split("\t") for line in FACTS.read_text().splitlines()[1:]]
    named = {end for _, ranges, *_ in rows for span in ranges.split(", ") for end in span.split(TO)}
    releases = sorted(named, key=release_key)
    return [
        Fact(phase, ranges.replace(TO, " - "), _covered(ranges, releases), call.partition("_once")[0], text)
        for phase, ranges, call, text in rows
    ]


def _covered(ranges: str, releases: list[str]) -> tuple[str, ...]:
    ends = [span.split(TO) for span in ranges.split(", ")]
    keys = [(release_key(span[0]), release_key(span[-1])) for span in ends]
    return tuple(name for name in releases if any(first <= release_key(name) <= last for first, last in keys))


def filled(text: str, values: tuple[str, ...]) -> str:
    """The format with these values, as vLLM would print them."""
    left = list(values)
    line = PLACE.sub(lambda place: "%" if place[1] == "%" else left.pop(0), text)
    assert not left, f"more values than places: {text}"
    return line


CONFIG = "model='m', speculative_config=SpeculativeConfig(method='eagle3', model='e', num_spec_tokens=3), tokenizer='m'"
TAG = "[backbone] "


def seconds(phase: str, value: str) -> Told:
    return {phase: {"duration_s": value}}


def model(memory_gib: str, duration_s: str) -> Told:
    return {"load_model": {"memory_gib": memory_gib, "duration_s": duration_s}}


def engine(release: str) -> Told:
    return {"version": {"version": release}, "drafter": {}}


def died(process: str, exit_code: str | None = None) -> Told:
    return {"failed": {"process": process} | ({"exit_code": exit_code} if exit_code else {})}


INIT = "init engine (profile, create kv cache, warmup model) took "
KV_LINE = "KV cache size: %s tokens, Maximum concurrency for %s tokens per request: %.2fx"
KV_TOLD: Told = {"kv_cache": {"tokens": "457,872", "max_concurrency": "111.79"}}

# format string: the values that fill it, and what must be found.
READ: dict[str, tuple[tuple[str, ...], Told]] = {
    "Initializing a V0 LLM engine (v%s) with config: %s, use_cached_outputs=%s, ": (
        ("0.8.5", CONFIG, "True"),
        engine("0.8.5"),
    ),
    "Initializing a V1 LLM engine (v%s) with config: %s": (("0.32.0", CONFIG), engine("0.32.0")),
    "vLLM API server version %s": (("0.9.2",), {"version": {"version": "0.9.2"}}),
    "vLLM gRPC server version %s": (("0.14.1",), {"version": {"version": "0.14.1"}}),
    "vLLM batch processing API version %s": (("0.33.0",), {"version": {"version": "0.33.0"}}),
    "Starting vLLM API server on http%s://%s:%d": (
        ("", "127.0.0.1", "8000"),
        {"server_starting": {"address": "http://127.0.0.1:8000"}},
    ),
    "Starting vLLM API server %d on %s": (
        ("0", "http://127.0.0.1:8000"),
        {"server_starting": {"address": "http://127.0.0.1:8000"}},
    ),
    "Starting vLLM server on %s": (
        ("unix:/tmp/vllm.sock",),
        {"server_starting": {"address": "unix:/tmp/vllm.sock"}},
    ),
    "Loading drafter model...": ((), {"drafter": {}}),
    "Time spent downloading weights for %s: %.6f seconds": (
        ("org/model", "81.204415"),
        seconds("download", "81.204415"),
    ),
    "Prefetching checkpoint files into page cache finished in %.2fs": (("9.75",), seconds("prefetch", "9.75")),
    "Deserialized %s in %0.2fs, %s/s": (
        ("16.1 GB", "6.25", "980.3 MB"),
        {
            "deserialize": {
                "size": "16.1",
                "size_unit": "GB",
                "duration_s": "6.25",
                "rate": "980.3",
                "rate_unit": "MB",
            }
        },
    ),
    "Loading model weights took %.4f GB": (("7.1694",), {"load_model": {"memory_gib": "7.1694"}}),
    "Loading model weights took %.4f GiB": (("7.1694",), {"load_model": {"memory_gib": "7.1694"}}),
    "Loading weights took %.2f seconds": (("12.77",), seconds("load_weights", "12.77")),
    "Online quantization as part of model loading took %.2f seconds": (
        ("3.20",),
        seconds("online_quantization", "3.20"),
    ),
    "Model loading took %.4f GB and %.6f seconds": (("14.9596", "16.902602"), model("14.9596", "16.902602")),
    "Model loading took %.4f GiB and %.6f seconds": (("14.9596", "16.902602"), model("14.9596", "16.902602")),
    "Model loading took %.4f GiB memory and %.6f seconds": (("14.9596", "16.902602"), model("14.9596", "16.902602")),
    "Model loading took %s GiB and %.6f seconds": (("14.96", "16.902602"), model("14.96", "16.902602")),
    "Model loading took %s GiB memory and %.6f seconds": (("15.0", "16.902602"), model("15.0", "16.902602")),
    "Dynamo bytecode transform time: %.2f s": (("7.92",), seconds("dynamo", "7.92")),
    "%sDynamo bytecode transform time: %.2f s": ((TAG, "7.92"), seconds("dynamo", "7.92")),
    "torch.compile takes %.2f s in total": (("8.94",), seconds("torch_compile", "8.94")),
    "torch.compile took %.2f s in total": (("28.76",), seconds("torch_compile", "28.76")),
    "%storch.compile took %.2f s in total": ((TAG, "28.76"), seconds("torch_compile", "28.76")),
    "torch.compile and initial profiling/warmup run together took %.2f s in total": (
        ("42.50",),
        seconds("compile_and_profiling_run", "42.50"),
    ),
    "%storch.compile and initial profiling/warmup run together took %.2f s in total": (
        (TAG, "42.50"),
        seconds("compile_and_profiling_run", "42.50"),
    ),
    "Initial profiling/warmup run took %.2f s": (("0.93",), seconds("profiling_run", "0.93")),
    "%sInitial profiling/warmup run took %.2f s": ((TAG, "0.93"), seconds("profiling_run", "0.93")),
    "Graph capturing finished in %.0f secs, took %.2f GiB": (
        ("8", "-0.25"),
        {"graph_capture": {"duration_s": "8", "memory_gib": "-0.25"}},
    ),
    "Encoder graph capturing finished in %.0f secs, took %.2f GiB (%d graphs)": (
        ("3", "0.10", "4"),
        {"encoder_graph_capture": {"duration_s": "3", "memory_gib": "0.10"}},
    ),
    "Available KV cache memory: %.2f GiB": (("55.89",), {"kv_cache": {"memory_gib": "55.89"}}),
    "Available KV cache memory: %s GiB": (("55.9",), {"kv_cache": {"memory_gib": "55.9"}}),
    "GPU KV cache size: %s tokens": (("457,872",), {"kv_cache": {"tokens": "457,872"}}),
    "Maximum concurrency for %s tokens per request: %.2fx": (
        ("4,096", "111.79"),
        {"kv_cache": {"max_concurrency": "111.79"}},
    ),
    f"GPU {KV_LINE}": (("457,872", "4,096", "111.79"), KV_TOLD),
    f"%s {KV_LINE}": (("GPU + host", "457,872", "4,096", "111.79"), KV_TOLD),
    f"{INIT}%.2f seconds": (("22.52",), seconds("init_engine", "22.52")),
    f"{INIT}%.2f s": (("51.26",), seconds("init_engine", "51.26")),
    f"{INIT}%.2f s (compilation: %.2f s)": (("51.26", "28.76"), seconds("init_engine", "51.26")),
    f"{INIT}%.2f s (compilation: %.2f s — language_model: %.2f s, encoder: %.2f s)": (
        ("51.26", "28.76", "20.00", "8.76"),
        seconds("init_engine", "51.26"),
    ),
    "EngineCore hit an exception: %s": (("Traceback",), {"failed": {}}),
    "EngineCore encountered a fatal error.": ((), {"failed": {}}),
    "EngineCore failed to start.": ((), {"failed": {}}),
    "WorkerProc hit an exception: %s": (("Traceback",), {"failed": {}}),
    "WorkerProc hit an exception.": ((), {"failed": {}}),
    "WorkerProc failed to start.": ((), {"failed": {}}),
    "Worker proc %s died unexpectedly, shutting down executor.": (("VllmWorker-1",), died("VllmWorker-1")),
    "Worker proc %s died unexpectedly (exit code: %s), shutting down executor.": (
        ("VllmWorker-1", "-9"),
        died("VllmWorker-1", "-9"),
    ),
    "Engine core proc %s died unexpectedly, shutting down client.": (("EngineCore_DP0",), died("EngineCore_DP0")),
    "RayWorkerProc rank=%s died unexpectedly, shutting down executor.": (("1",), died("rank=1")),
}

# Why nothing is read in the rest: phase of the list, words of the format, reason. The first that fits counts.
UNREAD = (
    ("version_config", "args: ", "what vLLM was told: settings, no phase"),
    ("server_ready", "Available routes are", "the server's line before it says the same"),
    ("model_start", "", "begins a stage (`stage_of`), has no number"),
    ("download", "Using model weights format", "a pattern of file names"),
    ("filesystem_prefetch", "%d%% (%d/%d)", "progress"),
    ("filesystem_prefetch", "page cache started", "begins the prefetch; its end has the time"),
    ("filesystem_prefetch", "Failed to prefetch", "a warning of one file; loading goes on"),
    (
        "filesystem_prefetch",
        "Filesystem type",
        "bench asks the host itself for the file system and the checkpoint's size",
    ),
    ("filesystem_prefetch", "", "why there is, or is no prefetch: no time"),
    ("weights_loading", "BitsAndBytes", "begins the loading; bitsandbytes prints no time"),
    ("weights_loading", "Mapped %d tensors", "a count of tensors, no time"),
    ("compile", "cache factors", "debug level: not printed by default"),
    ("compile", "skipping save", "debug level: not printed by default"),
    ("compile", "Starting torch.compile", "begins a stage (`stage_of`), has no number"),
    ("compile", "Compiling a graph", "a part of torch.compile's total, one line for each range of sizes"),
    ("compile", "from the cache, took", "a part of torch.compile's total, one line for each range of sizes"),
    ("compile", "Saved compiler manager cache", "a part of torch.compile's total"),
    ("compile", "", "what the compile cache did: the start's state, read by `host/compile_cache.py`"),
    ("compile_warm_sizes", "", "begins the run of one size, has no time"),
    ("graph_capture", "Skipping", "no graphs, so no time"),
    ("graph_capture", "CUDA graph pool memory", "graph capture's own memory again, beside an estimate"),
    ("graph_capture", "Profiling CUDA graph memory", "an estimate before the capture"),
    ("graph_capture", "Estimated CUDA graph memory", "an estimate before the capture"),
    ("graph_capture", "Encoder CUDA graph capture complete", "a count of graphs, no time"),
    ("kv_cache", "blocks: %d", "blocks, and not how many tokens are in one"),
    ("kv_cache", "num_gpu_blocks", "blocks, and not how many tokens are in one"),
    ("kv_cache", "Multiplying the GPU KV cache size", "the size that is printed next is multiplied already"),
    ("kv_cache", "CUDA graph memory profiling", "advice about a setting"),
    ("cpu", "", "begins or ends the CPU's warm-up, has no time"),
    ("sleep_wake", "", "long after the start"),
    ("failure", "Waiting for", "debug level: not printed by default"),
    ("failure", "No available shared memory", "a wait, in good starts too"),
)


def why_unread(fact: Fact) -> str | None:
    """The reason, or None where nobody has given one."""
    fits = (why for phase, words, why in UNREAD if fact.phase == phase and words in fact.text)
    return None if fact.text in READ else next(fits, None)
