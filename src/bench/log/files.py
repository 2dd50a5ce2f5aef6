"""A log file -> its lines as bytes, whatever packed it, never more in memory than a piece of it."""

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from bench.errors import EvidenceError, LogError
from bench.log.encodings import as_utf8
from bench.log.pieces import shortened
from bench.system.regular_files import open_regular

BLOCK_BYTES = 1 << 18
BYTES_AT_MOST = 2 << 30  # of a log, unpacked
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # what their files begin with


def log_lines(path: Path, name: str | None = None) -> Iterator[bytes]:
    """The lines of a log in UTF-8, for `read_start` and `starts_of`. How it is packed and encoded is read from its first bytes, not from
    its name. An archive that just ends is a log that just ends. `name` is for messages.

    Raises:
        LogError: the file cannot be read, is no regular one, is damaged, or is longer than `BYTES_AT_MOST`.
    """
    return lines_in(log_blocks(path, name))


def log_blocks(path: Path, name: str | None = None) -> Iterator[bytes]:
    """The same bytes, not divided into lines.

    Raises:
        LogError: as `log_lines`; more than `BYTES_AT_MOST` is too long, as a small archive may unpack to any size, and a file may have
            no end.
    """
    name, left = name or str(path), BYTES_AT_MOST
    try:
        with open_regular(path, follow=True) as file:
            for block in _blocks(file):
                left -= len(block)
                if left < 0:
                    raise LogError(
                        f"{name}: it is longer than {BYTES_AT_MOST >> 30} GiB, unpacked. Cut out the start that is wanted."
                    )
                yield block
    except EvidenceError as error:
        raise LogError(f"{error}. What comes through a pipe is read with -") from error
    except _damages() as error:
        raise LogError(f"{name}: the archive is damaged ({error}).") from error
    except OSError as error:
        raise LogError(f"{name}: {error.strerror or error}") from error


def copy_lines(path: Path, first: int, last: int | None, target: Path) -> None:
    """Writes these lines of a log to a file, byte by byte, unpacked. They are counted from 1; `last` is None for all that follow.

    Raises:
        LogError: as reading them before.
    """
    number = 1  # of the line that the next byte belongs to
    with open_regular(path, follow=True) as file, target.open("wb") as copy:
        for block in _blocks(file):
            if last is not None and number > last:
                break
            ends = block.count(b"\n")
            if first <= number and (last is None or number + ends <= last):
                copy.write(block)
            elif number + ends >= first:
                parts = block.split(b"\n")
                begin, end = max(0, first - number), len(parts) if last is None else last - number + 1
                copy.write(b"\n".join(parts[begin:end]) + (b"\n" if end < len(parts) else b""))
            number += ends


def lines_in(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends, each state of a progress bar one by itself. Of a line whose end does not come only the first and the
    last part are kept, so that a line of any length takes little memory.
    """
    begun = b""
    for block in blocks:
        lines = block.splitlines(keepends=True)
        lines[0] = shortened(begun + lines[0])
        begun = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        yield from lines
    if begun:
        yield begun


def _blocks(file: BufferedReader) -> Iterator[bytes]:
    """All bytes, unpacked and in UTF-8. An archive that was cut still gives what came before."""
    return as_utf8(_read_all(_unpacked(file)))


def _read_all(file: Any) -> Iterator[bytes]:
    while True:
        try:
            block: bytes = file.read1(BLOCK_BYTES)
        except EOFError:
            return
        if not block:
            return
        yield block


def _unpacked(file: BufferedReader) -> Any:
    first = file.peek(len(ZSTD))
    if first.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if not first.startswith(ZSTD):
        return file
    import zstandard

    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


def _damages() -> tuple[type[Exception], ...]:
    """What unpacking raises; zstandard's only where it was imported."""
    zstandard = sys.modules.get("zstandard")
    return (gzip.BadGzipFile, zlib.error, *([zstandard.ZstdError] if zstandard else []))
