"""A load on another storage takes the longest of what it needs without one, its bytes, its requests and their latencies; what is unknown is not predicted."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.predict_load import Reads, Target, predict, reads_of, requests_there
from bench.analysis.prediction_errors import VALIDATED, errors_of
from bench.analysis.records import Point
from made_sweeps import made_start
from prediction_document import errors_by_what_held, pairs, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "prediction.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)

READS = Reads(
    2.0, 1.0, is_held_back=False, requests=4096, at_once=4.0, read_ahead_kib=128, largest_kib=1280
)  # of 256 KiB


@pytest.mark.parametrize(
    ("target", "load_s", "held_by"),
    [
        (Target(), 2.0, "processing"),
        (Target(reads_per_s=500), 8.192, "requests"),
        (Target(reads_per_s=500, gib_per_s=0.1), 10.0, "bandwidth"),
        (Target(gib_per_s=2.0), 2.0, "processing"),
        (Target(latency_s=0.010), 10.24, "latency"),
        (Target(reads_per_s=500, read_ahead_kib=256), 4.096, "requests"),
        (Target(reads_per_s=100, read_ahead_kib=8192), 8.192, "requests"),
    ],
)
def test_the_longest_of_the_four_times_is_the_load(target, load_s, held_by):
    """With more read-ahead requests are larger, up to the device's largest."""
    predicted = predict(READS, target)

    assert (predicted.load_s, predicted.held_by) == (pytest.approx(load_s), held_by)


@pytest.mark.parametrize(
    "changed",
    [{"is_direct": True}, {"requests": 1024}, {"read_ahead_kib": 8192}],
    ids=["past the page cache", "larger than read-ahead", "the same read-ahead"],
)
def test_a_reader_that_read_ahead_does_not_rule_makes_the_requests_that_it_made(changed):
    """It asks for its own sizes."""
    reads = replace(READS, **changed)

    assert requests_there(reads, Target(read_ahead_kib=8192)) == reads.requests


@pytest.mark.parametrize(
    ("changed", "target", "why"),
    [
        ({"requests": None}, Target(reads_per_s=500), "its requests were not counted"),
        ({"at_once": None}, Target(latency_s=0.001), "how many of its requests were under way at once was not counted"),
        ({"read_ahead_kib": None}, Target(reads_per_s=500, read_ahead_kib=64), "with another read-ahead is unknown"),
        ({}, Target(reads_per_s=500, read_ahead_kib=0), "with another read-ahead is unknown"),
        ({"is_held_back": True}, Target(gib_per_s=10.0), "at most 2.00 s: the storage that it read held it back"),
        ({"is_held_back": None}, Target(gib_per_s=10.0), "at most 2.00 s: the storage that it read may have held it back"),
    ],
)  # fmt: skip
def test_what_nobody_measured_is_said_and_nothing_is_predicted(changed, target, why):
    """Neither from an input that is missing, nor of a faster storage from one that was the limit itself."""
    predicted = predict(replace(READS, **changed), target)

    assert predicted.load_s is None
    assert why in predicted.why


def test_a_slower_storage_is_predicted_from_one_that_held_the_load_back():
    """Its times are longer than any that the start can have needed without."""
    assert predict(replace(READS, is_held_back=True), Target(gib_per_s=0.1)).load_s == pytest.approx(10.0)


def test_what_reads_nothing_takes_the_same_on_every_storage():
    """A dummy load: no request is missing."""
    nothing = Reads(0.5, 0.0, is_held_back=None)

    assert predict(nothing, Target(reads_per_s=1, latency_s=1.0)).load_s == 0.5


IN_MEMORY = {"storage.image": "memory", "storage.read_iops": "None", "storage.read_mib_per_s": "None"}
COUNTED = {"probe/load_weights_s": 2.0, "io/read_gib": 1.0, "io/load_reads_per_s": 2048.0}
TAGS = {"bench.page_cache": "cold", "storage.read_ahead_kb": "128", "storage.max_sectors_kb": "1280"}


def test_a_points_reads_are_those_that_its_starts_recorded():
    """Those of its own cgroup before those of the disk, which are everybody's."""
    start = made_start("auto", COUNTED | {"io/disk_reads_per_s": 9000.0}, params=IN_MEMORY, tags=TAGS)

    assert reads_of(Point("auto", (start,))) == replace(READS, at_once=None)


@pytest.mark.parametrize(
    ("metrics", "tags", "why"),
    [
        ({"io/read_gib": 1.0}, TAGS, "have no probe/load_weights_s"),
        ({"probe/load_weights_s": 2.0}, TAGS, "have no io/read_gib"),
        (COUNTED, TAGS | {"bench.page_cache": "warm"}, "were warm"),
    ],
)
def test_starts_that_show_no_reads_are_named(metrics, tags, why):
    """A replayed log, or a warm start."""
    reads = reads_of(Point("auto", (made_start("auto", metrics, params=IN_MEMORY, tags=tags),)))

    assert isinstance(reads, str)
    assert why in reads
    assert reads_of(Point("auto", ())) == "none of its starts counts"


def test_errors_are_ratios_of_what_was_measured():
    """Of three predictions of 10 s."""
    error = errors_of([(10.0, 9.0), (10.0, 12.0), (10.0, 20.0)])

    assert (error.pairs, error.within, error.low, error.high, error.is_kept) == (3, 2, 0.9, 2.0, False)


def test_the_document_and_the_intervals_are_those_of_the_measured_starts():
    """To write the table anew: BENCH_WRITE_DOCS=1 python -m pytest tests/analysis/test_predict_load.py."""
    found = pairs()
    text = DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("BENCH_WRITE_DOCS"):
        text = TABLE.sub(table(found).replace("\\", "\\\\"), text)
        DOCUMENT.write_text(text, encoding="utf-8")

    assert TABLE.findall(text) == [table(found)], "docs/prediction.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"
    assert errors_by_what_held(found) == VALIDATED
