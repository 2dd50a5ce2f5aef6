"""The page cache of a checkpoint's files: evicted or filled on purpose, and always verified by measurement.

No gauge of the kernel's (page_cache_gauges.py) is correct everywhere. So each is tried on a file of the checkpoint itself, in a known
state, and the first one that is correct is used. Where none is, the share is None, and the state of the start is called unverified.

Needs read permission only, not root.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bench.host.page_cache_gauges import GAUGES, opened, pages_of
from bench.host.storage import storage_bytes

CHUNK = 8 * 1024**2
SAMPLES = 2000  # pages of all files together; a share of 50 % is then known to ±2.2 % (95 %, binomial)
TRIES = 3
PROBED = 4 * 1024**2  # bytes of the file that the gauges are tried on
TRUE_WITHIN = 0.05


def unique_files(paths: Iterable[Path]) -> list[Path]:
    """Real paths, each inode once: a hub's snapshot is made of links."""
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        real = path.resolve()
        stat = real.stat()
        found.setdefault((stat.st_dev, stat.st_ino), real)
    return sorted(found.values())


def evict(paths: Iterable[Path]) -> None:
    """Evict the files from the page cache. Pages that a live process has mapped stay; dirty ones are written first."""
    for path in paths:
        with opened(path) as fd:
            with suppress(OSError):  # some file systems refuse it on a descriptor that only reads
                os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def warm(paths: Iterable[Path]) -> None:
    """Read the files once, to the end."""
    buffer = memoryview(bytearray(CHUNK))
    for path in paths:
        with opened(path) as fd:
            offset = 0
            while count := os.preadv(fd, [buffer], offset):
                offset += count


def mapped_by(paths: Iterable[Path]) -> dict[int, str]:
    """Processes that have one of the files mapped, by pid, with their names. Those whose maps we may not read are missing."""
    stats = [path.stat() for path in paths]
    inodes = {(os.major(stat.st_dev), os.minor(stat.st_dev), stat.st_ino) for stat in stats}
    found = {}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError, ValueError):
            if any(
                _mapping(line) in inodes for line in maps.read_text(encoding="utf-8", errors="replace").splitlines()
            ):
                found[int(maps.parent.name)] = (maps.parent / "comm").read_text(encoding="utf-8").strip()
    return found


def _mapping(line: str) -> tuple[int, int, int] | None:
    """Device and inode of a line of /proc/PID/maps; see proc(5)."""
    _, _, _, device, inode, *_ = line.split()
    major, _, minor = device.partition(":")
    return int(major, 16), int(minor, 16), int(inode)


def residency(paths: Sequence[Path], gauge: str | None) -> float | None:
    """The share of the files' bytes that is in the page cache, 0 to 1, measured by this gauge. None: unknown."""
    sizes = {path: size for path in paths if (size := path.stat().st_size)}
    total = sum(sizes.values())
    if gauge is None or not total:
        return None
    shares = {path: GAUGES[gauge](path, size, -(-SAMPLES * size // total)) for path, size in sizes.items()}
    resident = [share * sizes[path] for path, share in shares.items() if share is not None]
    return sum(resident) / total if len(resident) == len(sizes) else None


def find_gauge(paths: Sequence[Path]) -> str | None:
    """The first interface that is correct for these files and this user, or None.

    Tried on the start of the smallest file that is large enough: evicted, it must report 0; half of its pages read, a half.
    This changes what is cached of the file: call it before a state is established, not after.
    """
    chosen = _tried_on(paths)
    if chosen is None:
        return None
    size = min(chosen.stat().st_size, PROBED)
    half = -(-pages_of(size) // 2)
    when_empty = _all_gauges(chosen, size, lambda: evict([chosen]))
    when_half = _all_gauges(chosen, size, lambda: _read_first(chosen, half))
    evict([chosen])
    known = half / pages_of(size)
    true = [name for name in GAUGES if _near(when_empty[name], 0.0) and _near(when_half[name], known)]
    return true[0] if true else None


def _tried_on(paths: Sequence[Path]) -> Path | None:
    by_size = sorted((path for path in paths if path.stat().st_size), key=lambda path: path.stat().st_size)
    return next((path for path in by_size if path.stat().st_size >= PROBED), by_size[-1] if by_size else None)


def counts_reads(paths: Sequence[Path]) -> bool | None:
    """Whether the kernel counts what is read of these files from storage: tried as the gauges are, with the same effect. None: it
    counts nothing.
    """
    chosen = _tried_on(paths)
    if chosen is None:
        return None
    size = min(chosen.stat().st_size, PROBED)
    evict([chosen])
    before = _storage_bytes_of_thread()
    _read_first(chosen, pages_of(size))
    after = _storage_bytes_of_thread()
    return None if before is None or after is None else after - before >= (1 - TRUE_WITHIN) * size


def _storage_bytes_of_thread() -> int | None:
    with suppress(OSError):
        return storage_bytes(Path("/proc/thread-self/io").read_bytes())
    return None


def agreeing_gauge(paths: Sequence[Path]) -> str | None:
    """For files whose state must not change: the first interface that another one agrees with, or None."""
    measured = {name: residency(paths, name) for name in GAUGES}
    for name, share in measured.items():
        if any(_near(other, share) for rival, other in measured.items() if rival != name and share is not None):
            return name
    return None


def make_cold(paths: Sequence[Path], gauge: str | None) -> None:
    """Evict until the gauge reports that nothing is left, at most TRIES times."""
    for _ in range(TRIES):
        evict(paths)
        if residency(paths, gauge) in {None, 0.0}:
            return


def make_warm(paths: Sequence[Path], gauge: str | None) -> None:
    """Read until the gauge reports that all is there, at most TRIES times: the host's memory may be too small."""
    for _ in range(TRIES):
        warm(paths)
        if residency(paths, gauge) in {None, 1.0}:
            return


def _near(measured: float | None, known: float | None) -> bool:
    return measured is not None and known is not None and abs(measured - known) <= TRUE_WITHIN


def _all_gauges(path: Path, size: int, make_state: Callable[[], None]) -> dict[str, float | None]:
    """The share by each gauge, the state re-established before each: the sampling one can leave pages behind."""
    measured: dict[str, float | None] = {}
    for name, gauge in GAUGES.items():
        make_state()
        measured[name] = gauge(path, size, SAMPLES)
    return measured


def _read_first(path: Path, pages: int) -> None:
    evict([path])
    with opened(path) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # without read-ahead, so that it is these pages and no more
        buffer = memoryview(bytearray(mmap.PAGESIZE))
        for page in range(pages):
            os.preadv(fd, [buffer], page * mmap.PAGESIZE)
