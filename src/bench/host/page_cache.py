"""The page cache of a checkpoint's files: emptied or filled on purpose, and measured, never believed.

No kernel interface tells the resident share truly everywhere: cachestat(2) refuses other people's files and says 0 on
overlayfs, mincore(2) says 100 % to whoever may not write the file, RWF_NOWAIT is not supported by every file system. So
each is tried on a file of the checkpoint itself, in a state that we know, and the first that tells it is used. Where
none does, the share is None, and the state of the start is called unverified.

Needs read permission only, not root.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CHUNK = 8 * 1024**2
WINDOW = 1024**3  # mincore looks at this much at a time
SAMPLES = 2000  # pages; a share of 50 % is then known to ±2.2 % (95 %, binomial)
TRIES = 3
PROBED = 4 * 1024**2  # bytes of the file that the gauges are tried on
CACHESTAT = 451  # the system call's number on every architecture, since Linux 6.5
TRUE_WITHIN = 0.05

Gauge = Callable[[Path, int], float | None]  # of the file's first bytes, this many


@dataclass(frozen=True)
class Residency:
    """The share of the files' bytes that is in the page cache, 0 to 1, and which interface told it. Both None: unknown."""

    share: float | None
    gauge: str | None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor that only reads."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def unique_files(paths: Iterable[Path]) -> list[Path]:
    """Real paths, each inode once: a hub's snapshot is made of links."""
    found: dict[tuple[int, int], Path] = {}
    for path in paths:
        real = path.resolve()
        stat = real.stat()
        found.setdefault((stat.st_dev, stat.st_ino), real)
    return sorted(found.values())


def evict(paths: Iterable[Path]) -> None:
    """Ask the kernel to forget the files. Pages that a live process has mapped stay; dirty ones are written first."""
    for path in paths:
        with _opened(path) as fd:
            with suppress(OSError):  # some file systems refuse it on a descriptor that only reads
                os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def warm(paths: Iterable[Path]) -> None:
    """Read the files once, to the end."""
    buffer = memoryview(bytearray(CHUNK))
    for path in paths:
        with _opened(path) as fd:
            offset = 0
            while count := os.preadv(fd, [buffer], offset):
                offset += count


def mapped_by(paths: Iterable[Path]) -> dict[int, str]:
    """Processes that have one of the files mapped, by pid, with their names. Those that we may not look into are missing."""
    stats = [path.stat() for path in paths]
    inodes = {(os.major(stat.st_dev), os.minor(stat.st_dev), stat.st_ino) for stat in stats}
    found = {}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError, ValueError):
            if any(_mapping(line) in inodes for line in maps.read_text(errors="replace").splitlines()):
                found[int(maps.parent.name)] = (maps.parent / "comm").read_text().strip()
    return found


def _mapping(line: str) -> tuple[int, int, int] | None:
    """Device and inode of a line of /proc/PID/maps; see proc(5)."""
    _, _, _, device, inode, *_ = line.split()
    major, _, minor = device.partition(":")
    return int(major, 16), int(minor, 16), int(inode)


def residency(paths: Sequence[Path], gauge: str | None) -> Residency:
    """How much of the files is in the page cache, told by this gauge."""
    if gauge is None:
        return Residency(None, None)
    sizes = [path.stat().st_size for path in paths]
    shares = [GAUGES[gauge](path, size) for path, size in zip(paths, sizes, strict=True)]
    if not sum(sizes) or None in shares:
        return Residency(None, None)
    return Residency(sum(share * size for share, size in zip(shares, sizes, strict=True) if share) / sum(sizes), gauge)


def find_gauge(paths: Sequence[Path]) -> str | None:
    """The first interface that is true for these files and this user, or None.

    Tried on the start of the smallest file that is large enough: emptied, it must say 0; read to its half, a half.
    The file's share of the cache is not what it was afterwards: call this before a state is made, not after.
    """
    by_size = sorted(paths, key=lambda path: path.stat().st_size)
    chosen = next((path for path in by_size if path.stat().st_size >= PROBED), by_size[-1] if by_size else None)
    if chosen is None:
        return None
    size = min(chosen.stat().st_size, PROBED)
    empty = _all_gauges(chosen, size, lambda: evict([chosen]))
    half = _all_gauges(chosen, size, lambda: _read_half(chosen, size))
    evict([chosen])
    true = [name for name in GAUGES if _near(empty[name], 0.0) and _near(half[name], 0.5)]
    return true[0] if true else None


def agreeing_gauge(paths: Sequence[Path]) -> str | None:
    """For files whose state must not be touched: the first interface that another one agrees with, or None."""
    told = {name: residency(paths, name).share for name in GAUGES}
    for name, share in told.items():
        if any(_near(other, share) for rival, other in told.items() if rival != name and share is not None):
            return name
    return None


def make_cold(paths: Sequence[Path], gauge: str | None) -> None:
    """Evict until the gauge says that nothing is left, or it does not help."""
    for _ in range(TRIES):
        evict(paths)
        if residency(paths, gauge).share in {None, 0.0}:
            return


def make_warm(paths: Sequence[Path], gauge: str | None) -> None:
    """Read until the gauge says that all is there, or it does not help: the host's memory may be too small."""
    for _ in range(TRIES):
        warm(paths)
        if residency(paths, gauge).share in {None, 1.0}:
            return


def _near(told: float | None, known: float | None) -> bool:
    return told is not None and known is not None and abs(told - known) <= TRUE_WITHIN


def _all_gauges(path: Path, size: int, make_state: Callable[[], None]) -> dict[str, float | None]:
    """What each gauge tells of a state that is made anew for it: the sampling one can leave pages behind."""
    told: dict[str, float | None] = {}
    for name, gauge in GAUGES.items():
        make_state()
        told[name] = gauge(path, size)
    return told


def _read_half(path: Path, size: int) -> None:
    evict([path])
    with _opened(path) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # without read-ahead, so that it is the half and no more
        buffer = memoryview(bytearray(mmap.PAGESIZE))
        for offset in range(0, size // 2, mmap.PAGESIZE):
            os.preadv(fd, [buffer], offset)


def _cachestat(path: Path, size: int) -> float | None:
    """cachestat(2): exact, and quick. None where the kernel or the file's owner does not allow it."""
    asked = (ctypes.c_uint64 * 2)(0, size)  # offset, length
    answer = (ctypes.c_uint64 * 5)()  # nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted
    with _opened(path) as fd:
        failed = _libc().syscall(CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(answer), 0)
    return None if failed else min(1.0, answer[0] * mmap.PAGESIZE / size) if size else None


def _mincore(path: Path, size: int) -> float | None:
    """mincore(2) over a mapping that is never touched."""
    libc = _libc()
    libc.mmap.restype = ctypes.c_void_p
    resident = 0
    with _opened(path) as fd:
        for offset in range(0, size, WINDOW):
            length = min(WINDOW, size - offset)
            address = libc.mmap(
                None, ctypes.c_size_t(length), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(offset)
            )
            if address in {None, ctypes.c_void_p(-1).value}:
                return None
            pages = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
            failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages)
            libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))
            if failed:
                return None
            resident += sum(bytes(pages).count(value) for value in range(1, 256, 2))  # the lowest bit counts
    return min(1.0, resident * mmap.PAGESIZE / size) if size else None


def _nowait(path: Path, size: int) -> float | None:
    """Pages drawn at random and read with RWF_NOWAIT, which refuses what is not in the cache. For anybody who may read.

    Since some kernels start to read what they refuse, read-ahead is off and what was refused is evicted again.
    """
    pages = -(-size // mmap.PAGESIZE)
    drawn = sorted(random.Random(size).sample(range(pages), min(SAMPLES, pages)))  # noqa: S311  # no secret
    buffer = memoryview(bytearray(mmap.PAGESIZE))
    absent = []
    with _opened(path) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for page in drawn:
            try:
                os.preadv(fd, [buffer], page * mmap.PAGESIZE, os.RWF_NOWAIT)
            except BlockingIOError:
                absent.append(page)
            except OSError:
                return None
        for page in absent:
            os.posix_fadvise(fd, page * mmap.PAGESIZE, mmap.PAGESIZE, os.POSIX_FADV_DONTNEED)
    return 1.0 - len(absent) / len(drawn) if drawn else None


GAUGES: dict[str, Gauge] = {"cachestat": _cachestat, "mincore": _mincore, "nowait": _nowait}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
