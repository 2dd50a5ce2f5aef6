"""Cases of people who have logs: whole commands, with the logs as they lie there, and the values that are right by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import compare, replay
from command_line import call_command
from conftest import Workplace
from test_replay import children, named, report_of, sweeps

CASES = Path(__file__).parent / "cases"


def replayed(place: Workplace, case: str, *words: str) -> None:
    """The logs of a case in the folder that the command is given in."""
    for log in (CASES / case).iterdir():
        shutil.copy(log, place.folder)
    done = call_command(place, replay.main, *words)
    assert done.code == 0, done.err


# Several logs of one point.

EXPLICIT = ("point.local=local-*.log", "point.streamer=streamer-1.log,streamer-2.log,streamer-3.log")


@pytest.fixture(scope="module", params=[("*.log",), EXPLICIT], ids=["numbered", "given"])
def repeated(request: pytest.FixtureRequest, new_workplace: Callable[[], Workplace]) -> Workplace:
    place = new_workplace()
    replayed(place, "recorded-repeats", *request.param)
    compared = call_command(place, compare.main)
    assert compared.code == 0, compared.err
    return place


def test_logs_that_repeat_one_start_are_one_point(repeated):
    """By the name that was given to them, or by their own, where they are numbered and print the same arguments."""
    starts = children(repeated.runs())

    assert {(run.data.tags["bench.point"], run.data.tags["bench.repeat"]) for run in starts} == {
        (point, str(number)) for point in ("local", "streamer") for number in range(3)
    }
    assert {run.info.run_name for run in starts} == {f"{name}-{n}" for name in ("local", "streamer") for n in (1, 2, 3)}


def test_logs_of_a_point_have_an_interval(repeated):
    """Means of three, and a ratio of geometric means; nothing pairs the first of one with the first of another."""
    report = report_of(repeated, sweeps(repeated.runs())[0].data.tags["bench.sweep"])
    key = report.partition("## Key Metrics")[2]

    assert "| Weights loading time (s) | 3.49 | 14.28 |" in key
    assert "| Starts (n) | 3 | 3 |" in key
    assert "| Weights loading | 0.24x [0.23, 0.26] |" in report


def test_a_number_that_is_a_setting_makes_no_repeats(workplace):
    """Four and sixteen threads are two points; and so are logs whose arguments differ."""
    first, second = ((CASES / "recorded-repeats" / f"local-{n}.log").read_text() for n in (1, 2))
    (workplace.folder / "threads-4.log").write_text(first)
    (workplace.folder / "threads-16.log").write_text(second)
    (workplace.folder / "a-1.log").write_text(first)
    (workplace.folder / "a-2.log").write_text(second.replace("'data_parallel_size': 1", "'max_num_seqs': 8"))
    done = call_command(workplace, replay.main, "*.log")
    points = {run.data.tags["bench.point"] for run in children(workplace.runs())}

    assert done.code == 0
    assert points == {"threads-4", "threads-16", "a-1", "a-2"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["point.=a.log"], "point.=a.log: the logs of a point are given as point.NAME=LOG, or point.NAME='PATTERN'."),
        (["point=a.log"], "point=a.log: the logs of a point are given as point.NAME=LOG, or point.NAME='PATTERN'."),
        (["point.a=a.log,no.log"], "no.log: No such file or directory"),
        (
            ["."],
            ".: there is no startup.json, so no start of bench's was finished here. Logs in a folder are given by a pattern:  python -m bench.replay '*.log'",
        ),
        (["point.a="], "point.a=: the logs of a point are given as point.NAME=LOG, or point.NAME='PATTERN'."),
        (["point.a=a.log", "point.b=*.log"], "a.log: it is given to two points, a and b."),
        (["point.a=no-*.log"], "no-*.log: no file has a name like this."),
        (
            ["point.b=a.log", "b.log"],
            "point.b: another log has this name. Give that one a point of its own: point.NAME=LOG",
        ),
    ],
)
def test_a_point_that_cannot_be_is_refused(words, said, workplace):
    """In one line, and nothing is written."""
    for name in ("a", "b"):
        shutil.copy(CASES / "recorded-repeats" / "local-1.log", workplace.folder / f"{name}.log")
    done = call_command(workplace, replay.main, *words)

    assert (done.code, done.err) == (2, said + "\n")
    assert workplace.runs() == []


@pytest.mark.parametrize("words", [["point.a=x-*.log"], ["x-*.log"], ["point.a=both.log"]])
@pytest.mark.parametrize("kept", [1.0, 0.8])
def test_one_start_in_two_logs_is_no_repeat(words, kept, workplace):
    """Saved twice, the first time before its end; or twice in one file. The refusal names both."""
    log = (CASES / "recorded-repeats" / "local-1.log").read_text().splitlines(keepends=True)
    cut = log[: int(len(log) * kept)]
    for name, lines in {"x-1": log, "x-2": cut, "both": log + log}.items():
        (workplace.folder / f"{name}.log").write_text("".join(lines))
    done = call_command(workplace, replay.main, *words)

    names = ("both start 1", "both start 2") if "both" in words[0] else ("x-1", "x-2")
    assert (done.code, workplace.runs()) == (2, [])
    assert done.err.startswith(f"{names[0]} and {names[1]} are one start: ")


def test_one_start_in_two_logs_is_no_two_points(workplace):
    """Refused where they were asked for; files that nobody gave to a point are all read, with a word."""
    log = (CASES / "recorded-repeats" / "local-1.log").read_text()
    for name in "ab":
        (workplace.folder / f"{name}.log").write_text(log)
    given, read = (
        call_command(workplace, replay.main, *words)
        for words in (["point.x=a.log", "point.y=b.log"], ["a.log", "b.log"])
    )

    assert (given.code, read.code) == (2, 0)
    assert "a and b are one start: they print the same times and numbers. As two points" in given.err
    assert "a and b are one start: they print the same times and numbers. Their difference shows nothing." in read.err


# Other cases.

RIGHT = {
    "phase/download_s": 21.5, "phase/load_weights_s": 5.25, "phase/load_model_s": 28.75, "memory/load_model_gib": 13.41,
    "phase/dynamo_s": 6.1, "phase/torch_compile_s": 31.4, "phase/graph_capture_s": 8, "phase/init_engine_s": 47.05,
    "log/wall_s": 101,
}  # fmt: skip


def test_exports_that_are_newest_first_are_one_start_each(workplace):
    """A table, a document of JSON and a plain log."""
    replayed(workplace, "newest-first", "cloud.csv.log", "gcloud.json.log", "plain-newest-first.log")
    starts = children(workplace.runs())

    assert {run.info.run_name for run in starts} == {"cloud.csv", "gcloud.json", "plain-newest-first"}
    for run in starts:
        assert run.info.status == "FINISHED"
        assert run.data.tags["bench.outcome"] == "ready"
        assert run.data.params["gpu_memory_utilization"] == "0.85"
        assert {name: run.data.metrics.get(name) for name in RIGHT} == RIGHT


def test_a_loader_that_refuses_its_setting_is_a_bad_argument(workplace):
    """While weights were loaded."""
    replayed(workplace, "loader-refuses-its-setting", "plain.log")
    tags = named(children(workplace.runs()), "plain").data.tags

    assert tags["bench.reason_class"] == "bad_argument"
    assert tags["bench.stopped_in"] == "loading weights"
    assert tags["bench.reason"].startswith("ValueError: Unexpected extra config keys for load format")


def test_a_log_has_the_wall_time_of_its_own_stamps(workplace):
    """Beside the time to ready, which only a clock outside of vLLM has."""
    replayed(workplace, "time-to-ready-of-a-log", "plain.log")
    metrics = named(children(workplace.runs()), "plain").data.metrics

    assert metrics["log/wall_s"] == 101
    assert "ready_s" not in metrics
