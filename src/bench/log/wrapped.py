"""Lines that somebody copied from a terminal, where each is cut at its width and goes on in the next one. Pure."""

import re

from bench.log.arguments import LONGEST
from bench.log.lines import LogLine
from bench.log.shapes import shape_of

NARROWEST, WIDEST = 60, 400  # characters of a terminal
ENOUGH = 2  # lines that end at its edge
RECORD = re.compile(r"\(?(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\b")


class Wrapped:
    """A line, with what follows it where somebody copied it from a terminal: pieces as wide as the first."""

    def __init__(self, line: LogLine) -> None:
        self.line = line
        self.text = line.text[:LONGEST]
        self.last_number = line.number
        self._width = len(line.raw)
        self._is_full = self._width <= WIDEST

    def goes_on_in(self, line: LogLine) -> bool:
        """Whether this line is the next piece, which is then added."""
        piece = line.raw
        if (
            len(self.text) >= LONGEST
            or not self._is_full
            or line.pid is not None
            or line.process is not None
            or len(piece) > self._width
            or RECORD.match(piece)
        ):
            return False
        self.text += piece
        self.last_number = line.number
        self._is_full = len(piece) == self._width
        return True


class Width:
    """How wide the lines of a log are, as far as they were seen: those of a terminal are cut at one width, and none is wider."""

    def __init__(self) -> None:
        self._widest = 0
        self._as_wide: set[bytes] = set()  # shapes of two lines of that width

    def see(self, line: LogLine) -> None:
        """The next line."""
        width = len(line.raw)
        if width > self._widest:
            self._widest = width
            self._as_wide.clear()
        if width == self._widest and len(self._as_wide) < ENOUGH:
            self._as_wide.add(shape_of(line.text))

    def cuts(self, line: LogLine) -> bool:
        """Whether this line, which was seen, ends where another one does, beyond which there is none."""
        return NARROWEST <= len(line.raw) == self._widest and len(self._as_wide) == ENOUGH
