"""What held the loading of a point's weights back: its storage's requests, its bandwidth, the page cache, or nothing of them; with what was measured. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.analysis.records import Point, RunRecord
from bench.host.storage_profile import best
from bench.start import metrics as m
from bench.start.tags import STORAGE, STORAGE_LIMIT

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
        return f"`{point.label}`: held back by {found[0].what}: {found[0].text}{_under_way(point)}."
    if found and (point.mean(m.DISK_BUSY) or 0.0) >= HELD_AT:
        texts = "; ".join(each.text for each in found)
        return f"`{point.label}`: held back by requests, too few at once: {texts}{_under_way(point)}."
    if found:
        return f"`{point.label}`: held back by nothing of its storage: {'; '.join(each.text for each in found)}{_under_way(point)}."
    if reads is not None and rate is not None:
        return f"`{point.label}`: held back by nothing that was limited: {reads:,.0f} requests and {rate:.2f} GiB a second while it loaded."
    return None


def is_held_back(point: Point) -> bool | None:
    """Whether its storage held its loading back. None: no limit of it is known."""
    shares, busy = [each.share for each in _shares(point)], point.mean(m.DISK_BUSY)
    if max([*shares, busy or 0.0]) >= HELD_AT:
        return True
    return False if shares or _is_unlimited(point) else None


def requests_while_loading(point: Point) -> float | None:
    """How many it made, a median: of its own, where they were counted; else all of its disk. None: neither was counted."""
    found = [requests for start in point.starts if (requests := _requests(start)) is not None]
    return median(found) if found else None


def _requests(start: RunRecord) -> float | None:
    own, seconds = start.value(m.LOAD_READS), start.value(m.PROBE_LOAD_WEIGHTS)
    rate = start.value(m.DISK_READS) if own is None else own
    return None if rate is None or seconds is None else rate * seconds


def under_way(point: Point) -> float | None:
    """Requests at once, while its disk had any. None: it was not counted."""
    busy, at_once = point.mean(m.DISK_BUSY), point.mean(m.DISK_IN_FLIGHT)
    return at_once / busy if busy and at_once else None


def _is_unlimited(point: Point) -> bool:
    """Whether it read a copy in memory, without any limit."""
    params = point.starts[0].params if point.starts else {}
    limits = _setting(point, "read_iops"), _setting(point, "read_mib_per_s")
    return params.get(STORAGE.name("image")) == "memory" and limits == (None, None)


def _under_way(point: Point) -> str:
    """What its disk had to do. Empty: this was not counted."""
    busy, at_once = point.mean(m.DISK_BUSY), point.mean(m.DISK_IN_FLIGHT)
    if busy is None or at_once is None:
        return ""
    return f" (its disk had a request under way in {busy:.0%} of the time, {at_once:.1f} reads at once in the mean)"


def _shares(point: Point) -> Iterator[Share]:
    """Of the limits that were set, and of those that were measured."""
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
    reads, most = point.mean(m.DISK_READS), _most_reads(point)
    if reads is not None and most and not reads_limit:
        size_kib = point.mean(m.DISK_REQUEST)
        size = f" of {size_kib:,.0f} KiB" if size_kib else ""
        yield Share("requests", reads / most, f"{reads:,.0f} requests{size} a second, of {most:,.0f} that it answers")


def _most_reads(point: Point) -> float | None:
    """Reads of 4 KiB a second that its storage was measured to answer. None: it was not measured."""
    profiles = [best(STORAGE_LIMIT.in_(start.tags) or ()) for start in point.starts]
    return max((each.reads_per_s_4_kib for each in profiles if each and each.reads_per_s_4_kib), default=None)


def _setting(point: Point, name: str) -> float | None:
    text = point.starts[0].params.get(STORAGE.name(name)) if point.starts else None
    return None if text in {None, "", "None"} else float(str(text))
