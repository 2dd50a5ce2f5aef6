"""What a process tree leaves behind in /dev/shm, found and removed. Standard library only: the keeper imports it.

A segment of shared memory is a file there, and outlives a process that was killed. The kernel does not record which process made a file, so
one counts as the tree's only if it did not exist before exec, and a process of the tree had it open or mapped, or its name holds the pid of
one, as some libraries have it. Files are told apart by their inodes: sem_open(3) makes one under another name than its own. What else is
new there may be anybody's; it is reported, and stays.
"""

import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from bench.system.processes import every_pid

FOLDER = "/dev/shm"  # noqa: S108  # where shm_open and sem_open put their files: shm_overview(7)
LOOKS_AFTER_CHANGE = 2
LISTING_AT_MOST = 100_000  # files; a tree that makes more of them is not followed to the end

# Of libraries that do not keep such a file open or mapped.
PID_IN_NAME = re.compile(r"torch_(\d+)_|__KMP_REGISTERED_LIB_(\d+)|(?:sem\.)?loky-(\d+)-")

File = tuple[str, int]  # path, inode


class SharedMemory:
    """The files that a tree has made in `folder`, as far as `look` found them: since this was created, or since `began_at`, UNIX time."""

    def __init__(self, folder: str = FOLDER, began_at: float = math.inf) -> None:
        self._folder = folder
        self._before = {inode for path, inode in _listed(folder) if _changed_at(path) < began_at}
        self._made: set[int] = set()  # inodes
        self._pids: set[int] = set()  # of the tree
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
        """Notes these processes, and all that they have open or mapped."""
        for pid in pids:
            self._pids.add(pid)
            if len(self._made) < LISTING_AT_MOST:
                self._made.update(inode for _, inode in _files_of(pid, self._folder))

    def remove(self) -> list[str]:
        """Call it when the tree is gone. Removes what it made, is ours, and no living process uses. Returns the names of other files that are
        ours, new and used by no process: perhaps of the tree.
        """
        left = {file for file in _listed(self._folder) if file[1] not in self._before and _is_ours(*file)}
        if left:
            used = {inode for pid in every_pid() for _, inode in _files_of(pid, self._folder)}
            left = {file for file in left if file[1] not in used}
        made = {file for file in left if file[1] in self._made or self._is_named_by(file[0])}
        for path, _ in made:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108  # no Path: the keeper starts in milliseconds
        return sorted(os.path.basename(path) for path, _ in left - made)  # noqa: PTH119

    def _is_named_by(self, path: str) -> bool:
        found = PID_IN_NAME.match(os.path.basename(path))  # noqa: PTH119
        return found is not None and int(next(filter(None, found.groups()))) in self._pids


def _listed(folder: str) -> Iterator[File]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.path, entry.inode()


def _changed_ns(folder: str) -> int | None:
    with suppress(OSError):
        return os.stat(folder).st_mtime_ns  # noqa: PTH116
    return None


def _changed_at(path: str) -> float:
    """UNIX time. What is gone has not been here before."""
    with suppress(OSError):
        return os.lstat(path).st_ctime
    return math.inf


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
