"""How long a point's weights would load from another storage: from what it read of its own, and what the other one allows. Pure.

A load takes the longest of four times, as if they fully overlapped: what it took here, where its storage did not hold it back; its bytes at the other's
bandwidth; its requests at the other's rate; and the latencies of its requests, as many of them at once as here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.held_back import is_held_back, requests_while_loading, under_way
from bench.analysis.records import Point
from bench.host.storage_facts import READ_AHEAD
from bench.start import metrics as m
from bench.start.tags import STORAGE

KIB_PER_GIB = 1024**2
PROCESSING, BANDWIDTH, REQUESTS, LATENCY = "processing", "bandwidth", "requests", "latency"
WINDOWS = 2  # of read-ahead, adjacent ones of which the kernel merges: a request that is larger was asked for by the reader itself


@dataclass(frozen=True)
class Target:
    """A storage. None: it does not limit this; `read_ahead_kib`: it has the read-ahead of the storage that was read."""

    reads_per_s: float | None = None
    gib_per_s: float | None = None
    latency_s: float | None = None  # of each request
    read_ahead_kib: float | None = None


@dataclass(frozen=True)
class Reads:
    """What a load read, medians over its starts: one that others disturbed is a likely outlier. None: it was not counted. `is_held_back`: by the storage that it read; None: unknown."""

    load_s: float
    gib: float
    is_held_back: bool | None
    requests: float | None = None
    at_once: float | None = None  # requests under way, while there were any
    read_ahead_kib: float | None = None
    largest_kib: float | None = None  # request of the device
    is_direct: bool = False


@dataclass(frozen=True)
class Prediction:
    """`held_by`: which of the four times is the longest. `load_s` None: nothing is predicted, and `why` has the reason."""

    load_s: float | None = None
    held_by: str | None = None
    why: str = ""


def reads_of(point: Point) -> Reads | str:
    """What its starts recorded; else why nothing follows from them."""
    if not point.starts:
        return "none of its starts counts"
    load_s, gib = _median(point.values(m.PROBE_LOAD_WEIGHTS)), _median(point.values(m.IO_READ))
    if load_s is None:
        return f"its starts have no {m.PROBE_LOAD_WEIGHTS.name}: the probe was off, or did not report"
    if point.state == "warm":
        return "its starts were warm: only a cold start shows what a load reads"
    if gib is None:
        return f"its starts have no {m.IO_READ.name}: what they read of the storage is unknown"
    first = point.starts[0]
    return Reads(
        load_s,
        gib,
        is_held_back(point),
        requests_while_loading(point),
        under_way(point),
        _number(first.tags.get(STORAGE.name(READ_AHEAD.name))),
        _number(first.tags.get(STORAGE.name("max_sectors_kb"))),
        first.params.get("load_format.direct_io") == "True",
    )


def predict(reads: Reads, target: Target) -> Prediction:
    """Of one load on one storage."""
    missing = next(_missing(reads, target), None)
    if missing:
        return Prediction(why=missing)
    times = {PROCESSING: reads.load_s} | dict(_storage_times(reads, target))
    held_by = max(times, key=lambda name: times[name])
    if held_by == PROCESSING and reads.gib and reads.is_held_back is not False:
        seen = "held it back" if reads.is_held_back else "may have held it back"
        return Prediction(
            why=f"at most {reads.load_s:.2f} s: the storage that it read {seen}, so what it needs without is unknown"
        )
    return Prediction(times[held_by], held_by)


def requests_there(reads: Reads, target: Target) -> float | None:
    """A reader through the page cache makes requests as large as read-ahead allows, the device's largest at most; one that reads past it, or
    that asks for more than read-ahead by itself, makes the same as here. None: unknown.
    """
    if not reads.requests or target.read_ahead_kib is None or reads.is_direct:
        return reads.requests
    if (
        not reads.read_ahead_kib or target.read_ahead_kib == 0
    ):  # without read-ahead each page that is touched is a request
        return reads.requests if target.read_ahead_kib == reads.read_ahead_kib else None
    size_kib = reads.gib * KIB_PER_GIB / reads.requests
    if size_kib > WINDOWS * reads.read_ahead_kib or target.read_ahead_kib == reads.read_ahead_kib:
        return reads.requests
    there_kib = size_kib * target.read_ahead_kib / reads.read_ahead_kib
    most_kib = max(size_kib, reads.largest_kib) if reads.largest_kib else there_kib
    return reads.requests * size_kib / min(there_kib, most_kib)


def _missing(reads: Reads, target: Target) -> Iterator[str]:
    """What the prediction needs and nobody counted."""
    if not reads.gib:
        return
    if (target.reads_per_s or target.latency_s) and reads.requests is None:
        yield f"its starts have neither {m.LOAD_READS.name} nor {m.DISK_READS.name}: its requests were not counted"
    elif (target.reads_per_s or target.latency_s) and requests_there(reads, target) is None:
        yield "how many requests it makes with another read-ahead is unknown, since its own is unknown or one of them is 0"
    if target.latency_s and reads.at_once is None:
        yield "how many of its requests were under way at once was not counted, so their latencies cannot be added up"


def _storage_times(reads: Reads, target: Target) -> Iterator[tuple[str, float]]:
    requests = requests_there(reads, target)
    if target.gib_per_s:
        yield BANDWIDTH, reads.gib / target.gib_per_s
    if target.reads_per_s and requests is not None:
        yield REQUESTS, requests / target.reads_per_s
    if target.latency_s and requests is not None and reads.at_once:
        yield LATENCY, requests * target.latency_s / max(1.0, reads.at_once)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # layers of one storage may differ in it
        return None
