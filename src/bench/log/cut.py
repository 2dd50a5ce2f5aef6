"""Lines that a pager or `cut` ended at a width -> the same, and where that may have taken digits of a number, a mark of it. Pure.

Their pieces are nowhere, other than those of lines that were divided. What stands at such an end is read as what it is not: of 512
comes 5.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from bench.log.encodings import text_of
from bench.log.files import lines_in
from bench.log.lines import OMITTED
from bench.log.unwrap import plain, shape_of

NARROWEST, WIDEST = 40, 500  # columns
ENOUGH = 3  # unlike lines that end at the width
IN_NUMBER = re.compile(r"\d[\w.,]*$")  # or a version


def widths_of(lines: Sequence[str]) -> frozenset[int]:
    """At which lines end, by the first ones of a log: where several unlike ones do, and none is longer. Empty: nothing was cut off."""
    return frozenset(filter(None, (_width(lines), _width([plain(line) for line in lines]))))


def _width(lines: Sequence[str]) -> int | None:
    widest = max(map(len, lines), default=0)
    unlike = {shape_of(line) for line in lines if len(line) == widest}
    return widest if NARROWEST <= widest <= WIDEST and len(unlike) >= ENOUGH else None


def marked(blocks: Iterable[bytes], widths: frozenset[int]) -> Iterator[bytes]:
    """The lines of a log, those that may end within a number with the mark of what was left out."""
    for line in lines_in(blocks):
        text = text_of(line).rstrip()
        is_cut = IN_NUMBER.search(text) and not widths.isdisjoint({len(text), len(plain(text))})
        yield line.rstrip() + f"{OMITTED}\n".encode() if is_cut else line
