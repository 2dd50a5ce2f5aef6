"""`python -m bench.replay --explain`: a log's lines with what was taken from each."""

import shutil
from pathlib import Path

from bench import replay
from bench.log.recordings import LogFile, recordings_in
from bench.start.explain import explanation
from command_line import call_command

LOGS = Path(__file__).parents[1] / "logs"
SEED = LOGS / "seed" / "runai_sharded.log"
FAILED = LOGS / "cpu-vllm0.32.0" / "fastsafetensors-tp1-FAILED.log"
TP2 = LOGS / "cpu-vllm0.32.0" / "runai_streamer-tp2.log"


def explained(path: Path) -> list[str]:
    (recording,) = recordings_in(LogFile(path.name, path), None)
    return list(explanation(recording))


def taken(lines: list[str], number: int) -> list[str]:
    """What stands below the line of this number."""
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"{number:7}  "))
    end = next(at for at in range(begin + 1, len(lines)) if not lines[at].startswith("        -> "))
    return [line.removeprefix("        -> ") for line in lines[begin + 1 : end]]


def test_each_line_stands_above_what_it_tells():
    """With its number in the file. A number that another rank outdoes has the run's beside it."""
    lines = explained(SEED)

    assert lines[0] == "runai_sharded.log, start 1: lines 1 to 8"
    assert taken(lines, 1)[0] == "phase/stream_s = 28.52 of TP1 (the run has 28.74)"
    assert taken(lines, 4) == ["phase/load_model_s = 31.534663 of TP0", "memory/load_model_gib = 34.3774 of TP0"]
    assert taken(lines, 8) == ["ready_s = 62.2471", "bench.outcome = ready_offline"]
    assert "      0  other lines, from which nothing was taken" in lines


def test_params_stand_below_the_line_that_they_come_from():
    """The arguments, and the engine's config, which has resolved what they left open."""
    lines = explained(TP2)

    assert "gpu_memory_utilization = 0.2" in taken(lines, 2)
    assert {"vllm.args.dtype = bfloat16", "version.vllm = 0.32.0", "host.device = cpu"} <= set(taken(lines, 13))
    assert taken(lines, 4) == ["max_model_len = 512"]
    assert taken(lines, 44) == ["host.device = cpu", "bench.model = tiny"]
    assert "     80  other lines, from which nothing was taken" in lines  # of 93


def test_the_line_that_a_start_died_of_is_shown():
    """With the class of the reason, and what it was doing."""
    lines = explained(FAILED)

    assert taken(lines, 93) == [
        "bench.outcome = failed",
        "bench.reason_class = device_failure",
        "bench.stopped_in = loading weights",
        "bench.reason = RuntimeError: Invalid device string: 'cuda:cpu'",
    ]
    assert lines[-3:] == [
        "outcome         failed, while loading weights",
        "reason          RuntimeError: Invalid device string: 'cuda:cpu' (device_failure)",
        "coverage        unknown: it did not come up, and nobody knows how far it should have come",
    ]


def test_the_end_says_what_was_understood():
    """Of a start that came up: which phases it should tell of, and does."""
    assert explained(SEED)[-6:] == [
        "outcome         ready_offline",
        "coverage        0.50",
        "  found         init_engine",
        "  missing       kv_cache",
        "  not expected  load_weights, load_model, torch_compile, graph_capture, stream",
        "warning         the log's vLLM version is unknown: read with the rules of the newest release known",
    ]


def test_mlflow_hears_nothing_of_it(workplace):
    """Several files and starts are explained one after the other, and start=N is one of them."""
    (workplace.folder / "both.log").write_bytes(TP2.read_bytes() + FAILED.read_bytes())
    shutil.copy(SEED, workplace.folder)
    done = call_command(workplace, replay.main, "--explain", "both.log", SEED.name)
    one = call_command(workplace, replay.main, "both.log", "--explain", "start=2")

    assert [line for line in done.out.splitlines() if ", start " in line] == [
        "both.log, start 1: lines 1 to 93",
        "both.log, start 2: lines 94 to 280",
        "runai_sharded.log, start 1: lines 1 to 8",
    ]
    assert one.out.startswith("both.log, start 2: lines 94 to 280\n")
    assert (done.code, one.code, workplace.runs()) == (0, 0, [])
