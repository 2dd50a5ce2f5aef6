"""The logs that we recorded, against what a person read in them: every value right, and nothing that the log does not say."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from bench.log.metrics import summarise
from bench.log.outcome import outcome_tags
from bench.log.server_info import info_params, info_tags
from bench.log.start_log import StartLog, read_start
from bench.log.starts import starts_of
from bench.start.recorded import metrics_told

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


@cache
def told_by(log: str) -> StartLog:
    """As replay reads it. Its processes print what a start prints once more than once, in some releases: it is one start."""
    (told,) = starts_of(content(log))
    return told


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
def test_every_number_of_a_recorded_log_is_right_and_there_is_no_other(log: str) -> None:
    """Start and ranks. A metric that the log does not tell is absent."""
    assert metrics_told(told_by(log).readings) == pytest.approx(expected_metrics(label_of(log)))


@pytest.mark.parametrize("log", LABELLED)
def test_how_a_recorded_start_ended_is_read_as_a_person_reads_it(log: str) -> None:
    """Its outcome; of one that did not come through why, the class of that, and what it was doing."""
    label, ending = label_of(log), told_by(log).ending
    expected = {
        "bench.outcome": label["outcome"],
        "bench.reason_class": label.get("reason_class"),
        "bench.stopped_in": label.get("stopped_in"),
    }

    assert outcome_tags(ending) == {name: value for name, value in expected.items() if value}
    assert begins_alike(ending.reason, label.get("reason"))


@pytest.mark.parametrize("log", LABELLED)
def test_a_recorded_log_says_what_was_started_and_nothing_is_filled_in(log: str) -> None:
    """Params and tags: the version, the arguments, the sizes, the device."""
    label, said = label_of(log), told_by(log).info

    assert info_params(said) == {name: str(value) for name, value in label["params"].items()}
    assert info_tags(said) == {name: str(value) for name, value in label["tags"].items()}


@pytest.mark.parametrize("log", LABELLED)
def test_a_start_of_ones_own_is_read_as_a_replayed_one(log: str) -> None:
    """By the same reader, which need not look for where starts begin; behind bench's stamps, which each line of such a log has."""
    stamped = [line if STAMP.match(line) else b"   40.225 " + line for line in content(log)]
    ours, replayed = read_start(stamped), told_by(log)

    assert summarise(ours.readings) == summarise(replayed.readings)
    assert (ours.ending, ours.info) == (replayed.ending, replayed.info)
