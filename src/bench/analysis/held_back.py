"""What held the loading of a point's weights back: its storage's requests, its bandwidth, the page cache, or nothing of them; with what was measured. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.records import Point
from bench.start import metrics as m
from bench.start.tags import STORAGE

HELD_AT = 0.8  # of a limit, on average over the load: its beginning and its end do not use it
MIB_PER_GIB = 1024


@dataclass(frozen=True)
class Share:
    """How much of one limit a point used while it loaded. `text`: with both values."""

    what: str
    share: float
    text: str


def held_back(point: Point) -> str | None:
    """A sentence. None: no limit of its storage is known."""
    read, found = point.mean(m.IO_READ), sorted(_shares(point), key=lambda each: -each.share)
    reads, rate = point.mean(m.LOAD_READS), point.mean(m.LOAD_READ_RATE)
    if point.state == "warm" and read is not None and (found or rate is not None):
        return f"`{point.label}`: held back by what comes after the page cache: {read:.2f} GiB were read from storage."
    if found and found[0].share >= HELD_AT:
        return f"`{point.label}`: held back by {found[0].what}: {found[0].text}."
    if found:
        return f"`{point.label}`: held back by nothing of its storage: {'; '.join(each.text for each in found)}."
    if reads is not None and rate is not None:
        return f"`{point.label}`: held back by nothing that was limited: {reads:,.0f} requests and {rate:.2f} GiB a second while it loaded."
    return None


def _shares(point: Point) -> Iterator[Share]:
    """Of the limits that were set, and of the one that was measured."""
    reads_limit, mib_limit = _setting(point, "read_iops"), _setting(point, "read_mib_per_s")
    reads, rate, measured = point.mean(m.LOAD_READS), point.mean(m.LOAD_READ_RATE), point.mean(m.STORAGE_SHARE)
    if reads_limit and reads is not None:
        allowed = f"of {reads_limit:,.0f} that are allowed"
        yield Share("requests", reads / reads_limit, f"{reads:,.0f} requests a second while it loaded, {allowed}")
    if mib_limit and rate is not None:
        allowed = f"of {mib_limit / MIB_PER_GIB:.2f} that are allowed"
        yield Share("bandwidth", rate * MIB_PER_GIB / mib_limit, f"{rate:.2f} GiB/s while it loaded, {allowed}")
    if measured is not None:
        yield Share(
            "bandwidth", measured, f"{measured:.0%} of what its storage was measured to deliver, while it loaded"
        )


def _setting(point: Point, name: str) -> float | None:
    text = point.starts[0].params.get(STORAGE.name(name)) if point.starts else None
    return None if text in {None, "", "None"} else float(str(text))
