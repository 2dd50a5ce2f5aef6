"""The lines of a log -> the starts in it, each with all its facts. Pure.

One pass, in memory that does not grow with the log. A line is read only if the filter finds a text in it that can still change
anything, or if what stands in front of it was not seen before. Lines that differ in digits only are looked through once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from bench.log.filter import (
    ANY_LINE,
    HIDES,
    INFO,
    OPENING,
    PRINTED,
    RANK_NAME,
    READINGS,
    SERVER_NAME,
    SIGN,
    Found,
    filter_for,
    found_in,
    groups_by_digits,
    uncoloured,
)
from bench.log.lines import LogLine, parsed
from bench.log.openings import Source, is_preface, opening_of
from bench.log.outcome import is_of_a_server
from bench.log.pieces import LOOKED_AT, WHOLE_RECORD, Piece, PieceReader, numbered
from bench.log.start_log import StartLog, StartReader
from bench.log.unwrap import BEGINS, DIGITS, LEVELS, SIGNS

MOST_PREFIXES, PREFIX_BYTES = 1_000, 1_000  # that are remembered, and of each
MOST_SOURCES = 100
SHAPE_BYTES, MOST_BYTES = 8_000, 8_000_000  # of a shape that is remembered, and of all of these
MOST_ONCE = 5_000  # shapes that were passed by once
OF_A_SOURCE = READINGS | INFO | OPENING  # only what prints such a line is one
# Nothing stands in front of a line that begins so.
BEGINNINGS = (b"(", b"INFO:  ", *(f"{level} 0".encode() for level in LEVELS))


def starts_of(lines: Iterable[bytes], *, is_selected: Callable[[int], bool] = lambda _: True) -> Iterator[StartLog]:
    """Each start of a log of several: a container that was restarted, a script with many starts, several containers side by side.
    What comes before the first belongs to it. Engines that run side by side in one of them are one start. `lines` have their ends.
    Of containers side by side, that start comes first which ends first.

    Of a start that is not selected, by its number from 1, only where it begins and ends is looked for.
    """
    lines = iter(lines)
    first = list(islice(lines, LOOKED_AT))
    reader, number = LogReader(first, is_selected), 0
    groups_of, needed, names = reader.known.get, reader.needed, reader.names
    for number, raw in numbered(chain(first, lines)):
        shape = raw.translate(DIGITS)
        groups = groups_of(shape, ANY_LINE)
        if groups & needed or (groups & names and reader.is_new(raw)):
            reader.read(number, raw, shape)
            needed, names = reader.needed, reader.names
            if reader.ended:
                yield from reader.ended
                reader.ended.clear()
    yield from reader.rest(number)


class LogReader:
    """Takes the lines of a log that may matter, each to the source that it comes from, and keeps the starts that ended.

    What was found in a line holds for all of its shape, which differ from it in digits only: these are not looked through again.
    """

    def __init__(self, first: Sequence[bytes], is_selected: Callable[[int], bool] = lambda _: True) -> None:
        self._is_selected = is_selected
        self._begun = 0  # starts
        self._main = Source(self._start(1))  # the first with facts, with all that is of nobody else
        self._sources: dict[str, Source] = {}  # by name; without one, of lines in which a start begins
        self.ended: list[StartLog] = []  # starts that nobody has taken yet
        self.needed = ANY_LINE  # the groups of which a line is read
        self.names = RANK_NAME  # the same, if it is the first of its process
        self._filter = filter_for(self.needed)
        self.known: dict[bytes, int] = {}  # the groups of lines, by shape
        self._plain: dict[bytes, Found] = {}  # what stands in them, of those with nothing around them
        self._bytes = 0  # of the shapes
        self._once: set[int] = set()  # hashes of shapes that were passed by
        self._pieces = PieceReader()
        self._pieces.learn(first)
        self._learnt = self._pieces.wrapping.learnt
        self._prefixes: set[bytes] = set()  # what stood in front of lines of vLLM's that were read, as shapes

    def _start(self, first_number: int) -> StartReader:
        self._begun += 1
        return StartReader(self._begun, first_number, is_selected=self._is_selected(self._begun))

    def is_new(self, raw: bytes) -> bool:
        """Whether this is the first line of a process with a rank in its name."""
        return self._main.start.is_new(raw)

    def read(self, number: int, raw: bytes, shape: bytes) -> None:
        """The next line, and its shape."""
        if shape in self._plain:
            self._see(Piece(number, raw.rstrip(b"\r\n").decode()), self._plain[shape])
        elif shape in self.known or self.may_matter(raw, shape):
            self._read_anew(number, raw, shape)
        else:
            return
        self._update_filter()

    def _update_filter(self) -> None:
        needed, names = self._groups_needed(), RANK_NAME if self._main.start.is_selected else 0
        if (needed, names) != (self.needed, self.names):
            self.needed, self.names, self._filter = needed, names, filter_for(needed | names)

    def may_matter(self, raw: bytes, shape: bytes) -> bool:
        """Whether a line of a new shape has to be read. False: nothing that is known of any start would change."""
        if self.needed == ANY_LINE:
            return True
        line = uncoloured(shape)
        groups = self._filter.groups(line)
        if groups & (self.needed | HIDES) or (groups & self.names and self.is_new(raw)):
            return True
        if not line.startswith(BEGINNINGS) and self._has_new_prefix(line):
            return True
        if hash(shape) in self._once:  # a line with an id of its own does not come again
            self._know(shape, groups & RANK_NAME | (ANY_LINE & ~RANK_NAME & ~self.needed))
        elif len(self._once) >= MOST_ONCE:
            self._once.clear()
        self._once.add(hash(shape))
        return False

    def _has_new_prefix(self, line: bytes) -> bool:
        """Whether a line of vLLM's, or a traceback, begins behind something that was not seen yet: a container may have put it there."""
        if not any(sign in line for sign in SIGNS):
            return False
        found = BEGINS.search(line)
        prefix = line[: found.start()] if found else b""
        if not prefix or prefix in self._prefixes:
            return False
        if len(self._prefixes) >= MOST_PREFIXES:
            self._prefixes.clear()
        if len(prefix) <= PREFIX_BYTES:
            self._prefixes.add(prefix)
        return True

    def _read_anew(self, number: int, raw: bytes, shape: bytes) -> None:
        """A line of a shape that is new, or has more around it than its end."""
        groups, found = 0, Found()
        pieces = self._pieces.pieces_of(number, raw)
        for piece in pieces:
            line = parsed(piece)
            found = found_in(line.text)
            if found.groups & OPENING and not (opening_of(line) or is_preface(line)):
                found = found._replace(groups=found.groups & ~OPENING)
            groups |= PRINTED | found.groups | names_in(line)
            self._see(piece, found)
        is_plain = len(pieces) == 1 and pieces[0].text.encode() == raw.rstrip(b"\r\n")
        self._remember(shape, groups, found if is_plain else None)

    def _remember(self, shape: bytes, groups: int, found: Found | None) -> None:
        """Unless other digits can make another line of it, or it was cut. What stands around lines may have been learnt just now."""
        if self._learnt != self._pieces.wrapping.learnt:
            self._learnt = self._pieces.wrapping.learnt
            self._forget()
        if self._pieces.are_alike and shape.endswith((b"\n", b"\r")):
            with_digits = groups_by_digits(shape)
            self._know(shape, groups | with_digits)
            if found and not with_digits and shape in self.known:
                self._plain[shape] = found

    def _know(self, shape: bytes, groups: int) -> None:
        if len(shape) <= SHAPE_BYTES:
            self._bytes += len(shape)
            if self._bytes > MOST_BYTES:
                self._forget()
            self.known[shape] = groups

    def _forget(self) -> None:
        self.known.clear()
        self._plain.clear()
        self._bytes = 0

    def _groups_needed(self) -> int:
        wrapping = self._pieces.wrapping
        if wrapping.waiting or self._main.is_empty:  # a log has a start if anything is printed in it
            return ANY_LINE
        needed = self._main.needed
        if wrapping.names_sources:
            needed |= OF_A_SOURCE
        if len(self._sources) > 1:
            needed |= RANK_NAME
            for source in self._sources.values():
                needed |= source.needed
        return needed

    def rest(self, number: int) -> Iterator[StartLog]:
        """What is left when the log is over."""
        for piece in self._pieces.rest(number):
            self._see(piece, found_in(parsed(piece).text))
        yield from self.ended
        for source in dict.fromkeys([self._main, *self._sources.values()]):
            source.take_preface()
            source.start.last_number = number
            if not source.is_empty:
                yield source.start.start_log()

    def _see(self, piece: Piece, found: Found) -> None:
        source = self._source(piece, found)
        if (
            piece.source and self._sources and piece.source not in self._sources
        ):  # somebody's beside: only deaths are of a start
            found = Found(groups=found.groups & SIGN, near=found.near & SIGN)
        ended = source.see(parsed(piece), found, self._start)
        if ended:
            self.ended.append(ended.start_log())

    def _source(self, piece: Piece, found: Found) -> Source:
        """Whose line it is. A database beside vLLM, or the kernel, prints nothing of a start, and is no source of one. What stands beside
        lines of a named source without a name of its own, as another log in a report of several, is one where a start begins in it;
        the first line of a log may have lost its name.
        """
        source = self._sources.get(piece.source)
        begins = found.groups & OF_A_SOURCE if piece.source else piece.number > 1 and begins_start(piece, found)
        if source is None and begins and len(self._sources) < MOST_SOURCES:
            source = Source(self._start(piece.number)) if self._sources else self._main
            source.start.source = piece.source
            self._sources[piece.source] = source
        return source or self._main


def begins_start(piece: Piece, found: Found) -> bool:
    """Whether this is a record of those with which a start begins."""
    return bool(found.groups & OPENING and WHOLE_RECORD.match(piece.text)) and opening_of(parsed(piece)) is not None


def names_in(line: LogLine) -> int:
    """The groups of a line by the name of its process."""
    return (SERVER_NAME if is_of_a_server(line.process) else 0) | (RANK_NAME if line.rank is not None else 0)
