"""`python -m bench.compare` of several sweeps and of single starts, and its gate, on planted starts in a real store."""

import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import compare, predict, replay
from bench.config import Tracking
from bench.start.tags import BLOCKS
from bench.tracking.runs import log_start
from bench.tracking.sweeps import SweepRun, close_sweep, open_sweep
from command_line import call_command, uri
from conftest import Done, Workplace, quiet
from made_starts import startup

LOGS = Path(__file__).parent / "logs"
TIMES = [30.0, 30.3, 29.7, 30.15, 29.85]
BEGAN = 1_770_000_000.0


def plant(  # noqa: PLR0913
    place: Workplace, sweep_id: str, day: int, ready_s: Sequence[float], *, release: str = "0.32.0", name: str = "auto"
) -> None:
    """A sweep of this day with one point: a start for each of these times to ready, called so."""
    tracking, began = Tracking(uri=uri(place), experiment="bench"), BEGAN + day * 86400
    tags = {"bench.points": "auto", "bench.planned": str(len(ready_s))}
    parent = open_sweep(tracking, SweepRun(sweep_id, began, {}, tags))
    for number, value in enumerate(ready_s):
        own = {
            "bench.sweep": sweep_id, "bench.kind": "start", "bench.point": "auto", "bench.repeat": str(number),
            "bench.order": str(number + 1), "host.host": "one", "version.vllm": release,
        }  # fmt: skip
        made = startup(name=f"{name} #{number + 1}", params={"load_format": "auto"}, tags=own, ready_s=value)
        at_s = began + 60 * number
        made = replace(
            made, parent_run_id=parent, metrics={"ready_s": value}, started_at=at_s, ended_at=at_s + 50, exec_at_s=at_s
        )
        folder = place.folder / "planted" / sweep_id / str(number)
        folder.mkdir(parents=True)
        made.save(folder)
        log_start(tracking, made, folder)
    close_sweep(
        tracking, parent, failed=False, ended_by="after the asked number of blocks", tags=BLOCKS.of(len(ready_s))
    )


@pytest.fixture(scope="module")
def place(new_workplace: Callable[[], Workplace]) -> Workplace:
    """A baseline; and on the days after it one 20 % slower, an equal one of another release, and a noisy one."""
    made = new_workplace()
    with quiet(), chdir(made.folder):
        plant(made, "base", 0, TIMES)
        plant(made, "slow", 1, [value * 1.2 for value in TIMES])
        plant(made, "equal", 2, TIMES[::-1], release="0.33.0")
        plant(made, "noisy", 3, [20.0, 45.0, 25.0, 38.0, 28.0])
    return made


def called(place: Workplace, *words: str) -> Done:
    return call_command(place, compare.main, *words)


@pytest.mark.parametrize(
    ("candidate", "code", "words"),
    [
        ("slow", 1, "FAILED        auto (slow) takes 1.200 ["),
        ("equal", 0, "passed        auto (vLLM 0.33.0) takes 1.000 ["),
        ("noisy", 2, "NOT RESOLVED  auto (noisy) takes "),
    ],
)
def test_the_exit_code_is_whether_the_candidate_is_slower(candidate, code, words, place, tmp_path, monkeypatch):  # noqa: PLR0913, PLR0917
    """And the same outcome stands in the terminal, in the JUnit file and in the step's summary."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = called(place, f"sweep=base,{candidate}", "gate=5%", f"junit={tmp_path}/new/gate.xml", f"output={tmp_path}")
    root = ET.parse(tmp_path / "new" / "gate.xml").getroot()  # noqa: S314  # our own

    assert done.code == code, done.err
    assert words in done.out
    assert "not paired (Welch)" in done.out
    assert (root.get("failures"), root.get("errors")) == (str(int(code == 1)), str(int(code == 2)))
    assert words.split()[0] in (tmp_path / "summary.md").read_text()
    assert (tmp_path / f"{candidate}_against_base" / "report.md").is_file()


def test_no_sweeps_own_report_is_overwritten_by_that_of_two(place, tmp_path):
    """It has a folder of its own."""
    done = called(place, "sweep=base,slow", f"output={tmp_path}")

    assert done.code == 0
    assert "sweep    base, made by " in done.out
    assert "Each sweep's run keeps its own report" in done.out
    assert all(not place.artifacts(run) for run in place.runs() if run.data.tags["bench.kind"] == "sweep")


def test_the_latest_is_compared_with_the_one_before_it(place, tmp_path):
    """Whichever is named first: the previous one is what was there."""
    for words in ("latest,previous", "previous,latest"):
        done = called(place, f"sweep={words}", f"output={tmp_path}")

        assert done.code == 0, done.err
        assert (tmp_path / "noisy_against_equal" / "report.md").is_file()


def test_two_single_starts_are_compared_without_an_interval(place, tmp_path):
    """And nothing is resolved by one of each."""
    starts = [run for run in place.runs() if run.info.run_name == "auto #1"]
    ids = ",".join(run.info.run_id for run in starts[:2])
    done = called(place, f"runs={ids}", "gate=5%", f"output={tmp_path}")
    (folder,) = tmp_path.iterdir()

    assert done.code == 2
    assert "n < 2 has no interval" in done.out
    assert f"- Start `{starts[0].info.run_id}`, started" in (folder / "report.md").read_text()
    assert folder.name.startswith(time.strftime("%Y%m%d", time.localtime(BEGAN + 86400)))


def test_points_of_sweeps_can_be_named(place, tmp_path):
    """By their labels, behind a colon."""
    done = called(place, "sweep=base:auto,slow:auto", f"output={tmp_path}")

    assert done.code == 0, done.err
    assert (tmp_path / "slow_auto_against_base_auto").is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sweep=base,nonsense",), "sweep=nonsense: there is none of this id or name in sqlite:///"),
        (("sweep=base:fast,slow",), "sweep=base:fast: the points of sweep base are auto."),
        (("sweep=base,base",), "named twice"),
        (("runs=nonsense,other",), "runs=nonsense: there is no such run in sqlite:///"),
        (("runs=one",), "name the runs of two different starts"),
        (("runs=a,b", "sweep=base"), "leave one of them out"),
        (("sweep=base,slow", "publish=mine"), "publish= packs the starts of one whole sweep"),
        (("gate=5",), "gate=5: expected by how much"),
        (("gate=0%",), "gate=0%: expected by how much"),
        (("gate=5%", "gate_metric=nonsense"), "gate_metric=nonsense: expected a metric in seconds, like ready_s"),
        (("junit=x.xml",), "junit=x.xml: it is the outcome of a gate:  gate=5%"),
    ],
)
def test_what_cannot_be_compared_or_judged_is_refused_in_a_sentence(words, message, place, tmp_path):
    """With 2, as what a gate cannot resolve, and nothing is written."""
    done = called(place, *words, f"output={tmp_path / 'results'}")

    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "results").exists()


def test_a_comparison_that_is_refused_is_an_error_of_the_junit_file(place, tmp_path):
    """A build's page shows why, without its log."""
    done = called(place, "sweep=nonsense", "gate=5%", f"junit={tmp_path / 'gate.xml'}")
    (error,) = ET.parse(tmp_path / "gate.xml").getroot().iter("error")  # noqa: S314

    assert done.code == 2
    assert "there is none of this id or name" in error.get("message", "")


def test_a_start_that_is_in_both_sweeps_counts_once(place, tmp_path):
    """As of one that was brought into two sweeps: it belongs to the first that is named."""
    with quiet(), chdir(place.folder):
        plant(
            place, "base again", 0, [*TIMES, 31.0], name="other"
        )  # the first five at the same moments on the same host
    done = called(place, "sweep=base,base again", f"output={tmp_path}")
    report = (tmp_path / "base again_against_base" / "report.md").read_text()

    assert done.code == 0, done.err
    assert "it is a start of base too: it counts once, there" in report
    assert "- `auto (base again)`: 1 start finished" in report


def replayed(place: Workplace, log: Path) -> str:
    """The id of a sweep of this log."""
    done = call_command(place, replay.main, str(log))
    assert done.code == 0, done.err
    return done.out.rpartition("sweep=")[2].split()[0]


def test_logs_of_two_releases_are_compared(workplace, tmp_path):
    """As recorded: what differs is the release, and one log each has no interval."""
    ids = [replayed(workplace, LOGS / f"cpu-vllm{release}" / "auto-tp2-eager.log") for release in ("0.30.0", "0.31.0")]
    done = called(workplace, f"sweep={','.join(ids)}", f"output={tmp_path}")

    assert done.code == 0, done.err
    assert "| Metric | auto-tp2-eager (vLLM 0.30.0) | auto-tp2-eager (vLLM 0.31.0) |" in done.out
    assert "version.vllm `0.30.0` and `0.31.0`" in done.out
    assert "n = 1: there is no interval" in done.out


def test_one_log_that_was_read_twice_is_not_compared_with_itself(workplace):
    """Each time it has another sweep and another key, and is one start all the same."""
    ids = [replayed(workplace, LOGS / "cpu-vllm0.31.0" / "auto-tp2-eager.log") for _ in range(2)]
    done = called(workplace, f"sweep={','.join(ids)}")

    assert done.code == 2
    assert "all of its starts are starts of another sweep" in done.err


def test_of_starts_that_counted_no_reads_no_load_is_predicted(place: Workplace):
    """A line for each point, with the reason."""
    done = call_command(place, predict.main, "sweep=base", "storage=gp3")

    assert done.code == 0, done.err
    assert "sweep base, on gp3 (3,000 reads/s, 125 MiB/s):" in done.out
    assert "not predicted: its starts have no probe/load_weights_s" in done.out


def test_a_storage_that_no_sweep_measured_is_refused(place: Workplace):
    """Rather than taken for one without limits."""
    done = call_command(place, predict.main, "sweep=base", "measured=slow")

    assert (done.code, done.err) == (2, "measured=slow: sweep slow measured no storage.\n")
