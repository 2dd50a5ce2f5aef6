"""Files of a start, which may hold unrecognised secrets: readable by their user alone, and masked when they are complete."""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from bench.masking.names import MASK
from bench.masking.shapes import PRIVATE_KEY
from bench.masking.texts import mask_bytes, masked, masked_json

PRIVATE = 0o600
PIECE_BYTES = 1 << 20  # of a line without an end
JSON = {".json", ".jsonl"}


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


def seal(paths: Iterable[Path], *, bytes_at_most: int | None = None) -> None:
    """Each of these files that is there: private, and masked by value and by form. What cannot be rewritten stays as it is.

    `bytes_at_most`: of all of them together; what is beyond is cut off. For files that others may have written: they can have any size.
    """
    for path in paths:
        with suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode):
                size = mask_file(path, bytes_at_most=bytes_at_most)
                bytes_at_most = None if bytes_at_most is None else max(0, bytes_at_most - size)


def mask_file(path: Path, *, bytes_at_most: int | None = None) -> int:
    """Rewrites a file, line by line, where a line changes or all is more than `bytes_at_most`. Bytes that are not UTF-8 stay as they
    are. Returns how many were read.

    Raises:
        OSError: it cannot be read, or no copy can be written beside it.
    """
    changed, in_key = False, False
    with path.open("rb") as file, NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as copy:
        partial = Path(copy.name)
        try:
            for line in _pieces(file, whole=path.suffix == ".json", bytes_at_most=bytes_at_most):
                new, in_key = (_masked_json if path.suffix in JSON else _masked_line)(line, in_key=in_key)
                changed = changed or new != line
                copy.write(new)
            copy.flush()
            size = file.tell()
            changed = changed or size < os.fstat(file.fileno()).st_size
        except BaseException:
            partial.unlink()
            raise
    if changed:
        partial.replace(path)
    else:
        partial.unlink()
        path.chmod(PRIVATE)
    return size


def _pieces(file: BinaryIO, *, whole: bool, bytes_at_most: int | None) -> Iterator[bytes]:
    """Lines, long ones in parts, or the whole file at once."""
    if whole:
        yield file.read(-1 if bytes_at_most is None else bytes_at_most)
        return
    left = sys.maxsize if bytes_at_most is None else bytes_at_most
    while piece := file.readline(min(PIECE_BYTES, left)):
        left -= len(piece)
        yield piece


def _masked_json(data: bytes, *, in_key: bool) -> tuple[bytes, bool]:
    """As it was where nothing is hidden in it; what is no JSON is a line of text."""
    try:
        tree = json.loads(data)
        hidden = masked_json(tree, numbers=False)
    except (ValueError, RecursionError):
        return _masked_line(data, in_key=in_key)
    return (data if hidden == tree else json.dumps(hidden).encode() + (b"\n" if data.endswith(b"\n") else b"")), False


def _masked_line(line: bytes, *, in_key: bool) -> tuple[bytes, bool]:
    """And whether the next one is still within a private key."""
    if in_key:
        return MASK.encode() + b"\n", b"-----END" not in line
    body, end = (line[:-1], line[-1:]) if line.endswith(b"\n") else (line, b"")
    text = mask_bytes(body).decode("utf-8", "surrogateescape")
    opens = "PRIVATE KEY" in text and any("-----END" not in match[0] for match in PRIVATE_KEY.finditer(text))
    return masked(text).encode("utf-8", "surrogateescape") + end, opens
