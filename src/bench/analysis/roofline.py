"""How fast each point loaded, against what its storage, its page cache and its GPU's bus were measured to do. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.analysis.records import Point, RunRecord
from bench.host.storage_profile import StorageProfile, best
from bench.start import metrics as m
from bench.start.tags import STORAGE_LIMIT

STORAGE, PAGE_CACHE, PINNED, PAGEABLE = "storage", "page cache", "GPU, pinned", "GPU, pageable"
Rate = Callable[[RunRecord], float | None]
CEILINGS = (STORAGE, PAGE_CACHE, PINNED, PAGEABLE)


@dataclass(frozen=True)
class Roof:
    """Rates are GiB/s of all ranks together, means over the starts. `delivered`: tensors given to the ranks, over the slowest one's seconds of loading;
    `read`: from storage. None: not known. `ceilings`: what was measured of CEILINGS.
    """

    label: str
    n: int
    delivered: float | None
    read: float | None
    ceilings: dict[str, float]

    @property
    def rates(self) -> list[float]:
        """All that is to be shown."""
        known = [self.delivered, self.read, *self.ceilings.values()]
        return [rate for rate in known if rate]


def roofs(points: Sequence[Point]) -> tuple[Roof, ...]:
    """Of the points whose storage was measured, and of which a rate is known."""
    return tuple(_roofs(points))


def _roofs(points: Sequence[Point]) -> Iterator[Roof]:
    for point in points:
        profile = best([each for start in point.starts for each in STORAGE_LIMIT.in_(start.tags) or ()])
        if profile is None:
            continue
        delivered, read = _mean(point, _delivered), _mean(point, _read)
        if delivered or read:
            yield Roof(point.label, point.n, delivered, read, _ceilings(profile))


def _mean(point: Point, rate: Rate) -> float | None:
    known = [value for start in point.starts if (value := rate(start)) is not None]
    return fmean(known) if known else None


def _delivered(start: RunRecord) -> float | None:
    given, seconds = start.value(m.PROBE_DELIVERED), start.value(m.PROBE_LOAD_WEIGHTS)
    return given / seconds if given is not None and seconds else None


def _read(start: RunRecord) -> float | None:
    share, limit = start.value(m.STORAGE_SHARE), start.value(m.STORAGE_LIMIT)
    return share * limit if share is not None and limit is not None else None


def _ceilings(profile: StorageProfile) -> dict[str, float]:
    found = (profile.read_gib_per_s, profile.copy_gib_per_s, profile.pinned_gib_per_s, profile.pageable_gib_per_s)
    return {name: rate for name, rate in zip(CEILINGS, found, strict=True) if rate}
