"""What the checkpoint's disk did during a stretch of a start, by the kernel's counters: how many requests, how large, how many at once. Pure.

They are everybody's requests to that disk; what others read is noise, and measured as such.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.host.counters import BYTES_PER_KIB, Reading
from bench.host.noise_during import around


@dataclass(frozen=True)
class DiskUse:
    """Reads alone, but for `busy`. `request_kib` and what follows are means over the stretch."""

    reads_per_s: float
    request_kib: float | None  # None: there was no request
    in_flight: float  # reads under way at once
    busy: float  # share of the time in which the disk had a request under way


def disk_use_between(begin_s: float, end_s: float, readings: Sequence[Reading]) -> DiskUse | None:
    """From the last reading at `begin_s` or before to the first at `end_s` or later, over the seconds of the stretch itself: what was read is what it
    read, and the disk had little to do before and after. None: this host does not show it.
    """
    found = [each for each in around(begin_s, end_s, readings) if each.disk_reads is not None]
    if len(found) < 2 or end_s <= begin_s:  # noqa: PLR2004  # two ends
        return None
    first, last, seconds = found[0], found[-1], end_s - begin_s

    def grown(value: Callable[[Reading], float | None]) -> float:
        return max(0.0, (value(last) or 0.0) - (value(first) or 0.0))

    reads = grown(lambda each: each.disk_reads)
    return DiskUse(
        reads / seconds,
        grown(lambda each: each.disk_read_bytes) / reads / BYTES_PER_KIB if reads else None,
        grown(lambda each: each.disk_read_wait_s) / seconds,
        min(1.0, grown(lambda each: each.disk_busy_s) / seconds),
    )
