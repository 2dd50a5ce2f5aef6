"""From recorded logs to numbers. Every expected value was read in the log by a person, not printed by the code."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.log.coverage import expected_phases, missing_phases
from bench.log.readings import Reading
from bench.log.server_info import ServerInfo
from bench.start.log_metrics import summarise, with_checkpoint
from bench.start.timeline import log_spans
from read_lines import read_log, read_phases

LOGS = Path(__file__).parents[1] / "logs"
CPU = "cpu-vllm0.32.0"
H100 = "h100-vllm0.26.0"


def readings_in(file: str) -> list[Reading]:
    with (LOGS / file).open("rb") as log:
        return read_phases(read_log(log))


def summary(*lines: str) -> dict[str, float]:
    return summarise(read_phases(read_log(line.encode() for line in lines)))


def all_in_one(metrics: dict[str, float]) -> dict[str, float]:
    """On a GPU with one rank the engine core is that rank: all that it says is the rank's own too."""
    return metrics | {f"rank/TP0/{name}": value for name, value in metrics.items()}


# On a CPU every rank prints its own KV cache, and the engine core, which is no rank, prints the tokens.
CPU_TP1 = {
    "memory/kv_cache_gib": 1.0,
    "rank/TP0/memory/kv_cache_gib": 1.0,
    "kv_cache/tokens": 524_288,
    "kv_cache/max_concurrency": 1024.0,
}
CPU_TP2 = {
    "memory/kv_cache_gib": 1.0,
    "rank/TP0/memory/kv_cache_gib": 1.0,
    "rank/TP1/memory/kv_cache_gib": 1.0,
    "kv_cache/tokens": 1_048_576,
    "kv_cache/max_concurrency": 2048.0,
}

EXPECTED: dict[str, dict[str, float]] = {
    f"{CPU}/auto-tp1-compile.log": CPU_TP1
    | {
        "phase/load_weights_s": 0.06,
        "rank/TP0/phase/load_weights_s": 0.06,
        "phase/init_engine_s": 41.40,
        "phase/profiling_run_s": 12.77,
        "rank/TP0/phase/profiling_run_s": 12.77,
    },
    f"{CPU}/auto-tp2.log": CPU_TP2
    | {
        "phase/load_weights_s": 0.02,
        "rank/TP0/phase/load_weights_s": 0.02,
        "phase/init_engine_s": 0.66,
    },
    f"{CPU}/dummy-tp1-eager.log": CPU_TP1 | {"phase/init_engine_s": 1.89},
    f"{CPU}/fastsafetensors-tp1-FAILED.log": {},
    # This one was started without RUNAI_STREAMER_LOG_TO_STDERR=1: the streamer said nothing.
    f"{CPU}/runai_streamer-tp1-compile.log": CPU_TP1
    | {
        "phase/init_engine_s": 25.45,
        "phase/profiling_run_s": 13.01,
        "rank/TP0/phase/profiling_run_s": 13.01,
    },
    f"{CPU}/runai_streamer-tp1-eager.log": CPU_TP1
    | {
        "phase/stream_s": 0.12,
        "stream/size_gib": pytest.approx(29.5 / 1024),
        "throughput/stream_gib_per_s": pytest.approx(250.7 / 1024),
        "phase/init_engine_s": 1.91,
    },
    f"{CPU}/runai_streamer-tp2.log": CPU_TP2
    | {
        "phase/stream_s": 0.07,
        "stream/size_gib": pytest.approx(29.5 / 1024),
        "throughput/stream_gib_per_s": pytest.approx(406.4 / 1024),
        "phase/init_engine_s": 0.61,
    },
    f"{CPU}/runai_streamer_sharded-tp2.log": CPU_TP2
    | {
        "phase/load_weights_s": 0.06,
        "rank/TP0/phase/load_weights_s": 0.06,
        "phase/stream_s": 0.06,
        "stream/size_gib": pytest.approx(14.8 / 1024),
        "throughput/stream_gib_per_s": pytest.approx(232.5 / 1024),
        "phase/init_engine_s": 0.62,
    },
    f"{CPU}/server-runai_streamer-tp1.log": CPU_TP1
    | {
        "phase/stream_s": 0.06,
        "stream/size_gib": pytest.approx(29.5 / 1024),
        "throughput/stream_gib_per_s": pytest.approx(518.0 / 1024),
        "phase/init_engine_s": 0.58,
    },
    f"{CPU}/sharded_state-tp2.log": CPU_TP2
    | {
        "phase/load_weights_s": 0.01,
        "rank/TP0/phase/load_weights_s": 0.01,
        "phase/init_engine_s": 0.96,
    },
    f"{H100}/auto-tp1-coldcache.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 12.77,
            "phase/load_model_s": 16.902602,
            "memory/load_model_gib": 14.96,
            "phase/torch_compile_s": 28.76,
            "phase/dynamo_s": 7.92,
            "phase/profiling_run_s": 0.93,
            "memory/kv_cache_gib": 55.89,
            "kv_cache/tokens": 457_872,
            "kv_cache/max_concurrency": 111.79,
            "phase/graph_capture_s": 8,
            "memory/graph_capture_gib": 0.98,
            "phase/init_engine_s": 51.26,
        }
    ),
    f"{H100}/auto-tp1-eager-then-save_sharded_state.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 4.93,
            "phase/load_model_s": 7.397421,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 22.69,
            "kv_cache/tokens": 185_840,
            "kv_cache/max_concurrency": 45.37,
            "phase/init_engine_s": 4.38,
        }
    ),
    f"{H100}/auto_cold-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 10.13,
            "phase/load_model_s": 12.899023,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 104.37,
        }
    ),
    f"{H100}/auto_warm-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 2.29,
            "phase/load_model_s": 5.051835,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 3.67,
        }
    ),
    f"{H100}/dummy-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_model_s": 3.082562,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 22.69,
            "kv_cache/tokens": 185_840,
            "kv_cache/max_concurrency": 45.37,
            "phase/init_engine_s": 142.18,
        }
    ),
    f"{H100}/dummy_TIMEOUT-in-jit-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_model_s": 3.082361,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
        }
    ),
    f"{H100}/instanttensor_cold-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 10.81,
            "phase/load_model_s": 13.054140,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_256,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 3.64,
        }
    ),
    f"{H100}/instanttensor_warm-tp1-eager.stamped.log": all_in_one(
        {
            "phase/load_weights_s": 11.04,
            "phase/load_model_s": 13.789458,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_256,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 4.08,
        }
    ),
    f"{H100}/runai_streamer-tp1-coldcache.stamped.log": all_in_one(
        {
            "phase/stream_s": 9.99,
            "stream/size_gib": 15.0,
            "throughput/stream_gib_per_s": 1.5,
            "phase/load_model_s": 13.881091,
            "memory/load_model_gib": 14.96,
            "phase/torch_compile_s": 7.81,
            "phase/dynamo_s": 4.69,
            "phase/profiling_run_s": 0.2,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
            "phase/graph_capture_s": 9,
            "memory/graph_capture_gib": 0.98,
            "phase/init_engine_s": 20.95,
        }
    ),
    f"{H100}/runai_streamer_cold-tp1-eager.stamped.log": all_in_one(
        {
            "phase/stream_s": 10.96,
            "stream/size_gib": 15.0,
            "throughput/stream_gib_per_s": 1.4,
            "phase/load_model_s": 13.856834,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 4.25,
        }
    ),
    f"{H100}/runai_streamer_sharded-tp1-coldcache.stamped.log": all_in_one(
        {
            "phase/stream_s": 9.41,
            "stream/size_gib": 15.0,
            "throughput/stream_gib_per_s": 1.6,
            "phase/load_weights_s": 9.41,
            "phase/load_model_s": 13.313152,
            "memory/load_model_gib": 14.96,
            "phase/torch_compile_s": 27.47,
            "phase/dynamo_s": 9.26,
            "phase/profiling_run_s": 0.88,
            "memory/kv_cache_gib": 55.89,
            "kv_cache/tokens": 457_872,
            "kv_cache/max_concurrency": 111.79,
            "phase/graph_capture_s": 7,
            "memory/graph_capture_gib": 0.98,
            "phase/init_engine_s": 49.98,
        }
    ),
    f"{H100}/runai_streamer_warm-tp1-eager.stamped.log": all_in_one(
        {
            "phase/stream_s": 9.01,
            "stream/size_gib": 15.0,
            "throughput/stream_gib_per_s": 1.7,
            "phase/load_model_s": 11.514999,
            "memory/load_model_gib": 14.96,
            "memory/kv_cache_gib": 55.94,
            "kv_cache/tokens": 458_272,
            "kv_cache/max_concurrency": 111.88,
            "phase/init_engine_s": 3.28,
        }
    ),
    "seed/base.log": {
        "phase/load_weights_s": 387.56,
        "rank/TP0/phase/load_weights_s": 387.56,
        "phase/load_model_s": 390.373224,
        "rank/TP0/phase/load_model_s": 390.373224,
        "memory/load_model_gib": 34.3774,
        "rank/TP0/memory/load_model_gib": 34.3774,
        "phase/torch_compile_s": 8.94,
        "rank/TP0/phase/torch_compile_s": 8.94,
        "phase/graph_capture_s": 10,
        "rank/TP0/phase/graph_capture_s": 10,
        "memory/graph_capture_gib": 1.01,
        "rank/TP0/memory/graph_capture_gib": 1.01,
        "phase/init_engine_s": 22.52,
    },
    "seed/runai_sharded.log": {
        "phase/stream_s": 28.74,
        "rank/TP0/phase/stream_s": 28.74,
        "rank/TP1/phase/stream_s": 28.52,
        "stream/size_gib": 34.3,
        "rank/TP0/stream/size_gib": 34.3,
        "rank/TP1/stream/size_gib": 34.3,
        "throughput/stream_gib_per_s": 1.2,
        "rank/TP0/throughput/stream_gib_per_s": 1.2,
        "rank/TP1/throughput/stream_gib_per_s": 1.2,
        "phase/load_weights_s": 28.75,
        "rank/TP0/phase/load_weights_s": 28.75,
        "phase/load_model_s": 31.534663,
        "rank/TP0/phase/load_model_s": 31.534663,
        "memory/load_model_gib": 34.3774,
        "rank/TP0/memory/load_model_gib": 34.3774,
        "phase/torch_compile_s": 8.95,
        "rank/TP0/phase/torch_compile_s": 8.95,
        "phase/graph_capture_s": 10,
        "rank/TP0/phase/graph_capture_s": 10,
        "memory/graph_capture_gib": 1.01,
        "rank/TP0/memory/graph_capture_gib": 1.01,
        "phase/init_engine_s": 22.70,
    },
}

READY_S = {
    f"{CPU}/auto-tp1-compile.log": 70.24102758100003,
    f"{CPU}/auto-tp2.log": 38.772381958000096,
    f"{CPU}/dummy-tp1-eager.log": 30.267375249999986,
    f"{CPU}/runai_streamer-tp1-compile.log": 53.738297105000015,
    f"{CPU}/runai_streamer-tp1-eager.log": 29.710190270999988,
    f"{CPU}/runai_streamer-tp2.log": 31.54572404800001,
    f"{CPU}/runai_streamer_sharded-tp2.log": 33.487606038000195,
    f"{CPU}/sharded_state-tp2.log": 39.43000142799974,
    f"{H100}/auto-tp1-coldcache.stamped.log": 105.4873,
    f"{H100}/auto-tp1-eager-then-save_sharded_state.stamped.log": 35.9605,
    f"{H100}/auto_cold-tp1-eager.stamped.log": 143.2929,
    f"{H100}/auto_warm-tp1-eager.stamped.log": 30.7469,
    f"{H100}/dummy-tp1-eager.stamped.log": 193.3336,
    f"{H100}/instanttensor_cold-tp1-eager.stamped.log": 39.1637,
    f"{H100}/instanttensor_warm-tp1-eager.stamped.log": 45.1949,
    f"{H100}/runai_streamer-tp1-coldcache.stamped.log": 73.7471,
    f"{H100}/runai_streamer_cold-tp1-eager.stamped.log": 43.3656,
    f"{H100}/runai_streamer_sharded-tp1-coldcache.stamped.log": 97.9844,
    f"{H100}/runai_streamer_warm-tp1-eager.stamped.log": 36.1956,
    "seed/base.log": 421.8885,
    "seed/runai_sharded.log": 62.2471,
}


@pytest.mark.parametrize("file", EXPECTED)
def test_a_recorded_log_gives_the_numbers_that_a_person_reads_in_it(file):
    """All of them, and none that the log does not tell."""
    assert summarise(readings_in(file)) == EXPECTED[file]


@pytest.mark.parametrize("file", EXPECTED)
def test_the_script_that_recorded_a_log_said_when_vllm_was_ready(file):
    """Its line is read, but it is no metric: bench's own clock is; the server's log and two starts without an end have none."""
    said = [reading.values["duration_s"] for reading in readings_in(file) if reading.phase == "ready"]

    assert said == ([READY_S[file]] if file in READY_S else [])


@pytest.mark.parametrize(("folder", "version"), [(CPU, "0.32.0"), (H100, "0.26.0"), ("seed", None)])
def test_a_log_says_which_vllm_wrote_it(folder, version):
    """The engine core prints its version with its config; the seed's excerpts have left that line out."""
    told = {
        reading.texts["version"]
        for file in EXPECTED
        if file.startswith(folder)
        for reading in readings_in(file)
        if reading.phase == "version"
    }

    assert told == ({version} if version else set())


def test_the_slowest_rank_sets_the_time():
    """Ranks load in parallel, so the start waits for the last of them; each keeps its own time besides."""
    metrics = summary(
        "(Worker_TP0 pid=7) INFO Model loading took 14.96 GiB memory and 20.500000 seconds",
        "(Worker_TP1 pid=8) INFO Model loading took 15.02 GiB memory and 31.250000 seconds",
        "(Worker_TP2 pid=9) INFO Model loading took 14.96 GiB memory and 28.000000 seconds",
    )

    assert metrics == {
        "phase/load_model_s": 31.25,
        "rank/TP0/phase/load_model_s": 20.5,
        "rank/TP1/phase/load_model_s": 31.25,
        "rank/TP2/phase/load_model_s": 28.0,
        "memory/load_model_gib": 15.02,
        "rank/TP0/memory/load_model_gib": 14.96,
        "rank/TP1/memory/load_model_gib": 15.02,
        "rank/TP2/memory/load_model_gib": 14.96,
    }


def test_the_least_rate_counts():
    """The slowest reader decides when all are ready, so a rank that was faster must not stand for them."""
    metrics = summary(
        "(Worker_TP0 pid=7) [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: 20.00s, 1.7 GiB/s",
        "(Worker_TP1 pid=8) [RunAI Streamer] Overall time to stream 34.3 GiB of all files to cpu: 28.52s, 1.2 GiB/s",
    )

    assert metrics["throughput/stream_gib_per_s"] == 1.2
    assert metrics["phase/stream_s"] == 28.52


def test_the_smallest_kv_cache_counts():
    """All ranks hold the same blocks, so the one with the least room decides how many."""
    metrics = summary(
        "(Worker_TP0 pid=7) INFO Available KV cache memory: 55.94 GiB",
        "(Worker_TP1 pid=8) INFO Available KV cache memory: 55.50 GiB",
        "(EngineCore_DP0 pid=5) INFO GPU KV cache size: 457,872 tokens",
        "(EngineCore_DP1 pid=6) INFO GPU KV cache size: 450,000 tokens",
        "(EngineCore_DP0 pid=5) INFO Maximum concurrency for 4,096 tokens per request: 111.79x",
        "(EngineCore_DP1 pid=6) INFO Maximum concurrency for 4,096 tokens per request: 109.86x",
    )

    assert metrics["memory/kv_cache_gib"] == 55.5
    assert metrics["kv_cache/tokens"] == 450_000
    assert metrics["kv_cache/max_concurrency"] == 109.86


def test_an_engine_core_that_tells_the_cache_of_each_rank_has_the_smallest():
    """To 0.11 one process prints a line for each of its ranks, and vLLM takes the least."""
    metrics = summary(
        "(EngineCore_0 pid=5) INFO GPU KV cache size: 450,000 tokens",
        "(EngineCore_0 pid=5) INFO Maximum concurrency for 4,096 tokens per request: 109.86x",
        "(EngineCore_0 pid=5) INFO GPU KV cache size: 457,872 tokens",
        "(EngineCore_0 pid=5) INFO Maximum concurrency for 4,096 tokens per request: 111.79x",
    )

    assert metrics == {"kv_cache/tokens": 450_000, "kv_cache/max_concurrency": 109.86}


def test_lines_of_the_streamer_without_a_rank_stand_for_a_rank_each():
    """They come from several ranks at once, so their times and sizes must not add up."""
    metrics = summary(
        "[RunAI Streamer] Overall time to stream 14.8 GiB of all files to cpu: 10.00s, 1.5 GiB/s",
        "[RunAI Streamer] Overall time to stream 14.8 GiB of all files to cpu: 12.00s, 1.2 GiB/s",
    )

    assert metrics == {"phase/stream_s": 12.0, "stream/size_gib": 14.8, "throughput/stream_gib_per_s": 1.2}


INIT_ENGINE = "(EngineCore pid=5) INFO [core.py:349] init engine (profile, create kv cache, warmup model) took 60.00 s"


def test_two_models_in_one_rank_add_up():
    """With speculative decoding a rank loads and compiles the drafter after the model, one after the other."""
    metrics = summary(
        DRAFTER,
        "(Worker_TP0 pid=7) INFO Loading weights took 20.50 seconds",
        "(Worker_TP0 pid=7) INFO Loading weights took 2.25 seconds",
        "(Worker_TP1 pid=8) INFO Loading weights took 18.00 seconds",
        "(Worker_TP1 pid=8) INFO Loading weights took 3.00 seconds",
        "(Worker_TP0 pid=7) INFO torch.compile took 28.50 s in total",
        "(Worker_TP0 pid=7) INFO torch.compile took 4.25 s in total",
        INIT_ENGINE,
    )

    assert metrics == {
        "phase/load_weights_s": 22.75,
        "rank/TP0/phase/load_weights_s": 22.75,
        "rank/TP1/phase/load_weights_s": 21.0,
        "phase/torch_compile_s": 32.75,
        "rank/TP0/phase/torch_compile_s": 32.75,
        "phase/init_engine_s": 60.0,
    }


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("[default_loader.py:430] Loading weights took {} seconds", "load_weights"),
        ("[gpu_model_runner.py:4879] Model loading took 1.0 GiB memory and {} seconds", "load_model"),
        ("[gpu_model_runner.py:6971] Graph capturing finished in {} secs, took 0.98 GiB", "graph_capture"),
    ],
)
def test_what_one_model_did_twice_is_not_known(line, phase):
    """Two containers in one file number their processes alike, and weights can be loaded anew. Compiling has several graphs."""
    told = [f"(EngineCore pid=7) INFO 11-24 02:47:3{number} {line.format(number)}" for number in (3, 4)]

    assert f"phase/{phase}_s" not in summary(*told)
    assert summary(*told, DRAFTER)[f"phase/{phase}_s"] == 7
    assert summary(told[0])[f"phase/{phase}_s"] == 3
    assert summary(told[0], told[1].replace("pid=7", "pid=8"))[f"phase/{phase}_s"] == 4


DRAFTER = "(Worker_TP0 pid=7) INFO 11-24 02:47:33 [gpu_model_runner.py:5120] Loading drafter model..."


def test_a_total_that_counts_on_is_not_added_twice():
    """To 0.17.1 the drafter's line has the model's time in it: 5.71 s, then 5.71 + 0.39 + 0.15."""
    metrics = summary(
        "(EngineCore_DP0 pid=5) INFO torch.compile takes 5.71 s in total",
        "(EngineCore_DP0 pid=5) INFO torch.compile takes 6.25 s in total",
        "(EngineCore_DP1 pid=6) INFO torch.compile takes 5.50 s in total",
    )

    assert metrics == {"phase/torch_compile_s": pytest.approx(6.25)}


def test_a_total_that_is_less_than_the_one_before_it_begins_anew():
    """It cannot count on from there, so it is a time of its own."""
    metrics = summary(
        "(EngineCore pid=5) INFO torch.compile takes 8.00 s in total",
        "(EngineCore pid=5) INFO torch.compile takes 2.50 s in total",
    )

    assert metrics == {"phase/torch_compile_s": 10.5}


def test_each_line_of_a_running_total_is_placed_by_what_it_adds():
    """The figure shows the drafter's half second, not the model's again."""
    readings = read_phases(
        read_log(
            [
                b"  60.000 (EngineCore_DP0 pid=5) INFO torch.compile takes 5.71 s in total",
                b"  70.000 (EngineCore_DP0 pid=5) INFO torch.compile takes 6.25 s in total",
            ]
        )
    )
    placed = log_spans([], readings, None, None)

    assert [(span.start_s, span.end_s) for span in placed] == [
        (pytest.approx(54.29), 60.0),
        (pytest.approx(69.46), 70.0),
    ]


ENGINE = "INFO 11-24 02:47:10 [core.py:61] Initializing a V1 LLM engine (v0.9.1) with config: model='m', {}, seed=0"
ONE_RANK, TWO_RANKS = (ENGINE.format(f"tensor_parallel_size={size}, pipeline_parallel_size=1") for size in (1, 2))


def test_without_names_several_lines_are_one_process_s_where_there_is_a_drafter():
    """To 0.10.0 an engine of one rank prints no name before its lines, and loads two models. Of more ranks, or nobody knows how
    many, they may be those of ranks whose names were cut off, and then each has the drafter's in it or not.
    """
    lines = ["INFO Loading weights took 20.50 seconds", "INFO Loading weights took 2.25 seconds"]
    drafter = DRAFTER.partition(") ")[2]

    assert summary(ONE_RANK, *lines, drafter) == {"phase/load_weights_s": 22.75}
    assert summary(TWO_RANKS, *lines, drafter) == {}
    assert summary(*lines, drafter) == {}
    assert summary(*lines) == {"phase/load_weights_s": 20.5}


def test_a_name_without_its_id_is_a_process():
    """Somebody took the ids away, not the names: ranks never add up, and two models in one rank do."""
    lines = [
        "({}) INFO [default_loader.py:308] Loading weights took 20.50 seconds",
        "({}) INFO [gpu_model_runner.py:5061] Loading drafter model...",
        "({}) INFO [default_loader.py:308] Loading weights took 2.25 seconds",
    ]
    quicker = [line.replace("20.50", "19.00") for line in lines]
    both = [each for pair in zip(lines, quicker, strict=True) for each in pair]

    def told(first: str, second: str) -> dict[str, float]:
        names = [first, second] * len(lines)
        return summary(*(line.format(name) for line, name in zip(both, names, strict=True)))

    slower = {"phase/load_weights_s": 22.75}
    assert told("Worker_TP0", "Worker_TP1") == slower | {
        "rank/TP0/phase/load_weights_s": 22.75,
        "rank/TP1/phase/load_weights_s": 21.25,
    }
    assert told("Worker_PP0_TP0", "Worker_PP1_TP0") == slower | {"rank/TP0/phase/load_weights_s": 22.75}
    assert told("EngineCore_DP0", "EngineCore_DP1") == slower
    assert told("Worker", "Worker") == {}


def test_the_drafter_s_part_alone_is_not_the_whole():
    """A log that begins behind the model's compiling has only what the drafter adds."""
    rank = "(Worker_TP0 pid=7) INFO 07-06 10:46:1{} "
    model = [
        rank.format(1) + "[backends.py:1148] Dynamo bytecode transform time: 6.50 s",
        rank.format(2) + "[monitor.py:53] torch.compile took 32.25 s in total",
        rank.format(3) + "[monitor.py:81] Initial profiling/warmup run took 37.10 s",
    ]
    drafter = [
        rank.format(4) + "[backends.py:1089] Using cache directory: /c/rank_0_0/eagle_head for vLLM's torch.compile",
        rank.format(5) + "[backends.py:1148] Dynamo bytecode transform time: 0.25 s",
        rank.format(6) + "[monitor.py:53] torch.compile took 6.50 s in total",
        rank.format(7) + "[monitor.py:81] Initial profiling/warmup run took 1.30 s",
    ]

    whole = summary(*model, *drafter, INIT_ENGINE)
    assert summary(*drafter, INIT_ENGINE) == {"phase/init_engine_s": 60.0}
    assert [whole[f"phase/{name}_s"] for name in ("dynamo", "torch_compile", "profiling_run")] == [6.75, 38.75, 38.4]


def test_a_log_that_ends_before_the_drafter_has_no_sums():
    """More may come, as long as nobody says that all is compiled: a number that the whole log contradicts is none."""
    lines = [
        "(EngineCore pid=7) INFO 11-24 02:47:30 [core.py:61] non-default args: {'speculative_config': {'method': 'eagle3'}}",
        "(EngineCore pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 20.50 seconds",
        "(EngineCore pid=7) INFO 11-24 02:47:32 [default_loader.py:430] Loading weights took 2.25 seconds",
        "(EngineCore pid=7) INFO 11-24 02:47:33 [monitor.py:53] torch.compile took 28.50 s in total",
        "(EngineCore pid=7) INFO 11-24 02:47:34 [monitor.py:53] torch.compile took 4.25 s in total",
        "(EngineCore pid=7) INFO 11-24 02:47:35 [gpu_worker.py:760] Available KV cache memory: 55.94 GiB",
    ]
    whole = summary(*lines)

    assert whole["phase/load_weights_s"] == 22.75
    assert whole["phase/torch_compile_s"] == 32.75
    for end in range(len(lines)):
        assert summary(*lines[:end]).items() <= whole.items()


def test_the_weights_of_one_model_of_two_are_not_those_of_both():
    """Each model that is loaded has its line: one is missing, whosever it was."""
    weights = "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took {} seconds"
    model = "(Worker_TP0 pid=7) INFO 11-24 02:47:35 [gpu_model_runner.py:4879] Model loading took 1.0 GiB memory and 50 seconds"

    assert "phase/load_weights_s" not in summary(DRAFTER, weights.format(2.25), model)
    assert summary(weights.format(2.25), model)["phase/load_weights_s"] == 2.25
    assert summary(DRAFTER, weights.format(20.5), weights.format(2.25), model)["phase/load_weights_s"] == 22.75


@pytest.mark.parametrize(
    "said",
    [
        "non-default args: {'model': 'm', 'speculative_config': {'num_speculative_tokens': 3, 'method': 'ngram'}}",
        "Initializing a V1 LLM engine (v0.32.0) with config: model='m', speculative_config=SpeculativeConfig(method='suffix', model=None",
        "Initializing a V0 LLM engine (v0.7.3) with config: model='m', speculative_config=SpeculativeConfig(draft_model='[ngram]', num_spec",
    ],
)
def test_guesses_from_what_was_said_are_no_second_model(said):
    """vLLM prints that it loads a drafter, and loads nothing."""
    weights = "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 2.25 seconds"
    model = "(Worker_TP0 pid=7) INFO 11-24 02:47:35 [gpu_model_runner.py:4879] Model loading took 1.0 GiB memory and 50 seconds"

    assert summary(said, weights, DRAFTER, model)["phase/load_weights_s"] == 2.25
    assert "phase/load_weights_s" not in summary(said, weights, DRAFTER, weights.replace("2.25", "1.5"), model)


def test_two_numbers_in_one_line_are_of_two_records():
    """Somebody took the line ends away, and the times with them: whose number is whose cannot be told."""
    line = "(Worker_TP1 pid=8) INFO Graph capturing finished in {} secs, took 1.88 GiB "

    assert summary(line.format(28) + line.format(31)) == {}
    assert summary(line.format(28) + line.format(28))["phase/graph_capture_s"] == 28


def test_the_v0_engine_names_its_drafter_s_worker():
    """It loads both models in the engine's process, which has no name."""
    told = "INFO 07-24 03:57:18 spec_decode_worker.py:141] Configuring SpecDecodeWorker with proposer=<class '{}'>"
    lines = [
        "INFO 07-24 03:57:31 model_runner.py:266] Loading model weights took 13.2500 GB",
        "INFO 07-24 03:57:33 model_runner.py:266] Loading model weights took 4.5000 GB",
    ]

    medusa = told.format("vllm.spec_decode.medusa_worker.MedusaWorker")
    others = [f"(VllmWorkerProcess pid=9) {line}" for line in lines]
    assert summary(ONE_RANK, medusa, *lines) == {"memory/load_model_gib": 17.75}
    assert summary(TWO_RANKS, medusa, *lines, *others) == {"memory/load_model_gib": 17.75}
    assert summary(TWO_RANKS, medusa, *lines) == {}
    assert summary(medusa, *lines) == {}
    alone = "INFO 07-24 03:57:34 gpu_executor.py:86] # GPU blocks: 22839, # CPU blocks: 2048"
    assert summary(medusa, *lines, alone) == {"memory/load_model_gib": 17.75}
    assert summary(medusa, *lines, alone.replace("gpu_", "multiproc_gpu_")) == {}
    assert summary(told.format("vllm.spec_decode.ngram_worker.NGramWorker"), *lines) == {"memory/load_model_gib": 13.25}


def test_a_record_that_came_twice_counts_once():
    """Ray shows what a worker prints, and what its engine shows of the same worker."""
    worker = "(RayWorkerProc pid=7) (Worker pid=7) "
    first = "INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 4.50 seconds"
    second = "INFO 11-24 02:47:33 [default_loader.py:430] Loading weights took 4.50 seconds"
    shown = f"(ServeReplica:app:Server pid=2) (EngineCore pid=3) {worker}"

    assert summary(worker + first, shown + first)["phase/load_weights_s"] == 4.5
    assert summary(worker + first, shown + first, worker + second, shown + second, DRAFTER)["phase/load_weights_s"] == 9
    assert summary(worker + first, worker.replace("7", "8") + first)["phase/load_weights_s"] == 4.5


@pytest.mark.parametrize("join", ["\n", "\r"])
@pytest.mark.parametrize("replica", ["(ServeReplica:default:LLM pid=812, ip=10.0.0.3) ", "(APIServer pid=1) ", ""])
def test_what_a_replica_prints_for_its_ranks_does_not_add_up(replica, join):
    """Ray writes its replica in front of all lines of all processes in it, and the streamer's have no name of their own."""
    streamed = "[RunAI Streamer] Overall time to stream 29.5 MiB of all files to cpu: 0.{}s, 445.1 MiB/s"
    lines = [
        "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 4.50 seconds",
        streamed.format("07"),
        streamed.format("09"),
    ]

    found = summary(*(replica + line + join for line in lines))

    assert (found["phase/stream_s"], round(found["stream/size_gib"], 4)) == (0.09, 0.0288)


def test_two_models_that_take_as_long_within_a_second_count_twice():
    """Their records are the same to the letter, and the drafter's stands behind its mark, in whatever order Ray shows them."""
    worker = "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 0.02 seconds"
    engine = "(EngineCore pid=3) "

    assert summary(worker, DRAFTER, worker)["phase/load_weights_s"] == 0.04
    for lines in (
        (worker, engine + worker, DRAFTER, engine + DRAFTER, worker, engine + worker),
        (worker, DRAFTER, engine + worker, engine + DRAFTER, worker, engine + worker),
        (worker, DRAFTER, worker, engine + worker, engine + DRAFTER, engine + worker),
    ):
        assert summary(*lines)["phase/load_weights_s"] == 0.04


def test_a_capture_that_writes_each_line_twice_tells_each_number_once():
    """Two handlers of one logger, two pipes into one file: nothing tells them apart, and nothing takes as long twice."""
    lines = [
        "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [default_loader.py:430] Loading weights took 4.50 seconds",
        "(Worker_TP0 pid=7) INFO 11-24 02:47:41 [backends.py:1155] Dynamo bytecode transform time: 7.92 s",
        "(Worker_TP0 pid=7) INFO 11-24 02:47:55 [monitor.py:53] torch.compile took 28.76 s in total",
    ]
    twice = [line for line in lines for _ in range(2)]

    assert summary(*twice) == summary(*lines) == summary(*lines, *lines)


def test_a_sum_has_no_more_digits_than_its_parts():
    """0.1 + 0.2 is no 0.30000000000000004 seconds."""
    told = "(Worker_TP0 pid=7) INFO Loading weights took {} seconds"

    assert summary(DRAFTER, told.format(25.92), told.format(5.94))["phase/load_weights_s"] == 31.86


def test_a_v0_worker_tells_its_kv_cache_among_other_sizes():
    """0.6.4 to 0.6.6. The engine takes the smallest of its ranks'."""
    told = (
        "INFO 12-13 02:10:28 worker.py:237] Memory profiling results: duration=7.88 seconds, total_gpu_memory=79.15GiB, "
        "initial_memory_usage=19.68GiB, peak_torch_memory=34.32GiB, memory_usage_post_profile=35.32GiB, "
        "non_torch_memory=1.96GiB, kv_cache_size={}GiB, gpu_memory_utilization=0.90."
    )
    metrics = summary("(VllmWorkerProcess pid=9) " + told.format(34.96), told.format(34.78))

    assert metrics == {"memory/kv_cache_gib": 34.78}


def test_a_streamer_without_names_and_with_a_drafter_is_not_guessed_at():
    """Two lines may be two ranks, which do not add up, or two models, which do."""
    stream = "[RunAI Streamer] Overall time to stream {} GiB of all files to cpu: {}s, 1.5 GiB/s"

    assert summary(DRAFTER, stream.format(14.8, 10.0), stream.format(1.5, 1.0)) == {}
    assert summary(DRAFTER, stream.format(14.8, 10.0))["phase/stream_s"] == 10.0


def test_compiling_and_the_first_run_together_are_not_the_compile_time():
    """vLLM prints them so where it does not compile ahead of the run, and what of it was compiling nobody knows."""
    line = "(Worker pid=7) INFO torch.compile and initial profiling/warmup run together took 42.50 s in total"

    assert summary(line) == {"phase/compile_and_profiling_run_s": 42.5}
    assert missing_phases(read_phases(read_log([line.encode()])), {"torch_compile"}, "0.26.0") == []


def test_what_comes_before_and_after_the_weights_has_phases_of_its_own():
    """Of the slower of two ranks each; a page cache that is filled beside the loading is no part of it."""
    metrics = summary(
        "(Worker_TP0 pid=7) INFO Time spent downloading weights for org/model: 81.204415 seconds",
        "(Worker_TP1 pid=8) INFO Time spent downloading weights for org/model: 81.500000 seconds",
        "(Worker_TP0 pid=7) INFO Prefetching checkpoint files into page cache finished in 9.75s",
        "(Worker_TP0 pid=7) INFO Online quantization as part of model loading took 3.20 seconds",
        "(Worker_TP1 pid=8) INFO Online quantization as part of model loading took 3.10 seconds",
    )

    assert {name: value for name, value in metrics.items() if name.startswith("phase/")} == {
        "phase/download_s": 81.5,
        "phase/prefetch_s": 9.75,
        "phase/online_quantization_s": 3.2,
    }


def test_tensorizer_counts_in_thousands():
    """Its GB is 1000³ bytes, other than the GB that vLLM printed for GiB."""
    metrics = summary("INFO [tensorizer.py:521] Deserialized 16.1 GB in 6.25s, 980.0 MB/s")

    assert metrics == {
        "phase/deserialize_s": 6.25,
        "deserialize/size_gib": pytest.approx(16.1e9 / 1024**3),
        "throughput/deserialize_gib_per_s": pytest.approx(980e6 / 1024**3),
    }


@pytest.mark.parametrize("line", ["Model loading took 14.5 GB and 9.0 seconds", "Loading model weights took 14.5 GB"])
def test_the_gb_of_old_releases_is_gib(line):
    """They divided by 2^30 and printed GB."""
    assert summary(line)["memory/load_model_gib"] == 14.5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(EngineCore_DP0 pid=5) (Worker_DP0_TP0 pid=7)", "(EngineCore_DP1 pid=6) (Worker_DP1_TP0 pid=8)"),
        ("(Worker_PP0_TP0 pid=7)", "(Worker_PP1_TP0 pid=8)"),
        ("(Worker_DP0_EP0 pid=7)", "(Worker_DP1_EP1 pid=8)"),
        ("(RayWorkerWrapper pid=7)", "(RayWorkerWrapper pid=7, ip=10.0.0.2)"),
    ],
    ids=["data parallel", "pipeline", "data parallel without tensor parallel", "nodes of Ray with the same pids"],
)
def test_two_processes_never_add_up(first, second):
    """Two engines of a data-parallel start, and two stages of a pipeline, load at the same time: the slower one counts."""
    metrics = summary(
        f"{first} INFO Loading weights took 10.00 seconds", f"{second} INFO Loading weights took 11.00 seconds"
    )

    assert metrics["phase/load_weights_s"] == 11.0


V2_FIRST = (
    "(Worker_TP0 pid=7) INFO 11-24 02:51:00 [model_runner.py:1128] Graph capturing finished in 3 secs, took 0.50 GiB"
)
V2_AGAIN = (
    "(Worker_TP0 pid=7) INFO 11-24 02:51:20 [model_runner.py:1128] Graph capturing finished in 8 secs, took 0.98 GiB"
)
OWN_MEMORY = "(Worker_TP0 pid=7) INFO 11-24 02:51:08 [gpu_worker.py:760] Available KV cache memory: 55.94 GiB"
OTHERS_MEMORY = "(Worker_TP1 pid=8) INFO 11-24 02:51:08 [gpu_worker.py:760] Available KV cache memory: 55.94 GiB"
CORES_CACHE = "(EngineCore pid=5) INFO 11-24 02:51:09 [kv_cache_utils.py:2328] GPU KV cache size: 457,872 tokens"


@pytest.mark.parametrize("between", [[OWN_MEMORY], [CORES_CACHE], [OWN_MEMORY, CORES_CACHE]])
def test_the_graphs_that_are_captured_after_the_kv_cache_is_known_count(between):
    """Model Runner V2 captures once before, to see what they take, and throws those away. Not every rank says its memory."""
    metrics = summary(V2_FIRST, *between, V2_AGAIN)

    assert metrics["phase/graph_capture_s"] == 8
    assert metrics["memory/graph_capture_gib"] == 0.98


@pytest.mark.parametrize("following", [[], [OTHERS_MEMORY], [OWN_MEMORY], [CORES_CACHE]])
def test_a_log_that_was_cut_before_the_second_capture_has_none(following):
    """The first is another number than the whole log's: absent is better than wrong."""
    assert "phase/graph_capture_s" not in summary(V2_FIRST, *following)
    assert "memory/graph_capture_gib" not in summary(V2_FIRST, *following)


def test_another_rank_s_memory_is_no_proof():
    """A rank may print its first capture when another knows its memory already."""
    assert "phase/graph_capture_s" not in summary(OTHERS_MEMORY, V2_FIRST)


def test_what_follows_tells_a_first_capture_whose_file_is_not_named():
    """Where the log was written by another formatter than vLLM's own."""
    nameless = V2_FIRST.replace("INFO 11-24 02:51:00 [model_runner.py:1128] ", "")

    assert "phase/graph_capture_s" not in summary(nameless, OWN_MEMORY)
    assert summary(OWN_MEMORY, nameless)["phase/graph_capture_s"] == 3


def test_another_engine_s_kv_cache_is_no_proof():
    """Engines of a data-parallel start are not in step."""
    first = V2_FIRST.replace("Worker_TP0", "Worker_DP1_TP0")
    ahead = CORES_CACHE.replace("EngineCore", "EngineCore_DP0")
    own = CORES_CACHE.replace("EngineCore pid=5", "EngineCore_DP1 pid=6")

    assert "phase/graph_capture_s" not in summary(ahead, first)
    assert summary(own, first)["phase/graph_capture_s"] == 3


def test_an_excerpt_without_a_kv_cache_line_has_its_graphs():
    """The V1 runner, in a file of another name, captures once only; so does every runner before 0.29."""
    excerpt = V2_FIRST.replace("[model_runner.py", "[gpu_model_runner.py")
    older = "(EngineCore pid=5) INFO Initializing a V1 LLM engine (v0.28.0) with config: model='m'"
    unknown = "(EngineCore pid=5) INFO Initializing a V1 LLM engine (v0.1.dev1+g1234abc) with config: model='m'"

    assert summary(excerpt)["phase/graph_capture_s"] == 3
    v0 = "INFO 07-17 23:42:00 model_runner.py:1046] Graph capturing finished in 22 secs."  # no bracket: before 0.8
    assert summary(v0) == {"phase/graph_capture_s": 22}
    assert summary(older, V2_FIRST)["phase/graph_capture_s"] == 3
    assert "phase/graph_capture_s" not in summary(unknown, V2_FIRST)


def test_the_graphs_of_a_drafter_are_added():
    """The V0 engine captures the drafter's with a runner of its own, in the same process."""
    metrics = summary(
        "INFO Initializing a V0 LLM engine (v0.8.5) with config: model='m', speculative_config=SpeculativeConfig(draft_model='d'), "
        "tensor_parallel_size=1, pipeline_parallel_size=1",
        "INFO 11-24 02:51:08 [executor_base.py:117] Maximum concurrency for 4096 tokens per request: 2.23x",
        "INFO 11-24 02:51:20 [model_runner.py:1592] Graph capturing finished in 5 secs, took 0.25 GiB",
        "INFO 11-24 02:51:30 [model_runner.py:1592] Graph capturing finished in 12 secs, took 0.50 GiB",
    )

    assert metrics["phase/graph_capture_s"] == 17
    assert metrics["memory/graph_capture_gib"] == 0.75


def test_negative_graph_memory_is_kept():
    """vLLM takes the difference of two free-memory readings, which can be below zero; to hide that would be to invent."""
    metrics = summary("(Worker_TP0 pid=7) INFO Graph capturing finished in 8 secs, took -0.25 GiB")

    assert metrics["memory/graph_capture_gib"] == -0.25


def test_what_was_not_found_is_absent():
    """Never 0: a zero would be a measurement."""
    assert summary("INFO nothing that a rule knows") == {}
    assert summary() == {}


def test_a_zero_that_was_printed_is_a_value():
    """An eager start on a small model loads in less than the two decimals that are printed."""
    assert summary("INFO Loading weights took 0.00 seconds") == {"phase/load_weights_s": 0.0}


@pytest.mark.parametrize(
    ("size", "rate", "size_gib", "gib_per_s"),
    [
        ("1 Byte", "1 Byte", 1 / 1024**3, 1 / 1024**3),
        ("512 Bytes", "256 Bytes", 512 / 1024**3, 256 / 1024**3),
        ("1.5 KiB", "0.5 KiB", 1.5 / 1024**2, 0.5 / 1024**2),
        ("29.5 MiB", "250.7 MiB", 29.5 / 1024, 250.7 / 1024),
        ("34.3 GiB", "1.2 GiB", 34.3, 1.2),
        ("1.1 TiB", "0.1 TiB", 1.1 * 1024, 0.1 * 1024),
    ],
)
def test_the_streamer_chooses_its_unit_and_bench_keeps_gib(size, rate, size_gib, gib_per_s):
    """The unit follows the value, from Bytes to TiB, and differs between the size and the rate of one line."""
    metrics = summary(f"[RunAI Streamer] Overall time to stream {size} of all files to cpu: 2.00s, {rate}/s")

    assert metrics["stream/size_gib"] == pytest.approx(size_gib)
    assert metrics["throughput/stream_gib_per_s"] == pytest.approx(gib_per_s)


def test_the_checkpoint_adds_its_size_and_how_fast_it_became_weights():
    """The one throughput that all formats with a time have alike: unique bytes over vLLM's loading time."""
    metrics = with_checkpoint({"phase/load_weights_s": 12.5}, 15.0)

    assert metrics == {
        "phase/load_weights_s": 12.5,
        "checkpoint/size_gib": 15.0,
        "throughput/load_weights_gib_per_s": 1.2,
    }


@pytest.mark.parametrize("metrics", [{}, {"phase/load_weights_s": 0.0}])
def test_without_a_loading_time_there_is_no_rate(metrics):
    """Absent or rounded down to zero, it divides nothing."""
    assert with_checkpoint(metrics, 15.0) == metrics | {"checkpoint/size_gib": 15.0}


def test_without_a_checkpoint_nothing_is_added():
    """The weights lie in a hub, or the format reads none."""
    assert with_checkpoint({"phase/load_weights_s": 12.5}, None) == {"phase/load_weights_s": 12.5}


@pytest.mark.parametrize(
    ("device", "load_format", "eager", "phases"),
    [
        (
            "cuda",
            "auto",
            False,
            {"load_weights", "load_model", "torch_compile", "graph_capture", "kv_cache", "init_engine"},
        ),
        ("cuda", "auto", True, {"load_weights", "load_model", "kv_cache", "init_engine"}),
        ("rocm", "auto", True, {"load_weights", "load_model", "kv_cache", "init_engine"}),
        ("cuda", "runai_streamer", True, {"stream", "load_model", "kv_cache", "init_engine"}),
        ("cuda", "runai_streamer_sharded", True, {"stream", "load_weights", "load_model", "kv_cache", "init_engine"}),
        ("cuda", "dummy", True, {"load_model", "kv_cache", "init_engine"}),
        ("cuda", "tensorizer", True, {"load_model", "kv_cache", "init_engine"}),
        ("cpu", "auto", False, {"load_weights", "kv_cache", "init_engine"}),
        ("cpu", "sharded_state", True, {"load_weights", "kv_cache", "init_engine"}),
        ("cpu", "dummy", True, {"kv_cache", "init_engine"}),
    ],
)
def test_a_start_is_asked_only_for_the_phases_that_its_kind_prints(device, load_format, eager, phases):
    """Some loaders never print a time, a CPU prints no model line, and an eager start compiles nothing. bench's probe shows the
    streamer's line.
    """
    info = ServerInfo(device=device, load_format=load_format, enforce_eager=eager)

    assert expected_phases(info, streamer_logs=True) == phases
    assert expected_phases(info) == phases - {"stream"}


@pytest.mark.parametrize(
    ("known", "less"),
    [
        ({"version": "0.11.2", "load_format": "sharded_state"}, {"load_weights"}),
        ({"compiles": False}, {"torch_compile"}),
        ({"captures": False}, {"graph_capture"}),
    ],
)
def test_a_measured_start_is_not_asked_for_what_its_release_and_its_config_do_not_print(known, less):
    """A text that never comes is no text that was reworded."""
    whole = {"load_weights", "load_model", "torch_compile", "graph_capture", "kv_cache", "init_engine"}
    info = ServerInfo(version="0.26.0", device="cuda", load_format="auto", enforce_eager=False)

    assert expected_phases(replace(info, **known), streamer_logs=True) == whole - less


@pytest.mark.parametrize(
    ("file", "device", "load_format", "eager", "missing"),
    [
        (f"{CPU}/auto-tp1-compile.log", "cpu", "auto", False, []),
        (f"{CPU}/auto-tp2.log", "cpu", "auto", True, []),
        (f"{CPU}/dummy-tp1-eager.log", "cpu", "dummy", True, []),
        (
            f"{CPU}/fastsafetensors-tp1-FAILED.log",
            "cpu",
            "fastsafetensors",
            True,
            ["init_engine", "kv_cache", "load_weights"],
        ),
        (f"{CPU}/runai_streamer-tp1-compile.log", "cpu", "runai_streamer", False, ["stream"]),
        (f"{CPU}/runai_streamer-tp1-eager.log", "cpu", "runai_streamer", True, []),
        (f"{CPU}/runai_streamer-tp2.log", "cpu", "runai_streamer", True, []),
        (f"{CPU}/runai_streamer_sharded-tp2.log", "cpu", "runai_streamer_sharded", True, []),
        (f"{CPU}/server-runai_streamer-tp1.log", "cpu", "runai_streamer", True, []),
        (f"{CPU}/sharded_state-tp2.log", "cpu", "sharded_state", True, []),
        (f"{H100}/auto-tp1-coldcache.stamped.log", "cuda", "auto", False, []),
        (f"{H100}/auto-tp1-eager-then-save_sharded_state.stamped.log", "cuda", "auto", True, []),
        (f"{H100}/auto_cold-tp1-eager.stamped.log", "cuda", "auto", True, []),
        (f"{H100}/auto_warm-tp1-eager.stamped.log", "cuda", "auto", True, []),
        (f"{H100}/dummy-tp1-eager.stamped.log", "cuda", "dummy", True, []),
        (f"{H100}/dummy_TIMEOUT-in-jit-tp1-eager.stamped.log", "cuda", "dummy", True, ["init_engine"]),
        (f"{H100}/instanttensor_cold-tp1-eager.stamped.log", "cuda", "instanttensor", True, []),
        (f"{H100}/instanttensor_warm-tp1-eager.stamped.log", "cuda", "instanttensor", True, []),
        (f"{H100}/runai_streamer-tp1-coldcache.stamped.log", "cuda", "runai_streamer", False, []),
        (f"{H100}/runai_streamer_cold-tp1-eager.stamped.log", "cuda", "runai_streamer", True, []),
        (f"{H100}/runai_streamer_sharded-tp1-coldcache.stamped.log", "cuda", "runai_streamer_sharded", False, []),
        (f"{H100}/runai_streamer_warm-tp1-eager.stamped.log", "cuda", "runai_streamer", True, []),
        ("seed/base.log", "cuda", "auto", False, ["kv_cache"]),  # the excerpts have left it out
        ("seed/runai_sharded.log", "cuda", "runai_streamer_sharded", False, ["kv_cache"]),
    ],
)
def test_a_good_start_misses_nothing_and_a_broken_one_says_what(file, device, load_format, eager, missing):
    """What is asked of a kind of start was checked against starts of that kind."""
    info = ServerInfo(device=device, load_format=load_format, enforce_eager=eager)
    expected = expected_phases(info, streamer_logs=True)
    warned = missing_phases(readings_in(file), expected, "1.2.3")

    assert [warning.partition("a number of ")[2].partition(":")[0] for warning in warned] == missing


def test_a_missing_phase_is_a_warning_that_names_the_phase_and_the_version():
    """Whoever reads it can look up how that vLLM words the line."""
    (warning,) = missing_phases([], {"load_weights"}, "0.99.0")

    assert "load_weights" in warning
    assert "0.99.0" in warning


def test_an_unknown_version_is_said_to_be_unknown():
    """It is never left out, and never None."""
    (warning,) = missing_phases([], {"load_weights"}, None)

    assert "version unknown" in warning
    assert "None" not in warning
