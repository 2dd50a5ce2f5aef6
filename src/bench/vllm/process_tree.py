"""The memory of a whole process tree, read from outside. No process of the tree is stopped or contacted.

/proc/PID/status is a few microseconds a process and can be read often. /proc/PID/smaps_rollup walks the page tables and
holds the process's mmap_lock meanwhile: it is for rare moments. Source: proc(5).
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from bench.host.counters import Used, used_by
from bench.system.processes import every_pid
from bench.vllm.keeper_reports import is_below

T = TypeVar("T")

KIB = 1024
WHOLE = 1 << 14  # bytes; more than these files have
LISTING_SHARE = 0.0005  # of wall time, for listing all of /proc
LISTING_EVERY_S = 1.0
FIND_EVERY_S = 0.3  # new children


class Resident(NamedTuple):
    """Bytes in memory, by what is behind them. A page that two processes share is in the sum over them twice."""

    anon: int
    file: int  # mapped files: packages, and weights that are mapped
    shmem: int  # shared memory: /dev/shm, tmpfs, shared anonymous mappings

    @property
    def all(self) -> int:
        return self.anon + self.file + self.shmem


@dataclass(frozen=True)
class Member:
    """The files of one process, kept open: they stay those of this process when its pid is reused."""

    status: int
    children: int | None  # of its first thread; None: this kernel does not list them


class Pace:
    """Limits an expensive action: no more often than every `every_s`, and for at most `share` of the wall time.

    Its duration is estimated from the last call, in proportion to `size`; before the first call from `s_per_size`. Durations
    are CPU time of this thread.
    """

    def __init__(self, share: float, every_s: float = 0.0, s_per_size: float = 0.0) -> None:
        self._share = share
        self._every_s = every_s
        self._spent_s = 0.0
        self._next_s = 0.0
        self._s_per_size = s_per_size

    def maybe(self, action: Callable[[], T], elapsed_s: float, *, size: float = 1.0, anyway: bool = False) -> T | None:
        """What the action returns, if its time has come. `elapsed_s` is the wall time since the beginning."""
        affordable = self._spent_s + self._s_per_size * size <= self._share * elapsed_s
        if not anyway and (elapsed_s < self._next_s or not affordable):
            return None
        began_s = time.thread_time()
        found = action()
        took_s = time.thread_time() - began_s
        self._spent_s += took_s
        self._s_per_size = took_s / size
        self._next_s = elapsed_s + self._every_s
        return found


class Tree:
    """Every process below `root`, and not `root` itself. It may be used by one thread, and is closed at the end.

    Most are found within 0.3 s, as children of a process's first thread. Those that another thread has started are found in
    the list of all processes, which is read about once a second, less often where it is long.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._members: dict[int, Member] = {}
        self._root_children = _opened(f"/proc/{root}/task/{root}/children")
        self._seen = set(every_pid())  # they were there before
        self._find_s = 0.0
        self._listing = Pace(LISTING_SHARE, LISTING_EVERY_S)

    def close(self) -> None:
        for pid in list(self._members):
            self._remove(pid)
        if self._root_children is not None:
            os.close(self._root_children)

    def look(self, elapsed_s: float) -> Resident | None:
        """The sum over all that live now. None: no process lives, or this kernel does not count them separately (before Linux 4.5)."""
        if elapsed_s >= self._find_s:
            self._find(elapsed_s)
        found = []
        for pid, member in list(self._members.items()):
            try:
                found.append(resident(os.pread(member.status, WHOLE, 0)))
            except OSError:  # it ended
                self._remove(pid)
        if None in found or not found:
            return None
        anon, file, shmem = map(sum, zip(*found, strict=True))
        return Resident(anon, file, shmem) if anon + file + shmem else None

    def pss(self) -> int | None:
        """Bytes in memory where each page is shared out among the processes that map it, so that their sum is true.

        Takes milliseconds. None: no process lives, or one of them may not be read.
        """
        shares = []
        for pid in self._members:
            try:
                shares.append(_pss(pid))
            except (ProcessLookupError, FileNotFoundError):  # it ended
                continue
            except OSError:
                return None
        return sum(shares) if shares else None

    def used(self) -> Used:
        """By all that the last `look` found, by the root, and by all of theirs that have ended: so by the whole tree since it began."""
        return used_by([self._root, *self._members])

    def pids(self) -> set[int]:
        """The pids that the last `look` found."""
        return set(self._members)

    def _find(self, elapsed_s: float) -> None:
        self._find_s = elapsed_s + FIND_EVERY_S
        frontier = [self._root_children, *(each.children for each in self._members.values())]
        while frontier:
            new = [self._added(pid) for pid in _pids_in(frontier.pop()) if pid not in self._members]
            frontier += [member.children for member in new if member]
        self._listing.maybe(self._list_all, elapsed_s)

    def _list_all(self) -> None:
        every = set(every_pid())
        for pid in every - self._seen - self._members.keys():
            if pid != self._root and is_below(pid, self._root):
                self._added(pid)
        self._seen = every

    def _added(self, pid: int) -> Member | None:
        status = _opened(f"/proc/{pid}/status")
        if status is None:  # it ended
            return None
        self._members[pid] = member = Member(status, _opened(f"/proc/{pid}/task/{pid}/children"))
        return member

    def _remove(self, pid: int) -> None:
        member = self._members.pop(pid)
        for file in (member.status, member.children):
            if file is not None:
                os.close(file)


def resident(status: bytes) -> Resident | None:
    """From the text of /proc/PID/status. A process that has ended and is not reaped yet has no memory.

    None: this kernel gives one number for all of it.
    """
    _, found, rest = status.partition(b"\nRssAnon:")
    if not found:
        return None if b"\nVmRSS:" in status else Resident(0, 0, 0)
    anon, _, _, file, _, _, shmem, *_ = rest.split(None, 7)  # 1 kB RssFile: 2 kB RssShmem: 3 kB
    return Resident(int(anon) * KIB, int(file) * KIB, int(shmem) * KIB)


def _pss(pid: int) -> int:
    """Opened each time: an open one belongs to the program that ran then, and would hold on to it after an exec."""
    file = os.open(f"/proc/{pid}/smaps_rollup", os.O_RDONLY)
    try:
        return int(os.pread(file, WHOLE, 0).partition(b"\nPss:")[2].split(None, 1)[0]) * KIB
    finally:
        os.close(file)


def _pids_in(children: int | None) -> list[int]:
    with suppress(OSError):  # it ended
        if children is not None:
            return [int(pid) for pid in os.pread(children, WHOLE, 0).split()]
    return []


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None
