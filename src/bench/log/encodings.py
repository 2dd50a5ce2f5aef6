"""Bytes in whatever encoding a shell's redirect writes -> bytes in UTF-8. Pure.

PowerShell's `>` writes UTF-16 with a mark, to a pipe without one. A log whose lines are not UTF-8 is not told from one that has a few
such bytes: each of these is taken for a letter of Latin-1 where it stands (`text_of`).
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

MARKS = (  # UTF-32's first: the little one begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
# Without a mark: which bytes of each four are 0 in text that is mostly ASCII.
ZEROS = {"-000": "utf-32-le", "000-": "utf-32-be", "-0-0": "utf-16-le", "0-0-": "utf-16-be"}
LOOKED_AT = 4096  # bytes
MOSTLY, RARELY = 0.7, 0.1


def as_utf8(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, none of the blocks empty; those of UTF-8 as they are, without a mark."""
    blocks = iter(blocks)
    first = next(blocks, b"")
    while len(first) < len(codecs.BOM_UTF32_LE) and (more := next(blocks, b"")):
        first += more
    encoding, mark = _encoding(first)
    blocks = chain([first[len(mark) :]], blocks)
    yield from filter(None, blocks if encoding == "utf-8" else _in_utf8(blocks, encoding))


def text_of(line: bytes) -> str:
    """A line; bytes that are not of UTF-8 are letters of Latin-1."""
    return line.decode(errors="latin-1-letters")


def _encoding(first: bytes) -> tuple[str, bytes]:
    """Of a text that begins so, by its mark or by its zero bytes; and the mark."""
    for mark, encoding in MARKS:
        if first.startswith(mark):
            return encoding, mark
    if b"\0" not in first[:LOOKED_AT]:
        return "utf-8", b""
    shares = [_share_of_zeros(first[place:LOOKED_AT:4]) for place in range(4)]
    if any(RARELY <= share <= MOSTLY for share in shares):
        return "utf-8", b""
    return ZEROS.get("".join("0" if share > MOSTLY else "-" for share in shares), "utf-8"), b""


def _share_of_zeros(some: bytes) -> float:
    return some.count(0) / len(some) if some else 0.0


def _in_utf8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in blocks:
        yield decoder.decode(block).encode(errors="replace")
    yield decoder.decode(b"", final=True).encode(errors="replace")


def _latin_1_letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("latin-1-letters", _latin_1_letters)
