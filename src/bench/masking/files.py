"""Files of a start, which may hold what nobody has recognised as a secret: readable by their user alone, and masked when all is written."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from bench.masking.shapes import PRIVATE_KEY
from bench.masking.texts import mask_bytes, masked

PRIVATE = 0o600
PIECE_BYTES = 1 << 20  # of a line without an end
TEXTS = {".log", ".json", ".jsonl", ".csv", ".txt", ".md"}


def private(path: Path) -> Path:
    """The path of a file that only its user can read: made empty where it is missing.

    Raises:
        OSError: it cannot be made.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    try:
        with suppress(OSError):  # not ours, or a file system without modes
            os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)
    return path


def seal(folder: Path) -> None:
    """Every text file directly in this folder: private, and masked by value and by form. What cannot be rewritten stays."""
    for path in sorted(folder.glob("*")):
        with suppress(OSError):
            if path.suffix in TEXTS and stat.S_ISREG(path.lstat().st_mode):
                mask_file(path)


def mask_file(path: Path) -> None:
    """Rewrites a file, line by line, only where a line changes. Bytes that are not UTF-8 stay as they are."""
    changed, in_key = False, False
    with path.open("rb") as file, NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as copy:
        partial = Path(copy.name)
        try:
            while line := file.readline(PIECE_BYTES):
                new, in_key = _masked_line(line, in_key=in_key)
                changed = changed or new != line
                copy.write(new)
        except BaseException:
            partial.unlink()
            raise
    if changed:
        partial.replace(path)
    else:
        partial.unlink()
        path.chmod(PRIVATE)


def _masked_line(line: bytes, *, in_key: bool) -> tuple[bytes, bool]:
    """And whether the next one is still within a private key."""
    if in_key:
        return b"***\n", b"-----END" not in line
    body, end = (line[:-1], line[-1:]) if line.endswith(b"\n") else (line, b"")
    text = mask_bytes(body).decode("utf-8", "surrogateescape")
    opens = any(b"-----END".decode() not in match[0] for match in PRIVATE_KEY.finditer(text)) if "PRIVATE KEY" in text else False
    return masked(text).encode("utf-8", "surrogateescape") + end, opens
