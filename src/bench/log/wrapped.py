"""Lines that somebody copied from a terminal, where each is cut at its width and goes on in the next one. Pure."""

import re

from bench.log.arguments import LONGEST
from bench.log.lines import LogLine

WIDEST = 400  # characters of a terminal
RECORD = re.compile(r"\(?(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\b")


class Wrapped:
    """A line of arguments, with what follows it where somebody copied it from a terminal: pieces as wide as the first."""

    def __init__(self, line: LogLine) -> None:
        self.line = line
        self.text = line.text[:LONGEST]
        self._width = len(line.raw)
        self._is_full = self._width <= WIDEST

    def goes_on_in(self, line: LogLine) -> bool:
        """Whether this line is the next piece, which is then added."""
        piece = line.raw
        if (
            len(self.text) >= LONGEST
            or not self._is_full
            or line.pid is not None
            or len(piece) > self._width
            or RECORD.match(piece)
        ):
            return False
        self.text += piece
        self._is_full = len(piece) == self._width
        return True
