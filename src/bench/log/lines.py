"""Bytes of a log -> LogLines: who said it, when, and what. Pure.

A line of vLLM's log carries up to four things in front of its text: what the place it was captured in put there (capture.py), the
stamp of bench (seconds since exec), the processes that it came through, innermost last (prefixes.py), and vLLM's own time and
source. All but the last are taken off. What is glued behind a progress bar may stay with it, so rules search anywhere in a line.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from bench.log.capture import STAMP, Piece, pieces
from bench.log.prefixes import TORCH, Ranks, speaker_of, without_repeats
from bench.log.screen import may_tell

# What is kept of a log. Behind its first lines, only those that can tell something, and the last ones.
FIRST_LINES, LAST_LINES, TELLING_LINES = 40_000, 4_000, 20_000
FIRST_BYTES, LAST_BYTES, TELLING_BYTES = 12_000_000, 2_000_000, 4_000_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. None is what the line does not say: no stamp, no process, no rank."""

    number: int  # in the file, from 1
    elapsed_s: float | None  # since exec
    process: str | None  # as printed, the innermost: Worker_TP0, EngineCore
    pid: int | None
    rank: str | None  # TP0
    text: str
    raw: str  # as vLLM printed it, or as it would have without its JSON
    node: str | None = None  # the address that Ray prints; None: not Ray, or the node of the driver
    repeated: int = 1  # like lines that it stands for: Ray shows one of them, and the others' numbers are not known
    cut: bool = False  # the log ends in it

    @property
    def who(self) -> int | str | None:
        """What tells its process from the others of its node: the id, or else a name that only one has. None: nothing does."""
        if self.pid is not None or self.process is None:
            return self.pid
        return f"{self.process} {self.rank}"

    def is_whole(self, end: int) -> bool:
        """Whether a number that ends at this place of the text has all its digits. At the end of a cut line it may have lost some."""
        return not self.cut or self.text[end:].strip(".,") != ""


def read_log(lines: Iterable[bytes]) -> list[LogLine]:
    """The lines of a log, the rank filled in where another line of the same process tells it.

    A log that is very long gives its first and last lines and those between that a rule may match, so memory is bounded.
    """
    kept = Kept()
    for piece in pieces(lines):
        kept.add(piece)
    return kept.lines()


def parsed(piece: Piece) -> LogLine:
    """What the piece says of itself."""
    number, raw, cut, _ = piece
    elapsed_s = None
    if raw[:1] <= "9" and (stamp := STAMP.match(raw)):
        elapsed_s, raw = float(stamp[1]), raw[stamp.end() :]
    speaker, text = speaker_of(raw)
    text, repeated = without_repeats(text)
    if text.startswith("[rank") and (torch := TORCH.match(text)):
        text = text[torch.end() :]
    return LogLine(number, elapsed_s, speaker.name, speaker.pid, speaker.rank, text, raw, speaker.node, repeated, cut)


class Kept:
    """The lines of one start that are kept, however long it is: its first ones, its last ones, and those between that matter."""

    def __init__(self) -> None:
        self.added = 0
        self._first: list[Piece] = []
        self._telling: list[Piece] = []
        self._last: deque[Piece] = deque()
        self._first_bytes = self._telling_bytes = self._last_bytes = 0
        self._is_beginning = True

    def add(self, piece: Piece) -> None:
        """A line is dropped when it is none of the last ones any more, if nothing in it matters."""
        self.added += 1
        size = _size(piece.text)
        if self._is_beginning:
            self._first_bytes += size
            self._is_beginning = len(self._first) < FIRST_LINES and self._first_bytes <= FIRST_BYTES
        if self._is_beginning:
            self._first.append(piece)
            return
        self._last.append(piece)
        self._last_bytes += size
        if len(self._last) > 2 * LAST_LINES or self._last_bytes > 2 * LAST_BYTES:
            self._leave()

    def _leave(self) -> None:
        while len(self._last) > LAST_LINES or self._last_bytes > LAST_BYTES:
            piece = self._last.popleft()
            size = _size(piece.text)
            self._last_bytes -= size
            has_room = len(self._telling) < TELLING_LINES and self._telling_bytes < TELLING_BYTES
            if has_room and may_tell(piece.text):
                self._telling.append(piece)
                self._telling_bytes += size

    def lines(self) -> list[LogLine]:
        """In the order of the log, with ranks."""
        self._leave()
        lines = [parsed(piece) for piece in chain(self._first, self._telling, self._last)]
        ranks = Ranks(lines)
        return [line if line.rank == (rank := ranks.of(line)) else replace(line, rank=rank) for line in lines]


def _size(text: str) -> int:
    """In memory, about: a text with others than ASCII's takes up to four bytes a character."""
    return len(text) if text.isascii() else 4 * len(text)
