"""Bytes of a log -> LogLines: who said it, when, and what. Pure.

A line of vLLM's log carries up to four things in front of its text: what the place it was captured in put there (capture.py), the
stamp of bench (seconds since exec), the processes that it came through, innermost last (prefixes.py), and vLLM's own time and
source. All but the last are taken off. What is glued behind a progress bar may stay with it, so rules search anywhere in a line.
"""

from dataclasses import dataclass

from bench.log.capture import STAMP, Piece
from bench.log.prefixes import TORCH, speaker_of, without_repeats


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
