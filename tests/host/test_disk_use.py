"""What a disk did while weights were loaded, by planted counters."""

import pytest

from bench.host.counters import Reading, Used, read_counters
from bench.host.disk_use import DiskUse, disk_use_between
from bench.host.storage import disk_of


def reading(at_s: float, reads: int | None, mib: int = 0, wait_s: float = 0.0, busy_s: float = 0.0) -> Reading:
    return Reading(at_s, disk_reads=reads, disk_read_bytes=mib << 20, disk_read_wait_s=wait_s, disk_busy_s=busy_s)


def test_requests_are_those_of_the_stretch():
    """Between the readings around it; over its own seconds, as the disk has little to do beside it."""
    readings = [reading(0.0, 5), reading(9.9, 100), reading(11, 900, 100, 2.0, 0.9), reading(12.1, 1100, 125, 3.0, 1.8)]

    assert disk_use_between(10.0, 12.0, readings) == DiskUse(500.0, 128.0, 1.5, 0.9)
    assert disk_use_between(10.0, 12.0, [reading(9, 7), reading(13, 7)]) == DiskUse(0.0, None, 0.0, 0.0)


@pytest.mark.parametrize("readings", [[], [reading(9.0, 1)], [reading(9.0, None), reading(13.0, None)]])
def test_what_is_not_shown_is_unknown(readings):
    """On a network, in a sandbox, or of a start without samples."""
    assert disk_use_between(10.0, 12.0, readings) is None
    assert disk_use_between(12.0, 12.0, [reading(9.0, 1), reading(13.0, 2)]) is None


def test_this_hosts_own_disk_is_read(tmp_path):
    """All fields of its `stat`, in the order that the kernel documents."""
    disk = disk_of(tmp_path)
    if disk is None:
        pytest.skip("this host's temporary files lie on no disk")
    now = read_counters(1.0, Used(), disk)

    assert now.disk_reads > 0
    assert now.disk_read_bytes >= now.disk_reads * 512
    assert now.disk_busy_s > 0
    assert now.disk_read_wait_s > 0
