"""The key of vLLM's server: random, and one for all starts that may share caches, in a file that only its user can read.

To 0.26 at least vLLM takes VLLM_API_KEY into the key of its compile cache (vllm/envs.py, compile_factors): with a new one
for each start, no start would ever find what another compiled.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp

from bench.errors import EvidenceError, StartError
from bench.masking import collect_value
from bench.system.regular_files import open_regular

NAME = "api_key"
VALID = re.compile(r"[A-Za-z0-9_-]{16,128}")
LONGEST_BYTES = 129


def api_key(folder: Path) -> str:
    """The key in this folder, created where there is no valid one that is private to this user. Concurrent processes get the same key.

    Raises:
        StartError: it can be neither read nor made. vLLM without a key would serve every user of this host.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            key = _read(path) or _make(path)
    except OSError as error:
        raise StartError(
            f"caches_dir={folder}: no key for vLLM's server can be kept in {path} ({error.strerror or error}). "
            "Choose a caches_dir that you can write to"
        ) from error
    collect_value(key)
    return key


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The kernel frees this lock when its process ends, however it ends. Without effect on a file system without locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> str | None:
    """None: there is no such file, or it is no regular file of ours that only we can read, or holds no key."""
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno())
            text = file.read(LONGEST_BYTES).decode("ascii", "replace")
    except (EvidenceError, FileNotFoundError):
        return None
    is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return text if is_private and VALID.fullmatch(text) else None


def _make(path: Path) -> str:
    """Creates the file atomically: written under a temporary name, readable by this user only, then renamed. Returns the key."""
    key = secrets.token_hex(16)
    descriptor, partial = mkstemp(dir=path.parent, prefix=f".{NAME}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink()
        raise
    return key
