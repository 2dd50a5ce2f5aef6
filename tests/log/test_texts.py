"""The table of texts: what each row finds, and what it must leave alone."""

from pathlib import Path

import pytest

from bench.log.texts.phases import RULES, stage_of
from read_lines import fields_by_phase, fields_in, read_log

LOGS = Path(__file__).parents[1] / "logs"

# What a person reads in each row's example, by the words that tell it from the others.
TOLD: dict[str, dict[str, str]] = {
    "Time spent downloading": {"duration_s": "81.204415"},
    "Prefetching checkpoint files": {"duration_s": "9.75"},
    "Deserialized": {"size": "16.1", "size_unit": "GB", "duration_s": "6.25", "rate": "2.6", "rate_unit": "GB"},
    "Loading weights took": {"duration_s": "387.56"},
    "Online quantization": {"duration_s": "3.20"},
    "Model loading took": {"memory_gib": "34.3774", "duration_s": "390.373224"},
    "Loading model weights took 7": {"memory_gib": "7.1694"},
    "Loading model weights took in total": {"memory_gib": "15.05"},
    "Loading drafter": {},
    "SpeculativeConfig": {},
    "'speculative_config'": {},
    "eagle_head": {},
    "SpecDecodeWorker": {},
    "DSpark draft model loaded": {},
    "Dynamo bytecode": {"duration_s": "7.92"},
    "torch.compile takes": {"duration_s": "8.94"},
    "torch.compile took": {"duration_s": "28.76"},
    "run together took": {"duration_s": "42.50"},
    "Initial profiling": {"duration_s": "12.77"},
    "init engine": {"duration_s": "22.52"},
    "] Graph capturing finished": {"duration_s": "10", "memory_gib": "1.01"},
    "Encoder graph capturing": {"duration_s": "3", "memory_gib": "0.10"},
    "Available KV cache memory": {"memory_gib": "55.89"},
    "the rest of the memory": {"memory_gib": "19.28"},
    "Memory profiling results": {"memory_gib": "19.11"},
    "by kv_cache_memory_bytes": {"memory_gib": "40.0"},
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
    "(v0.32.0)": {"version": "0.32.0"},
    "API server version": {"version": "0.11.0"},
    "█  version": {"version": "0.31.0"},
    "Starting vLLM server": {"address": "http://127.0.0.1:8123"},
    "EngineCore failed": {},
    "WorkerProc failed": {},
    "died unexpectedly": {"process": "VllmWorker-1", "exit_code": "-9"},
}


def test_a_rule_finds_in_its_example_what_a_person_reads_there():
    """A row carries its own test: a real line, and in it every value, under a name that ends with its unit."""
    for rule in RULES:
        told = [groups for words, groups in TOLD.items() if words in rule.example]
        found = [groups for each, groups in fields_in(rule.example) if each is rule]

        assert len(found) == 1
        assert found == told, rule


def test_a_rule_leaves_the_examples_of_the_others_alone():
    """Each line tells one thing; a row that also matched another's line would count it twice. The line with the engine's
    config tells two: which version it is, and of a drafter.
    """
    for rule in RULES:
        taken = [other.phase for other in RULES if other is not rule and rule.pattern.search(other.example)]

        assert taken == (["drafter"] if rule.phase == "version" and "LLM engine" in rule.example else []), rule


def test_a_rule_names_the_releases_that_print_it():
    """Whoever looks for a text that is missing needs to know whether this vLLM prints it at all."""
    assert [rule for rule in RULES if rule.vllm != "any" and not rule.vllm[0].isdigit()] == []


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
        ("Loading model weights took 7.1694 GB", {"load_model": {"memory_gib": "7.1694"}}),  # before 0.8.0
        (
            "Loading model weights took 7.1694 GB and 2.512345 seconds",  # 0.7.2 and 0.7.3
            {"load_model": {"memory_gib": "7.1694", "duration_s": "2.512345"}},
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
        ("GPU + host KV cache size: 4,096 tokens, Maximum", {"kv_cache": {"tokens": "4,096"}}),
        (
            "Auto set (9.3/14.71) GiB for KV cache on node 0, with 10.3 GiB requested memory for the worker.",
            {"kv_cache": {"memory_gib": "9.3"}},
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
        (
            "[RunAI Streamer] Overall time to stream 14.9 GiB of all files: 8.4s, 1.8 GiB/s",  # before it named the device
            {"stream": {"size": "14.9", "size_unit": "GiB", "duration_s": "8.4", "rate": "1.8", "rate_unit": "GiB"}},
        ),
        ("Graph capturing finished in 18 secs.", {"graph_capture": {"duration_s": "18"}}),  # 0.6
        ("BENCHMARK_READY_SECONDS=105.4873 import=33.45", {"ready": {"duration_s": "105.4873"}}),
        ("BENCHMARK_READY_SECONDS 70.24102758100003", {"ready": {"duration_s": "70.24102758100003"}}),
        ("Initializing an LLM engine (v0.6.3) with config: model='m'", {"version": {"version": "0.6.3"}}),
        ("Initializing a V0 LLM engine (v0.8.5.post1) with config: model='m'", {"version": {"version": "0.8.5.post1"}}),
        (
            "Initializing a V1 LLM engine (v0.1.dev1+g1234abc) with config: model='m'",
            {"version": {"version": "0.1.dev1+g1234abc"}},
        ),
    ],
)
def test_the_wordings_of_all_releases_tell_the_same(text, told):
    """vLLM rewords its lines from release to release; the value and its unit stay."""
    assert fields_by_phase(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "CUDA graph pool memory: 0.98 GiB (actual), 1.10 GiB (estimated), difference: 0.12 GiB (12.2%).",
        "Compiling a graph for compile range (1, 16384) takes 12.82 s",
        "Initializing model took 0.147002 seconds",
        "Directly load the compiled graph(s) for compile range (1, 16384) from the cache, took 2.598 s",
        "[RunAI Distributed Streamer] Overall time to stream 34.3 GiB of all files to cuda:0: 28.52s, 1.2 GiB/s",
        "Using VllmBackend with config: model='m', speculative_config=SpeculativeConfig(method='eagle', model='e')",
        "Initializing a V1 LLM engine with config: speculative_config=SpeculativeConfig(method='eagle', model='e')",
        "Loading weights with BitsAndBytes quantization. May take a while ...",
        "Configuring SpecDecodeWorker with proposer=<class 'vllm.spec_decode.ngram_worker.NGramWorker'>",
        "Using cache directory: /cache/5c1b/rank_0_0/backbone for vLLM's torch.compile",
        "Loading safetensors checkpoint shards: 100% Completed | 4/4 [00:12<00:00,  3.19s/it]",
        "[RunAI Streamer] Rank 0: CPU ring 17 x 1002.0 MiB = 16.6 GiB for 15.0 GiB in 4 file(s)",
        "Filesystem type for checkpoints: EXT4. Checkpoint size: 14.96 GiB. Available RAM: 123.86 GiB.",
        "Multiplying the GPU KV cache size by the dcp_world_size 2.",
        "Free memory on device (78.66/79.18 GiB) on startup. Desired GPU memory utilization is (0.92, 72.84 GiB).",
    ],
)
def test_a_line_that_only_looks_alike_tells_nothing(text):
    """Encoders, parts of a phase and estimates have lines of their own, and none is the phase's total."""
    assert fields_by_phase(text) == {}


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
    assert fields_by_phase(text) == {"load_weights": {"duration_s": "12.77"}}


def test_a_line_that_was_cut_gives_no_other_number():
    """At a terminal's width or where the log ends: a field is there as it was printed, or not at all. The seed's script
    alone ends its line with a number.
    """
    for rule in (rule for rule in RULES if rule.phase not in NUMBER_LAST):
        whole = rule.pattern.search(rule.example)
        assert whole is not None
        cut = [found for end in range(len(rule.example)) if (found := rule.pattern.search(rule.example[:end]))]
        told = [{name: value for name, value in found.groupdict().items() if value is not None} for found in cut]

        assert all(found.items() <= whole.groupdict().items() for found in told), rule


# The version is not a number that anything is compared by; the script's line ends with its number.
NUMBER_LAST = {"ready", "version", "server_starting"}


@pytest.mark.parametrize(
    "more", [lambda start: start * 20_000, lambda start: start + "1" * 500_000, lambda start: start + " " * 500_000]
)
def test_no_line_is_too_long(more):
    """Megabytes without an end, made of the row's own words: nothing in a pattern may run on and come back."""
    for rule in RULES:
        for length in range(10, len(rule.example), 25):
            found = rule.pattern.search(more(rule.example[:length]))

            assert found is None or len(found[0]) < 2_000, rule


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
        "measuring memory",
        "setting up the KV cache",
        "warming up",
        "capturing graphs",
        "starting the server",
    ]
    assert opened == sorted(opened, key=list(dict.fromkeys(opened)).index)


def test_most_lines_open_no_stage():
    """A line that says nothing about where vLLM is leaves the stage as it was."""
    assert stage_of("INFO 11-24 02:47:12 [model.py:1788] Using max model len 4096") is None
