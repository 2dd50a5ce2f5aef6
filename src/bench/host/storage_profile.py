"""StorageProfile: what a storage was measured to be able to do, and how firm that is. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from pydantic import TypeAdapter, ValidationError

GIB = 1024**3
FIRM_AT_LEAST = 3  # measurements: a shared storage is fast for seconds, and slow for minutes
MOVED = 0.10  # of the limit: measurements that differ by more are no firm limit
COUNTED = 0.9  # of what was read past the page cache, at least counted as storage's: else a cache has answered


@dataclass(frozen=True)
class StorageProfile:
    """Of one storage at one moment. Rates are those of all threads together. None: not measured here.

    `read_gib_per_s` is its limit: the best that direct reads reached, with as many threads and as large reads as it takes. `sustained_gib_per_s` is
    the mean over `seconds`. `reads_per_s_…` are random reads of that size.
    """

    place: str  # the device or file system that it is of, and what limits it there
    measured_at: float  # UNIX time
    read_gib_per_s: float
    sustained_gib_per_s: float
    threads: int  # with which that was reached
    block_kib: int
    seconds: float  # for which that cell was read
    read_gib: float  # by all cells together
    reads_per_s_4_kib: float | None = None
    reads_per_s_128_kib: float | None = None
    latency_s: float | None = None  # the median read of 4 KiB with nothing else under way
    read_ahead_kib: int | None = None
    is_direct: bool = True  # False: through the page cache, or a cache below answered
    is_steady: bool = False  # its seconds differ by at most 10 %; False too where it is too small to tell
    copy_gib_per_s: float | None = None  # from the page cache by read(), with a thread for each core
    copy_one_gib_per_s: float | None = None  # the same with one thread
    pinned_gib_per_s: float | None = None  # from host memory to one GPU
    pageable_gib_per_s: float | None = None

    @property
    def is_firm(self) -> bool:
        """Whether a start that reads faster is to be doubted, rather than the limit."""
        return self.is_direct and self.is_steady

    def as_json(self) -> str:
        """Short: figures with four digits, without what was not measured."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        rounded = {
            name: float(f"{value:.4g}") if isinstance(value, float) and name != "measured_at" else value
            for name, value in known.items()
        }
        return json.dumps(rounded)


_PROFILES = TypeAdapter(list[StorageProfile])


def to_text(profiles: Iterable[StorageProfile]) -> str:
    """As a tag or a file holds them, in the order in which they were measured."""
    return f"[{', '.join(profile.as_json() for profile in profiles)}]"


def from_text(text: str) -> tuple[StorageProfile, ...]:
    """The inverse. Empty: it is something else, as of another release. A limit of 0 is none."""
    try:
        return tuple(each for each in _PROFILES.validate_json(text) if each.read_gib_per_s > 0)
    except ValidationError:
        return ()


def of_place(profiles: Iterable[StorageProfile], place: str) -> tuple[StorageProfile, ...]:
    """Those of one storage."""
    return tuple(each for each in profiles if each.place == place)


def best(profiles: Sequence[StorageProfile]) -> StorageProfile | None:
    """Of several measurements of one storage the limit: the one that read most. What only one of them has is taken over. None: there is none."""
    if not profiles:
        return None
    most = max(profiles, key=lambda each: (each.is_direct, each.read_gib_per_s))
    return replace(
        most,
        copy_gib_per_s=_most(each.copy_gib_per_s for each in profiles),
        copy_one_gib_per_s=_most(each.copy_one_gib_per_s for each in profiles),
        pinned_gib_per_s=_most(each.pinned_gib_per_s for each in profiles),
        pageable_gib_per_s=_most(each.pageable_gib_per_s for each in profiles),
    )


def _most(rates: Iterable[float | None]) -> float | None:
    return max((rate for rate in rates if rate is not None), default=None)


def has_moved(profiles: Sequence[StorageProfile]) -> bool:
    """Whether measurements of one storage differ by more than MOVED."""
    rates = [each.read_gib_per_s for each in profiles]
    return bool(rates) and max(rates) > (1 + MOVED) * min(rates)


def is_firm(profiles: Sequence[StorageProfile]) -> bool:
    """Measured often enough, each time steadily and past the page cache, with one result."""
    return len(profiles) >= FIRM_AT_LEAST and all(each.is_firm for each in profiles) and not has_moved(profiles)


def could_become_firm(profiles: Sequence[StorageProfile]) -> bool:
    """Whether another measurement could make it so."""
    return len(profiles) < FIRM_AT_LEAST and all(each.is_firm for each in profiles) and not has_moved(profiles)
