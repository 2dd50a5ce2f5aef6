"""The lines of a log -> the starts in it, each with what it tells. Pure.

One pass, in memory that does not grow with the log. Lines of which nobody can want anything are passed by as fast as they can
be told from the others, which is by their shape: most lines are like one before.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from bench.log.capture import LOOKED_AT, Capture, Piece
from bench.log.chatter import BEGINNINGS, chatter_bits
from bench.log.interest import EVERYTHING, OPENS, RANKED, SAYS, TELLS, Interest, interest_in
from bench.log.lines import LogLine, parsed
from bench.log.shapes import DIGITS
from bench.log.source import Source, is_preface, opening_of
from bench.log.start_log import StartLog, StartReader
from bench.log.texts import Rule

MOST_PREFIXES = 8
MOST_SOURCES = 100
OF_A_SOURCE = TELLS | SAYS | OPENS  # only what prints such a line is one
SHAPE_BYTES, MOST_BYTES = 8_000, 8_000_000  # of the lines whose shape is remembered, and of all of these
MOST_ONCE = 5_000  # shapes that were passed by once


def starts_of(lines: Iterable[bytes], *, is_wanted: Callable[[int], bool] = lambda _: True) -> Iterator[StartLog]:
    """Each start of a log of several: a container that was restarted, a script with many starts, several containers side by side.
    What comes before the first belongs to it. Engines that run side by side in one of them are one start. `lines` have their ends.
    Of containers side by side, that start comes first which ends first.

    Of a start that is not wanted, by its number from 1, only where it begins and ends is looked for.
    """
    lines = iter(lines)
    first = list(islice(lines, LOOKED_AT))
    reader = Reader(first, is_wanted)
    number, continued = 0, False
    known, wanted, ranked = reader.known, reader.wanted, reader.ranked
    for raw in chain(first, lines):
        number += not continued
        continued = raw.endswith(b"\r")
        shape = raw.translate(DIGITS)
        interest = known.get(shape, EVERYTHING)
        if interest & wanted or (interest & ranked and reader.is_new(raw)):
            reader.read(number, raw, shape)
            wanted, ranked = reader.wanted, reader.ranked
            if reader.ended:
                yield from reader.ended
                reader.ended.clear()
    yield from reader.rest(number)


class Reader:
    """Takes the lines of a log that may matter, each to the source that it comes from, and keeps the starts that ended."""

    def __init__(self, first: Iterable[bytes], is_wanted: Callable[[int], bool] = lambda _: True) -> None:
        self._is_wanted = is_wanted
        self._begun = 0  # starts
        self._main = Source(self._start(1))  # the first that tells something, with all that is of nobody else
        self._sources: dict[str, Source] = {}
        self.ended: list[StartLog] = []  # starts that nobody has taken yet
        self.wanted = EVERYTHING  # the interests of which a line is read
        self.ranked = RANKED  # the same, where its process speaks for the first time
        self.known: dict[bytes, int] = {}  # which interest lines of a shape are of
        self._capture = Capture()
        self._capture.learn(first)
        self._bare: dict[bytes, Interest] = {}  # the same, where nothing stands around these lines
        self._prefixes: set[bytes] = set()  # what stands around lines of vLLM, as shapes
        self._bytes = 0  # of the shapes that are known
        self._once: set[int] = set()  # hashes of shapes that were passed by
        self._learnt = self._capture.around.learnt

    def _start(self, first_number: int) -> StartReader:
        self._begun += 1
        return StartReader(self._begun, first_number, is_wanted=self._is_wanted(self._begun))

    def is_new(self, raw: bytes) -> bool:
        """Whether a process with a rank in its name speaks for the first time. Of several sources, all such lines are wanted."""
        return self._main.start.is_new(raw)

    def read(self, number: int, raw: bytes, shape: bytes) -> None:
        """The next line, and its shape."""
        if shape in self._bare:
            piece = Piece(number, raw.rstrip(b"\r\n").decode())
            self._see(piece, parsed(piece), self._bare[shape])
        elif shape in self.known or not self._is_chatter(raw, shape):
            self._look_at(self._capture.pieces_of(number, raw), shape, raw)
        self.wanted = self._wanted()
        self.ranked = RANKED if self._main.start.is_wanted else 0

    def _wanted(self) -> int:
        if self._capture.around.waiting or self._main.listens:
            return EVERYTHING
        wanted = self._main.wanted
        if self._capture.around.names_sources:
            wanted |= OF_A_SOURCE
        if len(self._sources) > 1:
            wanted |= RANKED
            for source in self._sources.values():
                wanted |= EVERYTHING if source.listens else source.wanted
        return wanted

    def _is_chatter(self, raw: bytes, shape: bytes) -> bool:
        """Whether a line of a new shape need not be read: nobody wants it now, who may when the next start begins."""
        prefix = next((each for each in self._prefixes if shape.startswith(each)), b"")
        bits = chatter_bits(shape[len(prefix) :], self.wanted)
        if bits is None or (bits & RANKED and self.is_new(raw)):
            return False
        if hash(shape) in self._once:  # a line with an id of its own does not come again
            self._know(shape, bits | (EVERYTHING & ~RANKED & ~self.wanted))
        elif len(self._once) >= MOST_ONCE:
            self._once.clear()
        self._once.add(hash(shape))
        return True

    def _look_at(self, pieces: list[Piece], shape: bytes, raw: bytes) -> None:
        """Lines of a shape that is new, or of several pieces."""
        bits = 0
        rules: tuple[Rule, ...] = ()
        for piece in pieces:
            line = parsed(piece)
            interest = interest_in(line)
            opens = OPENS if opening_of(line) or is_preface(line) else 0
            interest = Interest(interest.bits | opens, interest.rules)
            bits, rules = bits | interest.bits, interest.rules
            self._see(piece, line, interest)
        text = pieces[0].text.encode() if len(pieces) == 1 else b""
        printed = raw.rstrip(b"\r\n")
        self._remember(shape, Interest(bits, rules), is_bare=text == printed)
        if text.startswith(BEGINNINGS) and text != printed and printed.endswith(text):
            self._prefixes.add(shape[: len(printed) - len(text)])

    def rest(self, number: int) -> Iterator[StartLog]:
        """What is left when the log is over."""
        self._look_at(self._capture.rest(number), b"", b"")
        yield from self.ended
        for source in dict.fromkeys([self._main, *self._sources.values()]):
            source.take_preface()
            source.start.last_number = number
            if not source.is_empty:
                yield source.start.start_log()

    def _see(self, piece: Piece, line: LogLine, interest: Interest) -> None:
        ended = self._source(piece, interest).see(line, interest, self._start)
        if ended:
            self.ended.append(ended.start_log())

    def _source(self, piece: Piece, interest: Interest) -> Source:
        """Whose line it is. A database beside vLLM, or the kernel, tells nothing of a start, and is no source of one."""
        source = self._sources.get(piece.source)
        if source is None and piece.source and interest.bits & OF_A_SOURCE and len(self._sources) < MOST_SOURCES:
            source = Source(self._start(piece.number)) if self._sources else self._main
            source.start.source = piece.source
            self._sources[piece.source] = source
        return source or self._main

    def _remember(self, shape: bytes, interest: Interest, *, is_bare: bool) -> None:
        """Unless other digits can make another line of it, or it was cut. What stands around lines may have been learnt just now."""
        if self._learnt != self._capture.around.learnt:
            self._learnt = self._capture.around.learnt
            self._forget()
        if self._capture.are_alike and shape.endswith((b"\n", b"\r")):
            self._know(shape, interest.bits)
            if is_bare and len(shape) <= SHAPE_BYTES:
                self._bare[shape] = interest

    def _know(self, shape: bytes, bits: int) -> None:
        if len(shape) <= SHAPE_BYTES:
            self._bytes += len(shape)
            if self._bytes > MOST_BYTES or len(self._prefixes) > MOST_PREFIXES:
                self._forget()
            self.known[shape] = bits

    def _forget(self) -> None:
        self.known.clear()
        self._bare.clear()
        self._prefixes.clear()
        self._bytes = 0
