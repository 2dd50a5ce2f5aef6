"""The bytes of a log -> the texts that vLLM printed, without what a terminal, a container or a collector put around them. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bench.log.encodings import text_of
from bench.log.processes import ANY_PROCESS
from bench.log.unwrap import DIGITS, DIGITS_MATTER, LEVEL_AND_TIME, LINE_BYTES, Wrapping, plain

OMITTED = " … ".encode()
LOOKED_AT = 100  # lines that are looked at before the first is given out, to learn what stands around lines

STAMP = re.compile(r" *(\d{1,9}\.\d{3}) ")  # bench's own
RECORD = re.compile(LEVEL_AND_TIME)
WHOLE_RECORD = re.compile(ANY_PROCESS + "{0,4}" + LEVEL_AND_TIME)
NAMED_RECORD = re.compile(ANY_PROCESS + "{1,4}" + LEVEL_AND_TIME)
HEAD = re.compile(rf"(?<!\S){LEVEL_AND_TIME}\[?[\w./*-]{{1,100}}\.py:\d{{1,6}}\] ")
ENOUGH_HEADS = 3  # in a line: it is of several records, and none quotes another
ANY_DIGIT = str.maketrans("123456789", "0" * 9)
BEFORE_RECORD_CHARACTERS = 800  # at most, of the processes in front of it


class Piece(NamedTuple):
    """One line, or one state of a progress bar. `cut`: the log ends in it, so that a number at its end may have lost digits."""

    number: int  # of the line in the file, from 1
    text: str
    cut: bool = False
    source: str = ""  # the container, unit or file that it comes from, by what stands in front of it


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each with the number of its line in the file, from 1. A return ends a state of a progress bar, and no line."""
    number, continued = 0, False
    for raw in lines:
        number += not continued
        continued = raw.endswith(b"\r")
        yield number, raw


class PieceReader:
    """Takes the lines of one log, and gives what was printed in each."""

    def __init__(self, *, is_ours: bool = False) -> None:
        self._is_ours = is_ours  # no container has put anything in front of its lines
        self.wrapping = Wrapping()
        self.are_alike = True  # whether all lines of the last one's shape are read as it was
        self._ended = False  # whether lines have ends: then the last one, if it has none, was cut

    def learn(self, first: Sequence[bytes]) -> None:
        """Whether the lines of this log have ends, and what stands in front of them, from its first ones."""
        self._ended = any(raw.endswith((b"\n", b"\r")) for raw in first)
        for raw in () if self._is_ours else first:
            for line in raw.split(b"\r"):
                self.wrapping.learn(plain(_decoded(line.rstrip(b"\n"))))

    def pieces_of(self, number: int, raw: bytes) -> list[Piece]:
        """What the next line holds. Only a return divides it; the last line has an end, unless the log was cut in it."""
        if b"^M" in raw:
            raw = raw.replace(b"^M", b"\r")  # as editors and pagers show it
        without_escapes = raw.translate(DIGITS).replace(b"\x1b[", b"")  # such a colour goes whatever its digits are
        self.are_alike = not any(each in without_escapes for each in DIGITS_MATTER)
        cut = self._ended and not raw.endswith((b"\n", b"\r"))
        line = raw.rstrip(b"\r\n")
        if b"\r" not in line:
            return self._printed(number, line, cut=cut)
        states = list(re.finditer(rb"[^\r\n]+", line))
        return [
            piece for state in states for piece in self._printed(number, state[0], cut=cut and state.end() == len(line))
        ]

    def rest(self, number: int) -> list[Piece]:
        """The beginnings of lines whose end did not come."""
        waiting = self.wrapping.waiting.items()
        return [
            piece for (source, _), text in waiting for piece in _divided(Piece(number, text, cut=True, source=source))
        ]

    def _printed(self, number: int, line: bytes, *, cut: bool) -> list[Piece]:
        if not line or line.isspace():
            return []
        if self._is_ours:
            return _divided(Piece(number, plain(_decoded(line)), cut))
        text = self.wrapping.taken_off(plain(_decoded(line)))
        texts = self.wrapping.whole_lines(text)
        self.are_alike &= not (self.wrapping.was_record or self.wrapping.part == "P" or self.wrapping.waiting)
        return [piece for text in texts for piece in _divided(Piece(number, text, cut, self.wrapping.source))]


def shortened(line: bytes) -> bytes:
    """The first and the last part of a line that is too long to be kept."""
    half = LINE_BYTES // 2
    return line if len(line) <= LINE_BYTES + len(OMITTED) else line[:half] + OMITTED + line[-half:]


def _decoded(line: bytes) -> str:
    return text_of(shortened(line))


def _divided(piece: Piece) -> list[Piece]:
    """A record of vLLM's that is glued behind a bar, or behind a text without a line end, is a line of its own. It has the same stamp.
    One behind another record only with its process, or among several or its like: else the first may quote it.
    """
    number, text, cut, source = piece
    if not text or text.isspace():
        return []
    begin = found.end() if (found := STAMP.match(text)) else 0
    first = WHOLE_RECORD.match(text, begin)
    heads, at = [0], first.end() if first else begin + 1
    is_behind_record = first is not None
    while _may_have_record(text, at) and (record := RECORD.search(text, at)):
        glued = _among_others(text) if is_behind_record else WHOLE_RECORD
        if head := glued.search(text, max(at, record.start() - BEFORE_RECORD_CHARACTERS)):
            heads.append(head.start())
            is_behind_record = True
        at = record.end()
    ends = [*heads[1:], len(text)]
    return [
        Piece(number, (text[:begin] if head else "") + text[head:end], cut and end == len(text), source)
        for head, end in zip(heads, ends, strict=True)
    ]


def _among_others(text: str) -> re.Pattern[str]:
    """How a record begins behind another one in this text: a traceback's records have one head, but for the time."""
    heads = [found[0].translate(ANY_DIGIT) for found in HEAD.finditer(text)]
    errors = [head for head in heads if head.startswith("ERROR")]
    return WHOLE_RECORD if len(heads) >= ENOUGH_HEADS or len(set(errors)) < len(errors) else NAMED_RECORD


def _may_have_record(text: str, at: int) -> bool:
    """Whether one of the levels stands from here on: five quick looks, since most lines have none."""
    find = text.find
    return (
        find("INFO ", at) >= 0
        or find("ERROR ", at) >= 0
        or find("WARNING ", at) >= 0
        or find("DEBUG ", at) >= 0
        or find("CRITICAL ", at) >= 0
    )
