"""What held a load back is said with what was measured."""

import pytest

from bench.analysis.held_back import held_back
from bench.analysis.records import Point
from made_sweeps import made_start

IOPS, MIB = {"storage.read_iops": "500"}, {"storage.read_mib_per_s": "125.0"}
COUNTED = {"io/load_reads_per_s": 495.0, "throughput/load_read_gib_per_s": 0.06, "io/read_gib": 0.5}


@pytest.mark.parametrize(
    ("params", "metrics", "state", "sentence"),
    [
        (IOPS, COUNTED, "cold", "requests: 495 requests a second while it loaded, of 500 that are allowed."),
        (MIB, COUNTED | {"throughput/load_read_gib_per_s": 0.12}, "cold", "bandwidth: 0.12 GiB/s while it loaded, of 0.12 that are allowed."),
        (IOPS, COUNTED | {"io/load_reads_per_s": 90.0}, "cold", "nothing of its storage: 90 requests a second while it loaded, of 500 that are allowed."),
        ({}, COUNTED, "cold", "nothing that was limited: 495 requests and 0.06 GiB a second while it loaded."),
        (IOPS, COUNTED | {"io/read_gib": 0.0}, "warm", "what comes after the page cache: 0.00 GiB were read from storage."),
        ({}, {"throughput/share_of_storage_limit": 0.93}, "cold", "bandwidth: 93% of what its storage was measured to deliver, while it loaded."),
    ],
)  # fmt: skip
def test_the_limit_that_was_used_up_is_named(params, metrics, state, sentence):
    """A request, bytes, the page cache, or nothing of them."""
    start = made_start("auto", metrics, params=params, tags={"bench.page_cache": state})

    assert held_back(Point("auto", (start,))) == f"`auto`: held back by {sentence}"


def test_of_what_nothing_is_known_nothing_is_said():
    """As of starts on the host's own storage, of which nobody measured the limit."""
    assert held_back(Point("auto", (made_start("auto", {"io/read_gib": 0.5}),))) is None
