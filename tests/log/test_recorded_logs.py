"""The logs that we recorded, against what a person read in them: every value right, and nothing that the log does not say."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.log.coverage import coverage, expected_phases
from bench.log.server_info import info_params
from bench.log.start_log import StartLog, read_start
from bench.log.starts import starts_of
from bench.start.log_metrics import summarise
from bench.start.replay import metrics_of_log
from bench.start.tags import info_tags, outcome_tags
from bench.start.timeline import log_spans
from read_lines import info_in, read_log, start_log_of

LOGS = Path(__file__).parents[1] / "logs"
FOLDERS = sorted(path.name for path in LOGS.iterdir() if path.is_dir())

Label = dict[str, Any]


@cache
def labels(folder: str) -> dict[str, Label]:
    """By the log's name."""
    path = LOGS / folder / "expected.yaml"
    read: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {"logs": {}}
    return dict(read["logs"])


STAMP = re.compile(rb" *\d+\.\d{3} ")

LABELLED = [f"{folder}/{name}" for folder in FOLDERS for name in labels(folder)]


def label_of(log: str) -> Label:
    """What a person read in it."""
    folder, name = log.split("/")
    return labels(folder)[name]


def content(log: str) -> list[bytes]:
    """Its lines, as they lie in the file."""
    return (LOGS / log).read_bytes().splitlines(keepends=True)


def start_in(log: str) -> StartLog:
    """As replay reads it. Its processes print what a start prints once more than once, in some releases: it is one start."""
    (start,) = starts_of(content(log))
    return start


def expected_metrics(label: Label) -> dict[str, float]:
    """Those of the start, and each rank's under `rank/<rank>/`. `all`: the whole engine is one process, which is that rank."""
    metrics = {name: number(value) for name, value in label["metrics"].items()}
    of_ranks = {}
    for rank, said in label.get("ranks", {}).items():
        values = {name: value for name, value in metrics.items() if name != "ready_s"} if said == "all" else said
        of_ranks |= {f"rank/{rank}/{name}": number(value) for name, value in values.items()}
    return metrics | of_ranks


def number(value: float | str) -> float:
    """A label may be a division: the log's own number by what makes GiB of its unit."""
    printed, _, divisor = str(value).partition(" / ")
    return float(printed) / float(divisor or 1)


def begins_alike(words: str | None, expected: str | None) -> bool:
    """A label that ends in `…` is a reason's beginning: some go on for a page."""
    if words and expected and expected.endswith("…"):
        return words.startswith(expected.removesuffix("…"))
    return words == expected


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_log_has_a_label(folder: str) -> None:
    """A log that nobody has read proves nothing, and a label without its log neither."""
    assert {path.name for path in (LOGS / folder).glob("*.log")} == set(labels(folder))


@pytest.mark.parametrize("log", LABELLED)
def test_a_recorded_log_is_read_as_a_person_reads_it(log: str) -> None:
    """Each in one case, which checks all that there is to know of it, and that nothing is known besides.

    Its numbers, of the start and of its ranks; how it ended, of one that did not come through why, the class of that, and what it was
    doing; what was started: version, arguments, sizes, device.
    """
    label, start = label_of(log), start_in(log)
    ended = {
        "bench.outcome": label["outcome"],
        "bench.reason_class": label.get("reason_class"),
        "bench.stopped_in": label.get("stopped_in"),
    }

    assert metrics_of_log(start.readings) == pytest.approx(expected_metrics(label))
    assert outcome_tags(start.ending) == {name: value for name, value in ended.items() if value}
    assert begins_alike(start.ending.reason, label.get("reason"))
    assert info_params(start.info) == {name: str(value) for name, value in label["params"].items()}
    assert info_tags(start.info) == {name: str(value) for name, value in label["tags"].items()}
    is_read_alike_without_the_filter_and_as_one_of_ours(log, start)
    if not any(
        word in log for word in ("FAILED", "TIMEOUT", "seed")
    ):  # a rule that stopped finding its line would show here
        assert coverage(start.readings, expected_phases(start.info)).share == 1


def is_read_alike_without_the_filter_and_as_one_of_ours(log: str, start: StartLog) -> None:
    """With each line looked at; and behind bench's stamps, which each line of a log of ours has, without looking for where starts
    begin.
    """
    lines = read_log(content(log))
    unfiltered = start_log_of(lines)
    ours = read_start([line if STAMP.match(line) else b"   40.225 " + line for line in content(log)])

    assert (start.readings, start.ending, start.info) == (unfiltered.readings, unfiltered.ending, info_in(lines))
    placed = log_spans(start.milestones, start.readings, 100.0, 101.0)
    assert placed == log_spans(lines, unfiltered.readings, 100.0, 101.0)
    assert summarise(ours.readings) == summarise(start.readings)
    assert (ours.ending, ours.info) == (start.ending, start.info)
