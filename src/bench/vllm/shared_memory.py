"""What a process tree leaves behind in /dev/shm, found and removed. Standard library only: the keeper imports it.

A segment of shared memory is a file there, and outlives a process that was killed. The kernel does not record which process made a file, so
one counts as the tree's only if it did not exist before exec and a process of the tree had it open or mapped.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

FOLDER = "/dev/shm"  # noqa: S108  # where shm_open and sem_open put their files: shm_overview(7)
LOOKS_AFTER_CHANGE = 2
LISTING_AT_MOST = 100_000  # files; a tree that makes more of them is not followed to the end

File = tuple[str, int]  # path, inode


class SharedMemory:
    """The files that a tree has made in `folder` since this was created, as far as `look` found them."""

    def __init__(self, folder: str = FOLDER) -> None:
        self._folder = folder
        self._before = set(_listed(folder))
        self._made: set[File] = set()
        self._changed_ns = _changed_ns(folder)
        self._looks_due = 0

    def look_if_changed(self, pids: Callable[[], Iterable[int]]) -> None:
        """If files came or went since the last call, and once more at the next: a file is made first and mapped then. After a
        process's end its files are no longer known, so one call at the end is not enough; reading maps takes a lock, so it is done rarely.
        """
        changed_ns = _changed_ns(self._folder)
        if changed_ns != self._changed_ns:
            self._changed_ns, self._looks_due = changed_ns, LOOKS_AFTER_CHANGE
        if self._looks_due:
            self._looks_due -= 1
            self.look(pids())

    def look(self, pids: Iterable[int]) -> None:
        """All that these processes have open or mapped."""
        self._note(file for pid in pids for file in _files_of(pid, self._folder))

    def _note(self, files: Iterable[File]) -> None:
        for file in files:
            if file not in self._before and len(self._made) < LISTING_AT_MOST:
                self._made.add(file)

    def remove(self) -> list[str]:
        """Call it when the tree is gone. Removes what it made, is ours, and no living process uses. Returns the paths."""
        left = {file for file in self._made if _is_ours(*file)}
        if left:
            left -= {file for pid in every_pid() for file in _files_of(pid, self._folder)}
        removed = []
        for path, _ in sorted(left):
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108  # no Path: the keeper starts in milliseconds
                removed.append(path)
        return removed


def every_pid() -> Iterator[int]:
    """All processes of this host that /proc shows."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _listed(folder: str) -> Iterator[File]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.path, entry.inode()


def _changed_ns(folder: str) -> int | None:
    with suppress(OSError):
        return os.stat(folder).st_mtime_ns  # noqa: PTH116
    return None


def _is_ours(path: str, inode: int) -> bool:
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_ino == inode and found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode)
    return False


def _files_of(pid: int, folder: str) -> Iterator[File]:
    yield from _open_files(pid, folder)
    yield from _mapped_files(pid, folder)


def _open_files(pid: int, folder: str) -> Iterator[File]:
    descriptors = f"/proc/{pid}/fd"
    try:
        names = os.listdir(descriptors)  # noqa: PTH208
    except OSError:  # it ended, or is another user's
        return
    for name in names:
        with suppress(OSError):
            path = os.readlink(f"{descriptors}/{name}")  # noqa: PTH115
            if os.path.dirname(path) == folder:  # noqa: PTH120
                yield path, os.stat(f"{descriptors}/{name}").st_ino  # noqa: PTH116


def _mapped_files(pid: int, folder: str) -> Iterator[File]:
    """Source: proc(5), /proc/PID/maps: address, permissions, offset, device, inode, path."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:  # noqa: PTH123
            for line in maps:
                if folder in line:
                    *_, inode, path = line.rstrip("\n").split(None, 5)
                    if os.path.dirname(path) == folder:  # noqa: PTH120
                        yield path, int(inode)
    except OSError:
        return
