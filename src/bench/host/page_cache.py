"""The page cache of a checkpoint's files: evicted or filled on purpose, and always verified by measurement.

No kernel interface reports the resident share correctly everywhere: cachestat(2) refuses other users' files and returns 0 on
overlayfs, mincore(2) reports 100 % to users who may not write the file, and not every kernel and file system counts what a
read took from storage. So each is tried on a file of the checkpoint itself, in a known state, and the first one that is
correct is used. Where none is, the share is None, and the state of the start is called unverified.

Needs read permission only, not root.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.host.storage import storage_bytes

CHUNK = 8 * 1024**2
WINDOW = 1024**3  # bytes mapped for mincore at a time
SAMPLES = 2000  # pages of all files together; a share of 50 % is then known to ±2.2 % (95 %, binomial)
TRIES = 3
PROBED = 4 * 1024**2  # bytes of the file that the gauges are tried on
CACHESTAT = 451  # the system call's number on every architecture, since Linux 6.5
TRUE_WITHIN = 0.05

# The share of a file's first bytes, this many; by so many samples, where it samples.
Gauge = Callable[[Path, int, int], float | None]


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
    """Evict the files from the page cache. Pages that a live process has mapped stay; dirty ones are written first."""
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
    half = -(-_pages(size) // 2)
    when_empty = _all_gauges(chosen, size, lambda: evict([chosen]))
    when_half = _all_gauges(chosen, size, lambda: _read_first(chosen, half))
    evict([chosen])
    known = half / _pages(size)
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
    _read_first(chosen, _pages(size))
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
    with _opened(path) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # without read-ahead, so that it is these pages and no more
        buffer = memoryview(bytearray(mmap.PAGESIZE))
        for page in range(pages):
            os.preadv(fd, [buffer], page * mmap.PAGESIZE)


def _pages(size: int) -> int:
    """The last one may be cut."""
    return -(-size // mmap.PAGESIZE)


def _cachestat(path: Path, size: int, _samples: int) -> float | None:
    """cachestat(2): exact, and quick. None where the kernel or the file's owner does not allow it."""
    requested = (ctypes.c_uint64 * 2)(0, size)  # offset, length
    answer = (ctypes.c_uint64 * 5)()  # nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted
    with _opened(path) as fd:
        failed = _libc().syscall(CACHESTAT, fd, ctypes.byref(requested), ctypes.byref(answer), 0)
    return None if failed else min(1.0, answer[0] / _pages(size))


def _mincore(path: Path, size: int, _samples: int) -> float | None:
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
            pages = (ctypes.c_ubyte * _pages(length))()
            failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages)
            libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))
            if failed:
                return None
            resident += sum(bytes(pages).count(value) for value in range(1, 256, 2))  # the lowest bit counts
    return resident / _pages(size)


def _sampled(path: Path, size: int, samples: int) -> float | None:
    """Pages drawn at random and read: one that this thread had to fetch from storage was absent. Needs read permission only.

    RWF_NOWAIT would query without reading; but kernels start to read the pages for which they return EAGAIN, and fast storage
    delivers them before that. What was absent is evicted again. None where the kernel does not count what we read.
    """
    pages = _pages(size)
    drawn = sorted(random.Random(size).sample(range(pages), min(samples, pages)))  # noqa: S311  # no secret
    buffer = memoryview(bytearray(mmap.PAGESIZE))
    absent = []
    try:
        counters = os.open("/proc/thread-self/io", os.O_RDONLY)
    except OSError:
        return None
    with _opened(path) as fd, os.fdopen(counters, "rb", buffering=0):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        before = storage_bytes(os.pread(counters, mmap.PAGESIZE, 0))
        for page in drawn:
            os.preadv(fd, [buffer], page * mmap.PAGESIZE)
            after = storage_bytes(os.pread(counters, mmap.PAGESIZE, 0))
            if after is None:
                return None
            if after != before:
                absent.append(page)
            before = after
        for page in absent:
            os.posix_fadvise(fd, page * mmap.PAGESIZE, mmap.PAGESIZE, os.POSIX_FADV_DONTNEED)
    return 1.0 - len(absent) / len(drawn)


GAUGES: dict[str, Gauge] = {"cachestat": _cachestat, "mincore": _mincore, "sampled": _sampled}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
