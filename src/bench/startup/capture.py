"""The bytes of a log -> the texts that vLLM printed, without what a terminal, a container or a collector put around them. Pure.

What stands around a line is taken off where that is beyond doubt: where a line of vLLM's begins behind it. From then on the same
kind of thing is taken off every line of this log, so that bars, tracebacks and other programs' lines are freed of it too.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

from bench.startup.json_lines import json_texts, read_json
from bench.startup.shapes import DIGITS, SHAPE_BYTES, SHAPES

LINE_BYTES = 1 << 16  # kept of one line: as much from its beginning as from its end
OMITTED = " … ".encode()
LOOKED_AT = 100  # lines that are looked at before the first is given out, to learn what stands around lines

# Colours and other commands to a terminal; Buildkite's stamps are one of its own. Copied text shows them as ^[ or without the escape.
ESCAPES = re.compile(
    r"(?:\x1b|\^\[|\\u001b)\[[0-9:;<=>?]*[ -/]*[@-~]|\x1b[\]_PX^][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()*+][A-Z0-9]|\x1b[78=>A-Z]"
)
DIGITS_MATTER = (b"[0m", b"[0;0m", b"\\u000b[")  # of colours, with every digit a 0
BARE_COLOURS = re.compile(r"\[(?:[01];)?(?:0|1|22|39|3[0-7]|9[0-7])m")

STAMP = re.compile(r" *(\d{1,9}\.\d{3}) ")  # bench's own
LEVEL_AND_TIME = r"(?:INFO|WARNING|ERROR|DEBUG|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d "
VLLM = re.compile(
    rf"(?: *\d{{1,9}}\.\d{{3}} )?(?:\((?:[A-Za-z_][^()]{{0,100}} )?pid=\d|{LEVEL_AND_TIME}|(?:INFO|WARNING|ERROR): {{3,}}"
    r'|\{"(?:asctime|message|levelname|log)":)'
)
RECORD = re.compile(LEVEL_AND_TIME)
PROCESSES = r"(?:\((?:[A-Za-z_][\w:.<>-]{0,100} (?:[\w=]{1,40} )?)?pid=\d{1,10}(?:, ip=[\w.:-]{1,60})?\) ?){0,4}"
WHOLE_RECORD = re.compile(PROCESSES + LEVEL_AND_TIME)
BEFORE_RECORD_CHARACTERS = 800  # at most, of the processes in front of it

RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
SYSLOG_TIME = r"[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
UNIT = r"[^\s\[\]:]{1,100}(?:\[\d{1,10}\])?:"
AROUND = re.compile(
    rf"(?P<buildkite>_bk;t=\d{{1,20}}\x07?)"
    rf"|(?P<cri>{RFC3339} (?P<stream>stdout|stderr) (?P<part>[FP]) )"
    rf"|(?P<iso_journal>{RFC3339} [^\s:]{{1,253}} {UNIT} ?)"
    rf"|(?P<time>{RFC3339} ?)"
    rf"|(?P<journal>{SYSLOG_TIME} [^\s:]{{1,253}} {UNIT} ?)"
    rf"|(?P<syslog_time>{SYSLOG_TIME} )"
    rf"|(?P<clock>\[?\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?\]? )"
    rf"|(?P<pod>\[pod/[^\]\s]{{1,500}}\] ?)"
    rf"|(?P<grep_number>\d{{1,12}}[:-])"
    rf"|(?P<grep_both>[^\s:|()\[\]]{{1,500}}[:-]\d{{1,12}}[:-])"
    rf"|(?P<grep_file>[^\s:|()\[\]]{{1,500}}\.\w{{1,10}}:)"
    rf"|(?P<compose>[A-Za-z][\w.-]{{0,100}} {{1,40}}\| ?)"
    rf"|(?P<actions>[^\t]{{1,100}}\t[^\t]{{1,100}}\t(?={RFC3339}))"
    rf"|(?P<numbered> {{0,10}}\d{{1,12}}\t)"
)
NEVER_VLLM = {"buildkite", "cri", "time", "pod"}  # taken off from the first line on


class Piece(NamedTuple):
    """One line, or one state of a progress bar. `cut`: the log ends in it, so that a number at its end may have lost digits."""

    number: int  # of the line in the file, from 1
    text: str
    cut: bool = False


def pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """All that was printed, in order. Blank lines are left out and counted."""
    capture, lines = Capture(), iter(lines)
    first = list(islice(lines, LOOKED_AT))
    capture.learn(first)
    number, continued = 0, False
    for raw in chain(first, lines):
        number += not continued
        continued = raw.endswith(b"\r")
        yield from capture.pieces_of(number, raw)
    yield from capture.rest(number)


class Capture:
    """Takes the lines of one log, and gives what was printed in each."""

    def __init__(self) -> None:
        self.around = Around()
        self.are_alike = True  # whether what the last line gave is told by its shape
        self._ended = False  # whether lines have ends: then the last one without was cut

    def learn(self, first: Iterable[bytes]) -> None:
        """What stands around the lines of this log, from its first ones."""
        for raw in first:
            for line in raw.split(b"\r"):
                self.around.taken_off(plain(_decoded(line.rstrip(b"\n"))))

    def pieces_of(self, number: int, raw: bytes) -> list[Piece]:
        """What the next line holds. Only a return divides it; the last line has an end, unless the log was cut in it."""
        has_end = raw.endswith((b"\n", b"\r"))
        cut = self._ended and not has_end
        self._ended = self._ended or has_end
        without_escapes = raw.translate(DIGITS).replace(b"\x1b[", b"")  # such a colour goes whatever its digits are
        self.are_alike = not any(each in without_escapes for each in DIGITS_MATTER)
        line = raw.rstrip(b"\r\n")
        if b"\r" not in line:
            return self._printed(number, line, cut=cut)
        states = list(re.finditer(rb"[^\r\n]+", line))
        return [
            piece for state in states for piece in self._printed(number, state[0], cut=cut and state.end() == len(line))
        ]

    def rest(self, number: int) -> list[Piece]:
        """The beginnings of lines whose end did not come."""
        return [piece for text in self.around.waiting.values() for piece in _divided(Piece(number, text, cut=True))]

    def _printed(self, number: int, line: bytes, *, cut: bool) -> list[Piece]:
        if not line or line.isspace():
            return []
        shape = line.translate(DIGITS)
        if shape in self.around.bare:
            return [Piece(number, line.decode(), cut)]
        text = self.around.taken_off(plain(_decoded(line)))
        self.are_alike &= not (text.startswith("{") or self.around.part == "P" or self.around.waiting)
        texts = self.around.whole_lines(text)
        found = [piece for text in texts for piece in _divided(Piece(number, text, cut))]
        if len(found) == 1 and found[0].text.encode() == line:
            self.around.remember(shape)
        return found


@dataclass
class Around:
    """What stands around the lines of one log: the kinds that were seen in front of a line of vLLM's. Long lines come in parts from
    a container's runtime: `waiting` are the unfinished ones.
    """

    kinds: set[str] = field(default_factory=lambda: set(NEVER_VLLM))
    waiting: dict[str, str] = field(default_factory=dict)  # by stream
    stream: str = ""
    part: str | None = None  # of the last line: F or P
    bare: set[bytes] = field(
        default_factory=set
    )  # lines with nothing around them, digits apart: most lines are like one before

    def remember(self, shape: bytes) -> None:
        """Lines like this one need not be looked at again, unless it may be a digit that makes them JSON, or a colour."""
        if (
            len(shape) <= SHAPE_BYTES
            and not shape.startswith(b"{")
            and not any(each in shape for each in DIGITS_MATTER)
        ):
            if len(self.bare) >= SHAPES:
                self.bare.clear()
            self.bare.add(shape)

    def taken_off(self, text: str) -> str:
        """The line without what stands around it."""
        self.part = None
        if text.startswith("(") or VLLM.match(text):
            return text
        found = AROUND.match(text)
        return self._inside(text, found) if found else text

    def _inside(self, text: str, found: re.Match[str] | None) -> str:
        seen: list[str] = []
        sure_at = 0
        while found and (kind := _kind(found)) not in seen:
            seen.append(kind)
            at = found.end()
            if kind == "cri":
                self.stream, self.part = found["stream"], found["part"]
            if VLLM.match(text, at):
                if not self.kinds.issuperset(seen):
                    self.kinds.update(seen)
                    self.bare.clear()
                return text[at:]
            if self.kinds.issuperset(seen):
                sure_at = at
            found = AROUND.match(text, at)
        return text[sure_at:]

    def whole_lines(self, text: str) -> list[str]:
        """The lines that end here: several in a record of JSON, none where the rest of a line is still to come."""
        if text.startswith("{") and (record := read_json(text)):
            if record.unfinished:
                return self._wait(record.stream, record.text)
            return json_texts(record, self.waiting.pop(record.stream, "") + record.text)
        if self.part == "P":
            return self._wait(self.stream, text)
        return [self.waiting.pop(self.stream, "") + text if self.part else text]

    def _wait(self, stream: str, text: str) -> list[str]:
        begun = self.waiting.get(stream, "")
        self.waiting[stream] = begun + text if len(begun) < LINE_BYTES else begun
        return []


def _kind(found: re.Match[str]) -> str:
    return next(name for name, text in found.groupdict().items() if text is not None)


def shortened(line: bytes) -> bytes:
    """The first and the last part of a line that is too long to be kept."""
    half = LINE_BYTES // 2
    return line if len(line) <= LINE_BYTES + len(OMITTED) else line[:half] + OMITTED + line[-half:]


def _decoded(line: bytes) -> str:
    return shortened(line).decode(errors="replace")


def plain(text: str) -> str:
    """Without colours and other commands to a terminal."""
    if "\x1b" in text or "^[[" in text or "\\u001b[" in text:
        text = ESCAPES.sub("", text)
    if "[0m" in text or "[0;0m" in text:
        text = BARE_COLOURS.sub("", text)
    return text.removeprefix("\ufeff")


def _divided(piece: Piece) -> list[Piece]:
    """A record of vLLM's that is glued behind a bar, or behind a text without a line end, is a line of its own. It has the same stamp."""
    number, text, cut = piece
    if not text or text.isspace():
        return []
    begin = found.end() if (found := STAMP.match(text)) else 0
    if WHOLE_RECORD.match(text, begin) or not (record := RECORD.search(text, begin + 1)):
        return [piece]
    glued = WHOLE_RECORD.search(text, max(begin + 1, record.start() - BEFORE_RECORD_CHARACTERS))
    if glued is None:
        return [piece]
    return [Piece(number, text[: glued.start()]), Piece(number, text[:begin] + text[glued.start() :], cut)]
