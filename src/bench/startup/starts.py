"""The lines of a log -> the starts in it, each with what it tells. Pure.

One pass, in memory that does not grow with the log. Lines of which nobody can want anything are passed by as fast as they can
be told from the others, which is by their shape: most lines are like one before.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from bench.startup.capture import LOOKED_AT, Capture, Piece
from bench.startup.chatter import BEGINNINGS, chatter_bits
from bench.startup.interest import EVERYTHING, OPENING, OPENS, RANKED, Interest, interest_in
from bench.startup.log import LogLine, parsed
from bench.startup.rules import Rule
from bench.startup.shapes import DIGITS
from bench.startup.told import Told

MOST_PREFIXES = 8
SHAPE_BYTES, MOST_BYTES = 8_000, 8_000_000  # of the lines whose shape is remembered, and of all of these


def starts_of(lines: Iterable[bytes], *, is_wanted: Callable[[int], bool] = lambda _: True) -> Iterator[Told]:
    """Each start of a log of several, one after the other: a container that was restarted, a script with many starts. What comes
    before the first belongs to it. Engines that run side by side are one start. `lines` have their ends.

    Of a start that is not wanted, by its number from 1, only where it begins and ends is looked for.
    """
    lines = iter(lines)
    first = list(islice(lines, LOOKED_AT))
    reader = Reader(first, is_wanted)
    number, continued = 0, False
    known = reader.known
    for raw in chain(first, lines):
        number += not continued
        continued = raw.endswith(b"\r")
        interest = known.get(raw.translate(DIGITS), EVERYTHING)
        if interest & reader.wanted or (interest & RANKED and reader.told.is_new(raw)):
            reader.read(number, raw)
            if reader.ended:
                yield from reader.ended
                reader.ended.clear()
    yield from reader.rest(number)


# What a start prints once, the front of it first. A picture with the version is the banner of newer releases.
FRONT = (
    ("banner", re.compile(r"vLLM (?:\w+ ){0,3}version |█ {1,4}version ")),
    ("arguments", re.compile(r"non-default args: ")),
    ("namespace", re.compile(r"\bargs: Namespace\(")),
)
ENGINE = re.compile(r"Initializing an? (?:V\d )?LLM engine \(v")
PREFACE = re.compile(
    r"(?:(?:DEBUG|INFO|WARNING) [\d-]+ [\d:]+ \[?\w+\.py:\d+\]? )?(?:Automatically detected platform |Triton )"
)
VLLM_PROCESS = re.compile(r"(?:API|Api)Server|EngineCore|Worker|VllmWorker|MainProcess|DPSupervisor|DPCoordinator")
NUMBERED = re.compile(r"_(?:DP)?\d+$")


class Opening(NamedTuple):
    """A text that a start prints once, and which of several processes printed it: they are told apart by `who`."""

    kind: str
    who: str


class Reader:
    """Takes the lines of a log that may matter, and gives each start when the next one begins."""

    def __init__(self, first: Iterable[bytes], is_wanted: Callable[[int], bool] = lambda _: True) -> None:
        self._is_wanted = is_wanted
        self._number = 1  # of the start
        self.told = Told(1, is_wanted=is_wanted(1))
        self.ended: list[Told] = []  # the starts before it that nobody has taken yet
        self.wanted = EVERYTHING  # the interests of which a line is read
        self.known: dict[bytes, int] = {}  # which interest lines of a shape are of
        self._capture = Capture()
        self._capture.learn(first)
        self._bare: dict[bytes, Interest] = {}  # the same, where nothing stands around these lines
        self._prefixes: set[bytes] = set()  # what stands around lines of vLLM, as shapes
        self._bytes = 0  # of the shapes that are known
        self._kinds = len(self._capture.around.kinds)
        self._opened: set[Opening] = set()
        self._preface: list[tuple[LogLine, Interest]] = []
        self._is_empty = True

    def read(self, number: int, raw: bytes) -> None:
        """The next line."""
        shape = raw.translate(DIGITS)
        if shape in self._bare:
            piece = Piece(number, raw.rstrip(b"\r\n").decode())
            self._see(parsed(piece), self._bare[shape])
        elif shape in self.known or not self._is_chatter(raw, shape):
            self._look_at(self._capture.pieces_of(number, raw), shape, raw)
        listens = self._preface or self.told.listens or self._capture.around.waiting
        self.wanted = EVERYTHING if listens else self.told.wanted

    def _is_chatter(self, raw: bytes, shape: bytes) -> bool:
        """Whether a line of a new shape need not be read: nobody wants it now, who may when the next start begins."""
        prefix = next((each for each in self._prefixes if shape.startswith(each)), b"")
        bits = chatter_bits(shape[len(prefix) :], self.wanted)
        if bits is None or (bits & RANKED and self.told.is_new(raw)):
            return False
        self._know(shape, bits | (EVERYTHING & ~RANKED & ~self.wanted))
        return True

    def _look_at(self, pieces: list[Piece], shape: bytes, raw: bytes) -> None:
        """Lines of a shape that is new, or of several pieces."""
        bits = 0
        rules: tuple[Rule, ...] = ()
        for piece in pieces:
            line = parsed(piece)
            interest = interest_in(line)
            opens = OPENS if _opening(line) or _is_preface(line) else 0
            interest = Interest(interest.bits | opens, interest.rules)
            bits, rules = bits | interest.bits, interest.rules
            self._see(line, interest)
        text = pieces[0].text.encode() if len(pieces) == 1 else b""
        printed = raw.rstrip(b"\r\n")
        self._remember(shape, Interest(bits, rules), is_bare=text == printed)
        if text.startswith(BEGINNINGS) and text != printed and printed.endswith(text):
            self._prefixes.add(shape[: len(printed) - len(text)])

    def rest(self, number: int) -> Iterator[Told]:
        """What is left when the log is over."""
        self._look_at(self._capture.rest(number), b"", b"")
        self._take_preface()
        yield from self.ended
        self.told.last_number = number
        if not self._is_empty:
            yield self.told

    def _see(self, line: LogLine, interest: Interest) -> None:
        opening = _opening(line) if interest.bits & OPENS else None
        if interest.bits & OPENS and opening is None:
            self._preface.append(
                (line, interest)
            )  # printed before the API server's own lines, and by every process after it
            return
        if opening and _begins(opening, self._opened):
            first_number = self._preface[0][0].number if self._preface else line.number
            self.told.last_number = first_number - 1
            self.ended.append(self.told)
            self._number += 1
            self.told, self._opened = Told(first_number, is_wanted=self._is_wanted(self._number)), set()
        if opening:
            self._opened.add(opening)
        self._take_preface()
        self.told.see(line, interest)
        self._is_empty = False

    def _take_preface(self) -> None:
        for line, interest in self._preface:
            self.told.see(line, interest)
            self._is_empty = False
        self._preface.clear()

    def _remember(self, shape: bytes, interest: Interest, *, is_bare: bool) -> None:
        """Unless other digits can make another line of it, or it was cut. What stands around lines may have been learnt just now."""
        if self._kinds != len(self._capture.around.kinds):
            self._kinds = len(self._capture.around.kinds)
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


def _opening(line: LogLine) -> Opening | None:
    text = line.text
    if not any(words in text for words in OPENING):
        return None
    kind = "engine" if ENGINE.search(text) else next((name for name, each in FRONT if each.search(text)), None)
    return Opening(kind, _who(line)) if kind else None


def _is_preface(line: LogLine) -> bool:
    return line.pid is None and PREFACE.match(line.text) is not None


def _who(line: LogLine) -> str:
    """Replicas have a number. A name that is not vLLM's is an actor's of Ray, several of which may hold engines at the same time."""
    if line.pid is None or (line.node is None and line.process and VLLM_PROCESS.match(line.process)):
        return line.process if line.process and NUMBERED.search(line.process) else ""
    return f"{line.process} {line.node} {line.pid}"


def _begins(opening: Opening, opened: set[Opening]) -> bool:
    """Something that a start prints once comes again, or the front of one behind an engine: another start."""
    behind = not opening.who and opening.kind != "engine" and any(each.kind == "engine" for each in opened)
    return behind or opening in opened
