"""Reading what processes of vLLM may have written: regular files only, never more of them than a bound.

vLLM's processes, and whatever runs inside them, can leave anything where bench looks for a file: a pipe that never ends, a device, a
folder, a link to somewhere else, terabytes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from bench.errors import EvidenceError

KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link",
}  # fmt: skip


@contextmanager
def open_regular(path: Path, *, follow: bool = False) -> Iterator[BufferedReader]:
    """The file, open for reading bytes. `follow`: links are followed, as for a file that a user named.

    Raises:
        EvidenceError: it is no regular file, or cannot be opened; `FileNotFoundError` where there is nothing.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    kind = _kind(path, follow=follow)  # first: opening a device may already do something
    if kind:
        raise EvidenceError(f"{path} is {kind}, not a file")
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EvidenceError(f"{path} cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EvidenceError(f"{path} is not a file any more")
        yield file


def _kind(path: Path, *, follow: bool) -> str | None:
    """What lies there, in words; None for a regular file."""
    try:
        found = path.stat() if follow else path.lstat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return None if stat.S_ISREG(found.st_mode) else KINDS.get(stat.S_IFMT(found.st_mode), "no file")


def read_at_most(path: Path, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of a regular file, and whether there are more.

    Raises:
        EvidenceError: see `open_regular`; or it cannot be read.
    """
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    return data[:limit], len(data) > limit
