"""The processes of this host: which there are, whose children they are, and their end. Standard library only: the keeper imports it."""

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TRACKERS_S = 3.0  # for Python's resource trackers to end by themselves
TRACKER = b"multiprocessing.resource_tracker"


def every_pid() -> Iterator[int]:
    """All processes of this host that /proc shows."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  # no Path: the keeper starts in milliseconds


def descendants(root: int) -> list[int]:
    """Every process below this one."""
    children = children_by_parent()
    found: list[int] = []
    frontier = [root]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


def children_by_parent() -> dict[int, list[int]]:
    """All processes of this host."""
    children: dict[int, list[int]] = {}
    for process in every_pid():
        with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            children.setdefault(parent_of(process), []).append(process)
    return children


def parent_of(pid: int) -> int:
    """Source: proc(5), /proc/PID/stat, field 4; field 2, the name in brackets, may hold blanks and brackets.

    Raises:
        OSError: it has ended.
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(") ")[2].split()[1])


def kill_all(pids: Iterable[int], *, spare_trackers: bool) -> None:
    """SIGKILL. A resource tracker, if it is spared, ends by itself once all processes that registered shared memory with it are gone."""
    for pid in pids:
        if not (spare_trackers and _is_tracker(pid)):
            kill(pid, signal.SIGKILL)


def kill(pid: int, name: int) -> None:
    """A signal to a process that may have ended meanwhile, or whose pid may belong to another user's process."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, name)


def _is_tracker(pid: int) -> bool:
    """Whether this is Python's multiprocessing/resource_tracker.py, which unlinks the shared memory of those that died."""
    with suppress(OSError):
        return TRACKER in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def adopt_orphans(*, on: bool = True) -> None:
    """Make this process the parent of every process below it whose own parent dies."""
    prctl(PR_SET_CHILD_SUBREAPER, int(on))


def prctl(option: int, value: int) -> None:
    """For this process. Where the kernel refuses, the tree is less well kept, which is no reason not to start."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
