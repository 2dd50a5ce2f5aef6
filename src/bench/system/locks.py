"""Locks between processes: one file each, locked with flock, which the kernel frees however its holder ends.

The file stays when it is unlocked: removing it would let two processes hold two files of one name. The holder writes
its identity into it, so that a waiting process can report the holder.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import LockError
from bench.system.interrupts import raise_if_interrupted
from bench.system.process_identity import ProcessIdentity, parse, this_process

RETRY_S = 0.1
LONGEST_NOTE = 1000  # bytes

_mine: dict[tuple[int, str], int] = {}  # how often this thread holds that lock


@contextmanager
def locked(
    path: Path, on_wait: Callable[[str], None], *, shared: bool = False, timeout_s: float | None = None
) -> Iterator[None]:
    """Holds the lock file at `path`, which is made where it is missing, folder included, as long as the block lasts.

    Others that need it exclusively wait; `shared` holders only keep exclusive ones away. A thread may take a lock that
    it holds already. `on_wait` is given one sentence where it has to wait at all. `timeout_s` is how long that may last:
    None for ever, 0 not at all.

    Raises:
        LockError: another process held it all the time (named in the message), or the file cannot be created.
        KeyboardInterrupt: a signal came while it waited.
    """
    key = threading.get_ident(), os.path.realpath(path)
    if _mine.get(key):
        _mine[key] += 1
        try:
            yield
        finally:
            _mine[key] -= 1
        return
    file = _acquired(path, on_wait, shared=shared, timeout_s=timeout_s)
    _mine[key] = 1
    try:
        _write_note(file)
        yield
    finally:
        del _mine[key]
        _clear_note(file)
        os.close(file)  # which frees it


def holder(path: Path) -> ProcessIdentity | None:
    """The process recorded in that lock file as its holder, if it may still be alive; of shared holders the latest. None: not known."""
    try:
        with path.open("rb") as file:
            found = parse(file.read(LONGEST_NOTE).decode(errors="replace"))
    except OSError:
        return None
    return None if found is None or found.is_gone else found


def _acquired(path: Path, on_wait: Callable[[str], None], *, shared: bool, timeout_s: float | None) -> int:
    """The descriptor of the lock file, locked."""
    began_s, waits = time.monotonic(), False
    while (file := _try_once(path, shared=shared)) is None:
        by_whom = f"held by {holder(path) or 'another process'}"
        if timeout_s is not None and time.monotonic() - began_s >= timeout_s:
            raise LockError(f"{path}: {by_whom}{f', for more than {timeout_s:g} s' if timeout_s else ''}.")
        if not waits:
            waits = True
            on_wait(f"waiting for {path}, {by_whom}")
        time.sleep(RETRY_S)
        raise_if_interrupted()
    return file


def _try_once(path: Path, *, shared: bool) -> int | None:
    """The locked descriptor. None: another process holds the lock, or removed the file meanwhile."""
    try:
        file = _open(path)
    except OSError as error:
        raise LockError(f"{path}: this file cannot be made or opened, to be locked: {error.strerror}.") from error
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(file)
        raise LockError(f"{path}: this file system has no locks: {error.strerror}.") from error
    os.close(file)
    return None


def _open(path: Path) -> int:
    """Opened for writing, which NFS requires for a lock; else, where another user made it, for reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_RDWR, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _write_note(file: int) -> None:
    """Writes this process's identity into the file. The lock holds without it too, as on a full disk."""
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, f"{this_process().as_text()}\n".encode(), 0)


def _clear_note(file: int) -> None:
    """Another shared holder's note stays."""
    with suppress(OSError):
        if parse(os.pread(file, LONGEST_NOTE, 0).decode(errors="replace")) == this_process():
            os.ftruncate(file, 0)
