"""`python -m bench.replay`: logs recorded elsewhere become runs like any other, and a start that MLflow missed is brought in."""

import gzip
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import compare, replay
from bench.errors import LogError
from command_line import call_command, run_command
from conftest import FAKE, Done, Workplace
from recorded_evidence import folders

if TYPE_CHECKING:
    from mlflow.entities import Run

LOGS = Path(__file__).parent / "logs"
SEED = LOGS / "seed"
FAILED = LOGS / "cpu-vllm0.32.0" / "fastsafetensors-tp1-FAILED.log"
STAMPED = LOGS / "h100-vllm0.26.0" / "auto-tp1-coldcache.stamped.log"
TP2 = LOGS / "cpu-vllm0.32.0" / "runai_streamer-tp2.log"
PARENT = "mlflow.parentRunId"
NOWHERE = "tracking.uri=http://127.0.0.1:1"  # where nothing listens
AWAY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def sweeps(runs: "list[Run]") -> "list[Run]":
    return [run for run in runs if run.data.tags["bench.kind"] == "sweep"]


def children(runs: "list[Run]") -> "list[Run]":
    return [run for run in runs if PARENT in run.data.tags]


def named(runs: "list[Run]", name: str) -> "Run":
    (run,) = (run for run in runs if run.info.run_name == name)
    return run


def rows(table: str) -> dict[str, str]:
    """What stands behind the title of each row."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)
    return dict(found)


def report_of(place: Workplace, sweep_id: str) -> str:
    return (place.folder / "benchmark_results" / sweep_id / "report.md").read_text()


# The seed.


@dataclass(frozen=True)
class Seed:
    """The two logs of the first result of this kind, replayed and compared."""

    place: Workplace
    replayed: Done
    compared: Done
    runs: "list[Run]"
    report: str


@pytest.fixture(scope="module")
def seed(new_workplace: Callable[[], Workplace]) -> Seed:
    place = new_workplace()
    replayed = run_command(place, "replay", str(SEED / "base.log"), str(SEED / "runai_sharded.log"))
    assert replayed.code == 0, replayed.err
    compared = run_command(place, "compare")
    assert compared.code == 0, compared.err
    runs = place.runs()
    return Seed(place, replayed, compared, runs, report_of(place, sweeps(runs)[0].data.tags["bench.sweep"]))


def test_the_seed_has_the_numbers_that_it_was_published_with(seed):
    """All eight rows of its first table, to the last digit."""
    found = rows(seed.report.partition("## Key Metrics")[2].partition("## ")[0])

    assert found == {
        "Metric": "base | runai_sharded",
        "---": "---: | ---:",
        "Wall time to model ready (s)": "421.89 | 62.25",
        "Weights loading time (s)": "387.56 | 28.75",
        "Model loading time (s)": "390.37 | 31.53",
        "Engine init time (s)": "22.52 | 22.70",
        "torch.compile total (s)": "8.94 | 8.95",
        "Graph capture time (s)": "10.00 | 10.00",
        "Model loading memory (GiB)": "34.38 | 34.38",
        "Graph capture memory (GiB)": "1.01 | 1.01",
        "Starts (n)": "1 | 1",
    }


def test_the_seed_has_the_speedups_that_it_was_published_with(seed):
    """And, other than there, how many starts they come from."""
    found = rows(seed.report.partition("## Speedups (base / runai_sharded)")[2].partition("## ")[0])

    assert found == {
        "Metric": "runai_sharded",
        "---": "---:",
        "Wall time to ready": "6.78x",
        "Weights loading": "13.48x",
        "Model loading": "12.38x",
        "Starts (n), the fewer of the two": "1",
    }


def test_the_seed_has_its_streamer_metrics(seed):
    """The best of its two ranks."""
    lines = seed.report.partition("## RunAI Streamer Metrics\n")[2].splitlines()

    assert "- Streamed size: 34.30 GiB" in lines
    assert "- Best observed stream time: 28.52 s" in lines
    assert "- Best observed throughput: 1.20 GiB/s" in lines


def test_the_seed_has_its_excerpts(seed):
    """Every line of both logs gave a number, so every line is there."""
    for name in ("base", "runai_sharded"):
        text = (SEED / f"{name}.log").read_text()

        assert f"### {name}\n```text\n{text.rstrip()}\n```" in seed.report


def test_the_report_says_that_nothing_is_known_of_how_it_was_measured(seed):
    """It was not bench that started vLLM there, and n is 1."""
    assert ", replayed " in seed.report
    assert "the state of the caches and the order of the starts are unknown" in seed.report
    assert "n = 1: there is no interval" in seed.report


def test_replayed_logs_are_one_sweep(seed):
    """A parent and a child for each file, all FINISHED."""
    (parent,) = sweeps(seed.runs)

    assert [run.data.tags[PARENT] for run in children(seed.runs)] == [parent.info.run_id] * 2
    assert {run.info.status for run in seed.runs} == {"FINISHED"}
    assert parent.data.tags["bench.points"] == "base\nrunai_sharded"
    assert parent.data.tags["bench.replayed"] == "true"


def test_a_replayed_log_is_no_start_of_bench(seed):
    """It is marked by its kind, with the file that it came from, and has no settings that anybody could have checked."""
    base = named(seed.runs, "base")

    assert base.data.tags["bench.kind"] == "replay"
    assert base.data.tags["bench.file"] == "base.log"
    assert base.data.tags["bench.point"] == "base"
    assert base.data.params == {}


def test_a_replayed_log_has_the_metrics_that_it_tells(seed):
    """With what each rank said, and its wall time from the line of the script that recorded it."""
    metrics = named(seed.runs, "runai_sharded").data.metrics

    assert metrics["ready_s"] == 62.2471
    assert metrics["rank/TP1/phase/stream_s"] == 28.52
    assert "first_token_s" not in metrics


def test_a_replayed_log_is_kept_whole(seed):
    """Byte by byte, to be read again by rules that are better than today's."""
    files = seed.place.artifacts(named(seed.runs, "base"))

    assert files["vllm.log"] == (SEED / "base.log").read_bytes()
    assert {"startup.json", "vllm_excerpts.log"} < files.keys()


def test_the_last_line_says_how_to_compare(seed):
    """A command to be copied."""
    (parent,) = sweeps(seed.runs)

    assert seed.replayed.out.splitlines() == [
        f"replayed 2 logs as sweep {parent.data.tags['bench.sweep']}",
        f"compare them:  python -m bench.compare sweep={parent.data.tags['bench.sweep']}",
    ]


# Other logs.


@pytest.fixture(scope="module")
def several(new_workplace: Callable[[], Workplace]) -> Seed:
    """A log from standard input, one of a start that failed, and two that have the same name."""
    place = new_workplace()
    for name in ("one", "two"):
        (place.folder / name).mkdir()
        shutil.copy(SEED / "base.log", place.folder / name / "serve.log")
    files = ["-", str(FAILED), "one/serve.log", "two/serve.log"]
    replayed = call_command(place, replay.main, *files, stdin=STAMPED.read_bytes())
    assert replayed.code == 0, replayed.err
    compared = call_command(place, compare.main)
    assert compared.code == 0, compared.err
    runs = place.runs()
    return Seed(place, replayed, compared, runs, report_of(place, sweeps(runs)[0].data.tags["bench.sweep"]))


def test_a_dash_is_standard_input(several):
    """So that a log can come through a pipe, from kubectl or ssh."""
    metrics = named(several.runs, "stdin").data.metrics

    assert metrics["ready_s"] == 105.4873
    assert metrics["phase/torch_compile_s"] == 28.76


def test_a_log_says_which_vllm_wrote_it(several):
    """A tag, as of a start of bench's own."""
    assert named(several.runs, "stdin").data.tags["version.vllm"] == "0.26.0"


def test_a_log_says_with_which_arguments_it_was_started(several):
    """As params, under the names of a measured start's; the model and the device as tags."""
    run = named(several.runs, "stdin")

    assert run.data.params == {
        "load_format": "auto",
        "tensor_parallel_size": "1",
        "max_model_len": "4096",
        "gpu_memory_utilization": "0.92",
        "vllm.args.pipeline_parallel_size": "1",
        "vllm.args.data_parallel_size": "1",
        "vllm.args.dtype": "bfloat16",
        "vllm.args.enforce_eager": "False",
    }
    assert run.data.tags["host.device"] == "cuda"
    assert run.data.tags["bench.model"] == "models/base"


def test_a_log_says_how_its_start_ended(several):
    """An `LLM()` came up; the failed one has the class of its reason, and what it was doing."""
    failed = named(several.runs, FAILED.stem).data.tags

    assert named(several.runs, "stdin").data.tags["bench.outcome"] == "ready_offline"
    assert failed["bench.outcome"] == "failed"
    assert failed["bench.reason_class"] == "device_failure"
    assert failed["bench.stopped_in"] == "loading weights"


def test_a_log_has_a_figure_of_how_much_of_it_was_understood(several):
    """All that the whole one should tell of is there; of an excerpt half, with a warning; of a failed one nobody knows."""
    excerpt = named(several.runs, "one/serve.log").data

    assert named(several.runs, "stdin").data.metrics["log/coverage"] == 1
    assert "bench.warnings" not in named(several.runs, "stdin").data.tags
    assert excerpt.metrics["log/coverage"] == 0.5
    assert "has a number of kv_cache" in excerpt.tags["bench.warnings"]
    assert "the log's vLLM version is unknown" in excerpt.tags["bench.warnings"]
    assert "log/coverage" not in named(several.runs, FAILED.stem).data.metrics


def test_a_log_with_stamps_has_a_figure_and_one_without_has_none(several):
    """Without them nothing can be placed in time."""
    assert "phases.png" in several.place.artifacts(named(several.runs, "stdin"))
    assert "phases.png" not in several.place.artifacts(named(several.runs, "one/serve.log"))


def test_the_log_of_a_failed_start_is_a_failed_run(several):
    """With the reason in vLLM's words, in its tags and in the report, and without a time that it did not reach."""
    failed = named(several.runs, FAILED.stem)

    assert failed.info.status == "FAILED"
    assert failed.data.tags["bench.reason"] == "RuntimeError: Invalid device string: 'cuda:cpu'"
    assert "ready_s" not in failed.data.metrics
    assert f"| {FAILED.stem} | RuntimeError: Invalid device string: 'cuda:cpu' |" in several.report


def test_files_of_the_same_name_are_told_apart_by_their_paths(several):
    """Two hosts' logs are both called serve.log: each is a run, and a column."""
    names = {run.info.run_name for run in children(several.runs)}

    assert {"one/serve.log", "two/serve.log"} < names
    assert "| Metric | stdin | one/serve.log | two/serve.log |" in several.report


@pytest.mark.parametrize("where", ["{place}", ".", "../{place.name}"])
def test_files_of_the_same_name_can_be_given_by_any_path(where, workplace):
    """A shell's completion and globs make all sorts of them; each is a label, and part of a metric's name."""
    for name in ("one", "two"):
        (workplace.folder / name).mkdir()
        shutil.copy(SEED / "base.log", workplace.folder / name / "serve.log")
    folder = where.format(place=workplace.folder)
    replayed = call_command(workplace, replay.main, *(f"{folder}/{name}/serve.log" for name in ("one", "two")))
    compared = call_command(workplace, compare.main)

    assert (replayed.code, compared.code, compared.err) == (0, 0, "")


def test_a_file_that_is_given_twice_is_one_run(workplace):
    """And is said to be one."""
    done = call_command(workplace, replay.main, str(SEED / "base.log"), str(SEED / "base.log"))

    assert done.out.startswith("replayed 1 log as sweep ")
    assert len(children(workplace.runs())) == 1


def test_a_log_may_be_called_anything(workplace):
    """Its name is the figure's title."""
    shutil.copy(STAMPED, workplace.folder / "a $x^$ b.log")
    done = call_command(workplace, replay.main, "a $x^$ b.log")

    assert done.code == 0


def test_a_log_that_just_ends_is_no_start_that_finished(workplace):
    """The recorded one sat in a JIT until its time was over: it would make any candidate look fast."""
    log = LOGS / "h100-vllm0.26.0" / "dummy_TIMEOUT-in-jit-tp1-eager.stamped.log"
    call_command(workplace, replay.main, str(log))
    (run,) = children(workplace.runs())

    assert run.info.status == "FAILED"
    assert run.data.tags["bench.reason"] == "the log ends before the engine was ready"
    assert run.data.tags["bench.outcome"] == "incomplete"
    assert run.data.tags["bench.stopped_in"] == "warming up"


# Several starts in a file, packed files, patterns.


@pytest.fixture(scope="module")
def many(new_workplace: Callable[[], Workplace]) -> Seed:
    """Three logs that a pattern means: two starts in one, a packed one, and the failed one, compared."""
    place = new_workplace()
    (place.folder / "logs").mkdir()
    (place.folder / "logs" / "twice.log").write_bytes(
        (TP2.read_bytes() + b"\n" + STAMPED.read_bytes()).replace(b"\r", b"")
    )
    (place.folder / "logs" / "packed.log.gz").write_bytes(gzip.compress(TP2.read_bytes()))
    shutil.copy(FAILED, place.folder / "logs")
    replayed = call_command(place, replay.main, "logs/*")
    assert replayed.code == 0, replayed.err
    compared = call_command(place, compare.main)
    assert compared.code == 0, compared.err
    runs = place.runs()
    return Seed(place, replayed, compared, runs, report_of(place, sweeps(runs)[0].data.tags["bench.sweep"]))


def test_each_start_in_a_file_is_a_run(many):
    """Named after its file, with its number; all of them are one sweep."""
    assert {run.info.run_name for run in children(many.runs)} == {
        "twice start 1", "twice start 2", "packed", FAILED.stem
    }  # fmt: skip
    assert len(sweeps(many.runs)) == 1
    assert many.replayed.out.startswith("replayed 4 starts of 3 logs as sweep ")


def test_a_start_has_its_own_lines_of_the_log(many):
    """Byte by byte; those of a packed file unpacked."""
    whole = (many.place.folder / "logs" / "twice.log").read_bytes()
    parts = [many.place.artifacts(named(many.runs, f"twice start {number}"))["vllm.log"] for number in (1, 2)]

    assert b"".join(parts) == whole
    assert parts[1] == STAMPED.read_bytes().replace(b"\r", b"")
    assert many.place.artifacts(named(many.runs, "packed"))["vllm.log"] == TP2.read_bytes()


def test_a_start_has_its_own_numbers(many):
    """The other start's are not among them."""
    first, second = (named(many.runs, f"twice start {number}").data for number in (1, 2))

    assert (first.params["tensor_parallel_size"], second.params["tensor_parallel_size"]) == ("2", "1")
    assert "phase/torch_compile_s" not in first.metrics
    assert second.metrics["phase/torch_compile_s"] == 28.76
    assert (first.tags["bench.start"], second.tags["bench.start"]) == ("1", "2")
    assert {first.tags["bench.file"], second.tags["bench.file"]} == {"twice.log"}
    assert named(many.runs, "packed").data.tags["bench.file"] == "packed.log.gz"
    assert "bench.start" not in named(many.runs, "packed").data.tags


def test_the_starts_of_many_files_are_compared(many):
    """Each a column, and nobody knows what state the caches were in."""
    assert " packed | twice start 1 | twice start 2 |\n" in many.report
    assert "the state of the caches and the order of the starts are unknown" in many.report


def test_one_start_of_a_file_can_be_chosen(many, workplace):
    """It keeps its number in its name."""
    shutil.copytree(many.place.folder / "logs", workplace.folder / "logs")
    done = call_command(workplace, replay.main, "logs/twice.log", "start=2")
    (run,) = children(workplace.runs())

    assert done.code == 0
    assert (run.info.run_name, run.data.params["tensor_parallel_size"]) == ("twice start 2", "1")


# What is refused.


@pytest.mark.parametrize("number", ["0", "two", "-1", "1.5"])
def test_a_number_that_no_start_can_have_is_refused(number, workplace):
    """With what it means."""
    done = call_command(workplace, replay.main, str(TP2), f"start={number}")

    assert (done.code, done.err) == (2, f"start={number}: it is the number of a start in its file, from 1.\n")


def test_a_file_that_tells_nothing_of_a_start_is_refused(workplace):
    """With its name; the good log beside it is not replayed either, so that the whole command can be given again."""
    (workplace.folder / "hello.log").write_text("hello\n")
    done = call_command(workplace, replay.main, str(SEED / "base.log"), "hello.log")

    assert (done.code, done.err) == (2, "hello.log: no line of this file is about a start of vLLM.\n")
    assert workplace.runs() == []


def test_an_empty_standard_input_is_refused(workplace):
    """The command before the pipe has failed."""
    done = call_command(workplace, replay.main, "-")

    assert (done.code, done.err) == (2, "-: no line of this file is about a start of vLLM.\n")


def test_a_file_that_is_not_there_is_refused(workplace):
    """In one line, and no run is left behind."""
    done = call_command(workplace, replay.main, str(SEED / "base.log"), "nowhere.log")

    assert (done.code, done.err) == (2, "nowhere.log: No such file or directory\n")
    assert workplace.runs() == []


def test_no_file_at_all_is_refused(workplace):
    """With what to type."""
    done = call_command(workplace, replay.main)

    assert (done.code, done.err) == (2, "which log?  python -m bench.replay LOG...\n")


def test_a_sweep_that_finished_no_start_does_not_hold_up_the_others(tmp_path):
    """As one that was resumed when nothing was left to do: `bench.replay multirun/*/*` brings in what is there."""
    start, empty = tmp_path / "sweep" / "start-0", tmp_path / "resumed"
    for folder, name in ((start, "startup.json"), (empty, "sweep_run.json")):
        folder.mkdir(parents=True)
        (folder / name).touch()

    assert replay.starts_of([start.parent, empty]) == [start]
    with pytest.raises(LogError, match="no start of bench's was finished"):
        replay.starts_of([empty])


def test_a_folder_without_a_start_is_refused(workplace):
    """It may be the sweep's instead of a start's."""
    (workplace.folder / "empty").mkdir()
    done = call_command(workplace, replay.main, "empty")

    assert (done.code, done.err) == (2, "empty: there is no startup.json, so no start of bench's was finished here.\n")
    assert workplace.runs() == []


# Where MLflow is away.


@dataclass(frozen=True)
class Away:
    """bench, told of an MLflow server that does not answer: a sweep, and a start on its own."""

    place: Workplace
    sweep: Done
    alone: Done


@pytest.fixture(scope="module")
def away(new_workplace: Callable[[], Workplace]) -> Away:
    place = new_workplace()
    running = [
        place.start("-m", "load_format=auto,dummy", NOWHERE, f"vllm.python={FAKE}", environment=AWAY),
        place.start("load_format=auto", NOWHERE, f"vllm.python={FAKE}", environment=AWAY),
    ]
    return Away(place, *(each.done() for each in running))


def test_a_sweep_does_not_begin_where_mlflow_is_away(away):
    """Hours later is too late to say so: one line, before any start."""
    assert away.sweep.code == 2
    assert away.sweep.err.startswith(f"{NOWHERE}: the request to MLflow failed: ")
    assert away.sweep.err.count("\n") == 1
    assert list(away.place.folder.glob("multirun/**/vllm.log")) == []


def test_a_start_that_mlflow_missed_is_kept_with_the_command_that_brings_it_in(away):
    """Its exit code is not that of a success."""
    (folder,) = away.place.folder.glob("outputs/*/*")

    assert away.alone.code == 1
    assert (folder / "startup.json").is_file()
    assert f"Nothing is lost. Later:  python -m bench.replay {folder.relative_to(away.place.folder)}" in away.alone.err
    assert "Traceback" not in away.alone.err


def test_a_start_that_mlflow_missed_is_brought_in(away, workplace):
    """Into any store, whole: settings, times, tags and files are those of a start that MLflow saw."""
    (folder,) = away.place.folder.glob("outputs/*/*")
    kept = shutil.copytree(folder, workplace.folder / "start")
    done = call_command(workplace, replay.main, str(kept))
    (run,) = workplace.runs()

    assert done.out == f"{kept}: run {run.info.run_id}\n"
    assert (run.info.status, run.info.run_name, run.data.tags["bench.kind"]) == ("FINISHED", "auto", "start")
    assert run.data.params["load_format"] == "auto"
    assert 0 < run.data.metrics["ready_s"] < run.data.metrics["first_token_s"]
    assert workplace.artifacts(run)["vllm.log"] == (folder / "vllm.log").read_bytes()
    assert run.data.tags["version.vllm"] == "0.32.0"


def test_a_start_that_is_brought_in_has_its_own_time(away, workplace):
    """When it was measured, and not when somebody thought of bringing it in."""
    (folder,) = away.place.folder.glob("outputs/*/*")
    kept = shutil.copytree(folder, workplace.folder / "start")
    call_command(workplace, replay.main, str(kept))
    (run,) = workplace.runs()

    assert run.info.start_time / 1000 <= (folder / "startup.json").stat().st_mtime
    assert run.info.start_time <= run.info.end_time


def test_a_start_is_there_already_where_this_store_has_it(workplace):
    """A folder remembers the run of the store it was first brought into, which may be another one."""
    folder = workplace.folder / "start-0"
    shutil.copytree(folders()["cpu-two_starts/auto"], folder)

    first, again = (call_command(workplace, replay.main, "start-0").out for _ in range(2))
    elsewhere = call_command(workplace, replay.main, "start-0", "tracking.uri=sqlite:///other.db").out

    assert [" is there already" in each for each in (first, again, elsewhere)] == [False, True, False]
