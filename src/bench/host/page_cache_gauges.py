"""How much of a file is in the page cache, by three interfaces of the kernel.

None is correct everywhere: cachestat(2) refuses other users' files and returns 0 on overlayfs, mincore(2) reports 100 % to users who may not
write the file, and not every kernel and file system counts what a read took from storage.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.host.storage import storage_bytes

WINDOW = 1024**3  # bytes mapped for mincore at a time
CACHESTAT = 451  # the system call's number on every architecture, since Linux 6.5

# The share of a file's first bytes, this many; by so many samples, where it samples.
Gauge = Callable[[Path, int, int], float | None]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor that only reads."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def pages_of(size: int) -> int:
    """The last one may be cut."""
    return -(-size // mmap.PAGESIZE)


def _cachestat(path: Path, size: int, _samples: int) -> float | None:
    """cachestat(2): exact, and quick. None where the kernel or the file's owner does not allow it."""
    requested = (ctypes.c_uint64 * 2)(0, size)  # offset, length
    answer = (ctypes.c_uint64 * 5)()  # nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted
    with opened(path) as fd:
        failed = _libc().syscall(CACHESTAT, fd, ctypes.byref(requested), ctypes.byref(answer), 0)
    return None if failed else min(1.0, answer[0] / pages_of(size))


def _mincore(path: Path, size: int, _samples: int) -> float | None:
    """mincore(2) over a mapping that is never touched."""
    libc = _libc()
    libc.mmap.restype = ctypes.c_void_p
    resident = 0
    with opened(path) as fd:
        for offset in range(0, size, WINDOW):
            length = min(WINDOW, size - offset)
            address = libc.mmap(
                None, ctypes.c_size_t(length), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(offset)
            )
            if address in {None, ctypes.c_void_p(-1).value}:
                return None
            pages = (ctypes.c_ubyte * pages_of(length))()
            failed = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages)
            libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))
            if failed:
                return None
            resident += sum(bytes(pages).count(value) for value in range(1, 256, 2))  # the lowest bit counts
    return resident / pages_of(size)


def _sampled(path: Path, size: int, samples: int) -> float | None:
    """Pages drawn at random and read: one that this thread had to fetch from storage was absent. Needs read permission only.

    RWF_NOWAIT would query without reading; but kernels start to read the pages for which they return EAGAIN, and fast storage
    delivers them before that. What was absent is evicted again. None where the kernel does not count what we read.
    """
    pages = pages_of(size)
    drawn = sorted(random.Random(size).sample(range(pages), min(samples, pages)))  # noqa: S311  # no secret
    buffer = memoryview(bytearray(mmap.PAGESIZE))
    absent = []
    try:
        counters = os.open("/proc/thread-self/io", os.O_RDONLY)
    except OSError:
        return None
    with opened(path) as fd, os.fdopen(counters, "rb", buffering=0):
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


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


GAUGES: dict[str, Gauge] = {"cachestat": _cachestat, "mincore": _mincore, "sampled": _sampled}
