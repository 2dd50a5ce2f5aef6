"""What held a load back is said with what was measured."""

import pytest

from bench.analysis.held_back import held_back
from bench.analysis.records import Point
from bench.host.storage_profile import StorageProfile
from bench.start.tags import STORAGE_LIMIT
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


PROFILE = StorageProfile("vda ext4", 0.0, 1.2, 1.1, 16, 1024, 2.5, 9.0, reads_per_s_4_kib=500.0)
DISK = {"io/disk_reads_per_s": 100.0, "io/disk_request_kib": 128.0, "io/disk_busy": 0.3, "io/disk_reads_in_flight": 0.2}
UNUSED = "30% of what its storage was measured to deliver, while it loaded; 100 requests of 128 KiB a second, of 500 that it answers"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, f"nothing of its storage: {UNUSED} (its disk had a request under way in 30% of the time, 0.2 reads at once in the mean)."),
        ({"io/disk_busy": 0.9, "io/disk_reads_in_flight": 1.3}, f"requests, too few at once: {UNUSED} (its disk had a request under way in 90% of the time, 1.3 reads at once in the mean)."),
        ({"io/disk_reads_per_s": 480.0}, "requests: 480 requests of 128 KiB a second, of 500 that it answers (its disk had a request under way in 30% of the time, 0.2 reads at once in the mean)."),
    ],
)  # fmt: skip
def test_on_storage_that_nobody_limits_the_measured_limits_count(more, sentence):
    """Of requests and of bytes; and whether its disk had anything to do."""
    tags = STORAGE_LIMIT.of((PROFILE,)) | {"bench.page_cache": "cold"}
    start = made_start("auto", {"throughput/share_of_storage_limit": 0.3} | DISK | more, tags=tags)

    assert held_back(Point("auto", (start,))) == f"`auto`: held back by {sentence}"


def test_of_what_nothing_is_known_nothing_is_said():
    """As of starts on the host's own storage, of which nobody measured the limit."""
    assert held_back(Point("auto", (made_start("auto", {"io/read_gib": 0.5}),))) is None
