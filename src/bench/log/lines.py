"""Pieces of a log -> LogLines: which process of which rank printed it, when, and what. Pure.

A line of vLLM's log carries up to four things in front of its text: what the place it was captured in put there (unwrap.py), the
stamp of bench (seconds since exec), the processes that it came through, innermost last (processes.py), and vLLM's own time and
source. All but the last are taken off. What is glued behind a progress bar may stay with it, so rules search anywhere in a line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.log.arguments import LONGEST
from bench.log.pieces import STAMP, Piece
from bench.log.processes import TORCH, origin_of, without_repeats
from bench.log.texts.phases import RANKS
from bench.log.unwrap import LEVELS, shape_of

OMITTED = "…"  # by a pager, a table, or cut.py
READ = 2000  # characters of a line in which it can show how a start ended

# Of a terminal whose lines somebody copied: each is cut at its width, and goes on in the next one.
NARROWEST, WIDEST = 60, 400  # characters
ENOUGH = 2  # lines that end at its edge
RECORD = re.compile(r"\(?(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\b")

ASSIGNED = re.compile(rf"rank (?P<rank>\d+) in world size \d+ {RANKS.text} .{{0,200}}?\bTP rank (?P<tp>\d+)")
MOST_PROCESSES = 100_000

VLLMS_STAMP = re.compile(rf"(?:{'|'.join(LEVELS)}) (?P<time>\d\d-\d\d \d\d:\d\d:\d\d) ")
YEAR, NEXT = 2000, 2001  # the first has a 29th of February

Process = tuple[str | None, int]  # node and pid: pids of two nodes can be the same


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. None is what the line does not have: no stamp, no process, no rank."""

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
    hosts: tuple[Process, ...] = ()  # the processes around the one that printed it

    @property
    def who(self) -> int | str | None:
        """What distinguishes its process from the others of its node: the id, or else a name that only one has. None: nothing does."""
        if self.pid is not None or self.process is None:
            return self.pid
        return f"{self.process} {self.rank}"

    def is_whole(self, end: int) -> bool:
        """Whether a number that ends at this place of the text has all its digits. At the end of a cut line it may have lost some."""
        is_cut = self.cut or self.text.endswith(OMITTED)
        return not is_cut or self.text[end:].strip(f".,{OMITTED}") != ""


def parsed(piece: Piece) -> LogLine:
    """The line in this piece, taken apart."""
    number, raw, cut, _ = piece
    elapsed_s = None
    if raw[:1] <= "9" and (stamp := STAMP.match(raw)):
        elapsed_s, raw = float(stamp[1]), raw[stamp.end() :]
    origin, text = origin_of(raw)
    text, repeated = without_repeats(text)
    if text.startswith("[rank") and (torch := TORCH.match(text)):
        text = text[torch.end() :]
    return LogLine(
        number, elapsed_s, origin.name, origin.pid, origin.rank, text, raw, origin.node, repeated, cut, origin.hosts
    )


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


class Ranks:
    """Which rank each process of a log is, wherever in the log that is printed: a worker prints other things first."""

    def __init__(self, lines: Iterable[LogLine] = ()) -> None:
        self._named: dict[Process, str] = {}
        self._numbered: dict[Process, str] = {}  # by rank=N, which runs on through pipeline stages
        self._assigned: dict[Process, str] = {}
        self._world: dict[str, set[str]] = {}
        self._hosts: set[Process] = set()
        for line in lines:
            self.note(line)

    def note(self, line: LogLine) -> None:
        """Reads the next line. A log of more processes than there can be is of something else."""
        known = len(self._named) + len(self._numbered) + len(self._assigned) + len(self._world) + len(self._hosts)
        if known >= MOST_PROCESSES:
            return
        self._hosts.update(line.hosts)
        if line.pid is not None and line.rank:
            (self._numbered if _by_number(line) else self._named)[line.node, line.pid] = line.rank
        if RANKS.text in line.text and (found := ASSIGNED.search(line.text)):
            self._world.setdefault(found["rank"], set()).add(f"TP{found['tp']}")
            if line.pid is not None:
                self._assigned.setdefault((line.node, line.pid), f"TP{found['tp']}")

    def is_of_many(self, line: LogLine) -> bool:
        """Whether this is a process with others in it, and they may have printed the line: Ray writes its replica in front of all of them."""
        return line.pid is not None and (line.node, line.pid) in self._hosts

    def of(self, line: LogLine) -> str | None:
        """The line's own rank, or its process's. None where that is not certain: a line without a process is nobody's."""
        if line.pid is None and line.rank:
            return line.rank
        if line.pid is None:
            torch = TORCH.match(line.raw) if line.raw.startswith("[rank") else None
            certain = self._world.get(torch["rank"], set()) if torch else ()
            return next(iter(certain)) if len(certain) == 1 else None
        if line.rank and not _by_number(line):
            return line.rank
        process = (line.node, line.pid)
        return self._named.get(process) or self._assigned.get(process) or self._numbered.get(process)


def _by_number(line: LogLine) -> bool:
    return line.process == "VllmWorker" and "(VllmWorker rank=" in line.raw


def stamp_of(text: str) -> str | None:
    """When vLLM printed a line, without a year, of the text of a record. None: it is no record, or has no such time."""
    found = VLLMS_STAMP.match(text)
    return found["time"] if found else None


def elapsed_s(first: str, last: str) -> float | None:
    """From one stamp to a later one, which may be of the next year. None: they are no times."""
    try:
        begin, end = (time_of(stamp, YEAR) for stamp in (first, last))
        end = end if end >= begin else time_of(last, NEXT)
    except ValueError:
        return None
    return (end - begin).total_seconds()


def time_of(stamp: str, year: int) -> datetime:
    """As if vLLM's zone, which it does not print, were UTC.

    Raises:
        ValueError: it is no time of this year.
    """
    return datetime.strptime(f"{year}-{stamp}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
