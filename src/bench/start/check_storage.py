"""Emulated storages that were others than asked for. Each function gives a sentence for each contradiction, with both values."""

from collections.abc import Callable, Iterator, Sequence

from bench.host.counters import GIB
from bench.host.emulation.cgroup import Counted
from bench.host.emulation.emulate import Look
from bench.host.state import READ_AT_LEAST
from bench.start.evidence import Evidence

MORE_AT_MOST = 1.05  # of the limit, over any stretch of time
# Behind a pause the kernel lets the requests of one of its time slices pass at once; 0.1 to 0.12 s of them were measured. docs/decisions
BURST_S = 0.5


def limit_exceeded(e: Evidence) -> Iterator[str]:
    """By the count of the start's own cgroup, over the stretch in which most was too much."""
    if e.storage is None:
        return
    asked = e.storage.asked
    limits: list[tuple[int | None, Callable[[Counted], int], Callable[[float], str]]] = [
        (asked.read_iops, lambda each: each.reads, lambda value: f"{value:,.0f} requests"),
        (asked.bytes_per_s, lambda each: each.bytes, lambda value: f"{value / GIB:.3f} GiB"),
    ]
    for limit, count, shown in limits:
        if limit is not None and (found := _excess(e.storage.looks, count, limit)):
            amount, seconds = found
            yield (
                f"vLLM read {shown(amount)} in {seconds:.2f} s by its cgroup's count, and storage={asked.name} allows {shown(limit)} a second: "
                "the limit did not hold"
            )


def _excess(looks: Sequence[Look], count: Callable[[Counted], int], limit: int) -> tuple[int, float] | None:
    """The amount and seconds of the stretch that was furthest above what is allowed. None: none was."""
    rate, allowed = limit * MORE_AT_MOST, limit * BURST_S
    first, worst, found = None, allowed, None
    for look in looks:
        if first is not None:
            amount, seconds = count(look.counted) - count(first.counted), look.ended_s - first.began_s
            if amount - rate * seconds > worst:
                worst, found = amount - rate * seconds, (amount, seconds)
        if first is None or count(look.counted) - rate * look.began_s < count(first.counted) - rate * first.began_s:
            first = look
    return found


def limit_bypassed(e: Evidence) -> Iterator[str]:
    """What was read of another device, or outside of the cgroup, was not limited."""
    if e.storage is None or e.storage.counted is None or e.state is None or e.state.read_gib is None:
        return
    counted_gib = e.storage.counted.bytes / GIB
    if counted_gib < e.state.read_gib * READ_AT_LEAST:
        yield (
            f"the ranks read {e.state.read_gib:.2f} GiB from storage while loading by the probe, and {counted_gib:.2f} GiB of storage={e.storage.asked.name} "
            "by their cgroup's count: the rest was not limited"
        )


def limit_unknown(e: Evidence) -> Iterator[str]:
    """Limits that nobody can check."""
    if e.storage and e.storage.is_emulated and e.storage.asked.limits_reads and e.storage.counted is None:
        yield f"whether the limits of storage={e.storage.asked.name} held is not known: the cgroup's count of reads cannot be read"


def read_ahead_changed(e: Evidence) -> Iterator[str]:
    """Somebody else has set it meanwhile."""
    asked, after = (e.storage.asked.read_ahead_kb, e.storage.read_ahead_after) if e.storage else (None, None)
    if asked is not None and after is not None and after != str(asked):
        yield f"the device's read-ahead was {after} KiB after the end by the kernel, and storage.read_ahead_kb={asked} was set"
