"""Whole sweeps with the fake vLLM: when they end, and how they are resumed."""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import Done, Workplace, until
from whole_sweeps import MINE, PARENT, quiet_start, reported, section, starts_of, sweep_of, swept, with_a_model

if TYPE_CHECKING:
    from mlflow.entities import Run

# How a sweep ends.


def test_a_sweep_ends_early_where_its_ratios_are_known(workplace):
    """Two equal formats, known to 90 % after a few of 20 blocks; the run and the report say why."""
    words = ("load_format=auto,safetensors", "precision=90%", "min_blocks=3", "max_blocks=20", "page_cache=as_is")
    found = swept(with_a_model(workplace), *words, *MINE, environment=quiet_start(workplace))
    ended_by = sweep_of(workplace).data.tags["bench.ended_by"]
    blocks = Counter(run.data.tags["bench.repeat"] for run in found.starts)

    assert found.done.code == 0, found.done.err
    assert re.fullmatch(
        rf"after {len(blocks)} blocks, all ratios known to [\d.]+% \(precision=90% was asked\)", ended_by
    )
    assert 3 <= len(blocks) < 20
    assert set(blocks.values()) == {2}
    assert f"- It ended {ended_by}.\n" in section(found.report, "Scope")


def test_an_a_a_arm_is_a_point_more(workplace):
    """The baseline against itself: what its ratio shows is this rig."""
    found = swept(
        with_a_model(workplace),
        "load_format=auto",
        "aa=true",
        "page_cache=as_is",
        *MINE,
        environment=quiet_start(workplace),
    )
    once, again = found.start("auto"), found.start("auto again")

    assert found.done.code == 0, found.done.err
    assert sweep_of(workplace).data.tags["bench.points"].splitlines() == ["auto", "auto again"]
    assert once.data.params | {"vllm_command": ""} == again.data.params | {"vllm_command": ""}
    assert once.data.tags["bench.identity"] == again.data.tags["bench.identity"]
    assert "## Speedups (auto / auto again)" in found.report


# Resumed.


@contextmanager
def at_the_pipe(path: Path) -> Iterator[int]:
    """The other end of the log that a fake is about to play: it waits there until something is written, or the end."""
    opened: list[int] = []

    def open_it() -> bool:
        with suppress(OSError):  # ENXIO: nobody reads yet
            opened.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    until(open_it)
    yield opened[0]
    os.close(opened[0])


BLOCKS = ("load_format=auto,safetensors", "repeats=3", *MINE)


@dataclass(frozen=True)
class Resumed:
    """A sweep that was killed, and what became of it."""

    place: Workplace
    first: Done
    before: "list[Run]"  # the starts that MLflow held when it was killed
    second: Done
    after: "list[Run]"
    third: Done
    at_last: "list[Run]"

    @property
    def finished(self) -> "list[Run]":
        """Of those after the sweep was resumed."""
        return [run for run in self.after if run.info.status == "FINISHED"]

    @property
    def folders(self) -> list[list[Path]]:
        """Those of the starts that were begun, by the command that began them."""
        begun: dict[Path, list[Path]] = {}
        for path in sorted(self.place.folder.glob("multirun/*/*/start-*")):
            begun.setdefault(path.parent, []).append(path)
        return list(begun.values())


@pytest.fixture(scope="module")
def resumed(new_workplace: Callable[[], Workplace]) -> Resumed:
    """Three blocks of two points: killed in the fourth start, which is the second of block 2; then resumed, twice."""
    place = with_a_model(new_workplace())
    quiet, pipe = quiet_start(place), place.folder / "pipe"
    log = Path(quiet["FAKE_LOG"]).read_bytes()
    os.mkfifo(pipe)
    driver = place.start("-m", *BLOCKS, environment={"FAKE_LOG": str(pipe)})
    for done in range(1, 4):
        with at_the_pipe(pipe) as end:
            os.write(end, log)
        until(
            lambda done=done: len([*place.folder.glob("multirun/**/startup.json")]) == done or driver.poll() is not None
        )
    with at_the_pipe(pipe):
        driver.send(signal.SIGKILL)
        first = driver.done()
        until(lambda: not place.living())
    before = starts_of(place)
    second = place.bench("-m", *BLOCKS, "resume=true", "report=true", environment=quiet)
    after = starts_of(place)
    third = place.bench("-m", *BLOCKS, "resume=true", environment=quiet)
    return Resumed(place, first, before, second, after, third, starts_of(place))


def test_a_killed_sweep_is_resumed_with_what_it_lacks(resumed):
    """Every point of every block once, although the driver was killed; the start that died with it is a failed run, which no arm lost."""
    found = Counter((run.data.tags["bench.point"], run.data.tags["bench.repeat"]) for run in resumed.finished)

    assert resumed.second.code == 0, resumed.second.err
    assert found == Counter({(point, block): 1 for point in ("auto", "safetensors") for block in "012"})
    (lost,) = (run for run in resumed.after if run not in resumed.finished)
    assert (lost.info.status, lost.data.tags["bench.reason_class"]) == ("FAILED", "bench_ended")


def test_what_was_measured_before_is_not_measured_again(resumed):
    """Three of the six were done: their runs are the same, and three were begun now."""
    kept = {run.info.run_id: run.info.end_time for run in resumed.before}

    assert len(kept) == 3
    assert kept.items() <= {run.info.run_id: run.info.end_time for run in resumed.after}.items()
    assert [len(folders) for folders in resumed.folders][:2] == [4, 3]
    assert "3 starts are done" in resumed.second.err


def test_a_resumed_sweep_keeps_its_order(resumed):
    """Each start has the place in the sweep that it was drawn for: the drift check needs it."""
    by_time = sorted(resumed.finished, key=lambda run: run.info.start_time)

    assert [int(run.data.tags["bench.order"]) for run in by_time] == [1, 2, 3, 4, 5, 6]
    assert [int(run.data.tags["bench.repeat"]) for run in by_time] == [0, 0, 1, 1, 2, 2]
    assert by_time[3].data.tags["bench.point"] == by_time[0].data.tags["bench.point"]  # block 2 is block 1 reversed


def test_a_resumed_sweep_is_one_sweep(resumed):
    """Below the run of the first command, which has ended now as if nothing had happened."""
    sweep = sweep_of(resumed.place)

    assert {run.data.tags[PARENT] for run in resumed.at_last} == {sweep.info.run_id}
    assert {run.data.tags["bench.sweep"] for run in resumed.at_last} == {sweep.data.tags["bench.sweep"]}
    assert sweep.info.status == "FINISHED"
    assert sweep.data.tags["bench.ended_by"] == "after the asked number of blocks"


def test_a_resumed_sweep_ends_with_a_report_of_all_its_starts(resumed):
    """Those of the command before too, which itself has left none."""
    (path,) = resumed.place.folder.glob("benchmark_results/*/report.md")
    scope = section(path.read_text(), "Scope")

    assert path.parent.name == sweep_of(resumed.place).data.tags["bench.sweep"]
    assert "- `auto`: 3 starts finished, 1 failed\n- `safetensors`: 3 starts finished\n" in scope or (
        "- `auto`: 3 starts finished\n- `safetensors`: 3 starts finished, 1 failed\n" in scope
    )


def test_resuming_what_is_finished_starts_nothing(resumed):
    """And is no error: a script may say resume=true always."""
    assert resumed.third.code == 0, resumed.third.err
    assert [run.info.run_id for run in resumed.at_last] == [run.info.run_id for run in resumed.after]
    assert "6 starts are done" in resumed.third.err
    assert len(resumed.folders) == 2


def test_a_failed_start_is_made_again(workplace):
    """It may have been the weather. What failed stays a run, and is listed."""
    words = ("-m", "load_format=auto", *MINE)
    quiet = quiet_start(with_a_model(workplace))
    failed = workplace.bench(*words, environment=quiet | {"FAKE_MODE": "exit"})
    resumed = workplace.bench(*words, "resume=true", environment=quiet)
    statuses = [run.info.status for run in starts_of(workplace)]

    assert (failed.code, resumed.code) == (1, 0)
    assert statuses == ["FAILED", "FINISHED"]
    assert sweep_of(workplace).info.status == "FINISHED"
    assert "- `auto`: 1 start finished, 1 failed\n" in section(reported(workplace), "Scope")
