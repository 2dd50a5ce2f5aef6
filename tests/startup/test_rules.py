"""The table of texts: what each row finds, and what it must leave alone."""

from pathlib import Path

import pytest

from bench.startup.log import read_log
from bench.startup.rules import RULES, Rule, stage_of

LOGS = Path(__file__).parents[1] / "logs"

# What a person reads in each row's example, by the words that tell it from the others.
TOLD = {
    "Loading weights took": {"duration_s": "387.56"},
    "Model loading took": {"memory_gib": "34.3774", "duration_s": "390.373224"},
    "torch.compile takes": {"duration_s": "8.94"},
    "init engine": {"duration_s": "22.52"},
    "Graph capturing finished": {"duration_s": "10", "memory_gib": "1.01"},
    "Available KV cache memory": {"memory_gib": "55.89"},
    "Explicitly set": {"memory_gib": "1.0"},
    "GPU KV cache size": {"tokens": "457,872"},
    "Maximum concurrency": {"max_concurrency": "111.79"},
    "Overall time to stream": {
        "size": "34.3",
        "size_unit": "GiB",
        "duration_s": "28.52",
        "rate": "1.2",
        "rate_unit": "GiB",
    },
    "BENCHMARK_READY_SECONDS": {"duration_s": "421.8885"},
    "Initializing a V1 LLM engine": {"version": "0.32.0"},
}


def name_of(rule: Rule) -> str:
    return f"{rule.phase}-{'-'.join(rule.pattern.groupindex)}"


def found_in(text: str) -> dict[str, dict[str, str]]:
    """What all rows find in a text, by phase."""
    found: dict[str, dict[str, str]] = {}
    for rule in RULES:
        if match := rule.pattern.search(text):
            found.setdefault(rule.phase, {}).update(match.groupdict())
    return found


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_finds_in_its_example_what_a_person_reads_there(rule):
    """A row carries its own test: a real line, and in it every value, under a name that ends with its unit."""
    told = [groups for words, groups in TOLD.items() if words in rule.example]
    found = rule.pattern.search(rule.example)

    assert found is not None
    assert [found.groupdict()] == told


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_leaves_the_examples_of_the_others_alone(rule):
    """Each line tells one thing; a row that also matched another's line would count it twice."""
    taken = [other.example for other in RULES if other is not rule and rule.pattern.search(other.example)]

    assert taken == []


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_names_the_releases_that_print_it(rule):
    """Whoever looks for a text that is missing needs to know whether this vLLM prints it at all."""
    assert rule.vllm == "any" or rule.vllm[0].isdigit()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Model loading took 34.3774 GB and 390.373224 seconds",  # 0.8.0 to 0.8.2: the value is GiB
            {"load_model": {"memory_gib": "34.3774", "duration_s": "390.373224"}},
        ),
        (
            "Model loading took 14.9596 GiB and 16.902602 seconds",  # to 0.11.0, and Model Runner V2 to 0.27.1
            {"load_model": {"memory_gib": "14.9596", "duration_s": "16.902602"}},
        ),
        (
            "Model loading took 14.96 GiB memory and 16.902602 seconds",  # from 0.11.1
            {"load_model": {"memory_gib": "14.96", "duration_s": "16.902602"}},
        ),
        ("torch.compile takes 8.94 s in total", {"torch_compile": {"duration_s": "8.94"}}),  # to 0.17.1
        ("torch.compile took 28.76 s in total", {"torch_compile": {"duration_s": "28.76"}}),  # from 0.18
        ("[backbone] torch.compile took 28.76 s in total", {"torch_compile": {"duration_s": "28.76"}}),  # from 0.32
        (
            "init engine (profile, create kv cache, warmup model) took 22.52 seconds",  # to 0.19
            {"init_engine": {"duration_s": "22.52"}},
        ),
        (
            "init engine (profile, create kv cache, warmup model) took 51.26 s (compilation: 28.76 s)",  # from 0.20
            {"init_engine": {"duration_s": "51.26"}},
        ),
        (  # from 0.20, multimodal
            "init engine (profile, create kv cache, warmup model) took 51.26 s (compilation: 28.76 s — language_model: 20.00 s, encoder: 8.76 s)",
            {"init_engine": {"duration_s": "51.26"}},
        ),
        (
            "GPU KV cache size: 457,872 tokens, Maximum concurrency for 4,096 tokens per request: 111.79x",  # 0.28 and 0.29
            {"kv_cache": {"tokens": "457,872", "max_concurrency": "111.79"}},
        ),
        (
            "CPU KV cache size: 524,288 tokens, Maximum concurrency for 512 tokens per request: 1024.00x",  # from 0.30
            {"kv_cache": {"tokens": "524,288", "max_concurrency": "1024.00"}},
        ),
        ("GPU KV cache size: 976 tokens", {"kv_cache": {"tokens": "976"}}),  # too small for a thousands separator
        (
            "Graph capturing finished in 8 secs, took -0.25 GiB",
            {"graph_capture": {"duration_s": "8", "memory_gib": "-0.25"}},
        ),
        (
            "[RunAI Streamer] Overall time to stream 512 Bytes of all files to cuda:0: 0.01s, 50.0 KiB/s",
            {"stream": {"size": "512", "size_unit": "Bytes", "duration_s": "0.01", "rate": "50.0", "rate_unit": "KiB"}},
        ),
        (
            "[RunAI Streamer] Overall time to stream 1.2 TiB of all files to cpu: 300.0s, 4.1 GiB/s",
            {"stream": {"size": "1.2", "size_unit": "TiB", "duration_s": "300.0", "rate": "4.1", "rate_unit": "GiB"}},
        ),
        ("BENCHMARK_READY_SECONDS=105.4873 import=33.45", {"ready": {"duration_s": "105.4873"}}),
        ("BENCHMARK_READY_SECONDS 70.24102758100003", {"ready": {"duration_s": "70.24102758100003"}}),
        ("Initializing a V0 LLM engine (v0.8.5.post1) with config: model='m'", {"version": {"version": "0.8.5.post1"}}),
        (
            "Initializing a V1 LLM engine (v0.1.dev1+g1234abc) with config: model='m'",
            {"version": {"version": "0.1.dev1+g1234abc"}},
        ),
    ],
)
def test_the_wordings_of_all_releases_tell_the_same(text, told):
    """vLLM rewords its lines from release to release; the value and its unit stay."""
    assert found_in(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "Encoder graph capturing finished in 3 secs, took 0.10 GiB (4 graphs)",
        "CUDA graph pool memory: 0.98 GiB (actual), 1.10 GiB (estimated), difference: 0.12 GiB (12.2%).",
        "[backbone] Initial profiling/warmup run took 12.77 s",
        "Compiling a graph for compile range (1, 16384) takes 12.82 s",
        "Dynamo bytecode transform time: 7.92 s",
        "Initializing model took 0.147002 seconds",
        "Time spent downloading weights for m: 12.345678 seconds",
        "Online quantization as part of model loading took 3.20 seconds",
        "Loading weights with BitsAndBytes quantization. May take a while ...",
        "Loading safetensors checkpoint shards: 100% Completed | 4/4 [00:12<00:00,  3.19s/it]",
        "[RunAI Streamer] Rank 0: CPU ring 17 x 1002.0 MiB = 16.6 GiB for 15.0 GiB in 4 file(s)",
        "Filesystem type for checkpoints: EXT4. Checkpoint size: 14.96 GiB. Available RAM: 123.86 GiB.",
        "Multiplying the GPU KV cache size by the dcp_world_size 2.",
        "Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory utilization is (0.92, 72.84 GiB).",
    ],
)
def test_a_line_that_only_looks_alike_tells_nothing(text):
    """Encoders, parts of a phase and estimates have lines of their own, and none is the phase's total."""
    assert found_in(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "Loading shards: 100% | 4/4 [00:12<00:00](Worker pid=7) INFO 11-24 [a.py:1] Loading weights took 12.77 seconds",
        "vllm-1  | INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 12.77 seconds",
        "Nov 24 02:47:31 host vllm[812]: (Worker pid=7) INFO [default_loader.py:430] Loading weights took 12.77 seconds",
        "(RayWorkerWrapper pid=7, ip=10.0.0.2) Loading weights took 12.77 seconds [repeated 3x across cluster]",
    ],
)
def test_a_rule_looks_anywhere_in_a_line(text):
    """Progress bars, docker, journald and Ray put words of their own around vLLM's."""
    assert found_in(text) == {"load_weights": {"duration_s": "12.77"}}


def test_the_stages_of_a_start_come_in_their_order():
    """A person who waits sees what vLLM is doing, from its first words to the last phase."""
    with (LOGS / "h100-vllm0.26.0/auto-tp1-coldcache.stamped.log").open("rb") as log:
        opened = [stage for line in read_log(log) if (stage := stage_of(line.text))]

    assert list(dict.fromkeys(opened)) == [
        "reading the model's config",
        "starting the engine",
        "loading weights",
        "finishing the weights",
        "profiling",
        "compiling",
        "capturing graphs",
        "starting the server",
    ]
    assert opened == sorted(opened, key=list(dict.fromkeys(opened)).index)


def test_most_lines_open_no_stage():
    """A line that says nothing about where vLLM is leaves the stage as it was."""
    assert stage_of("INFO 11-24 02:47:12 [model.py:1788] Using max model len 4096") is None
