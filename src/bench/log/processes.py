"""Which process printed a line: those in front of it, and which rank each of them is. Pure.

Releases write their processes in different ways, and Ray in its own. Read in the source of vLLM 0.26.0 and 0.32.0: a
worker is `Worker` until the parallel groups exist, then its name has a part for each group of more than one:
`Worker_DP0_PP1_TP3_EP7`. A name with other parts but without TP is of a start with one tensor-parallel rank.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

PROCESS = re.compile(
    r"\((?:(?P<name>[A-Za-z_][\w:.<>-]{0,100})(?: (?P<beside>[A-Z]+\d+(?:_[A-Z]+\d+)*|rank=\d{1,6}))? )?"
    r"pid=(?P<pid>\d{1,10})(?:, ip=(?P<node>[\w.:-]{1,60}))?\) ?"
)
PROCESSES = re.compile(rf"(?:{re.sub(r'[?]P<[a-z]+>', '?:', PROCESS.pattern)})+")
# Where somebody took the ids away: only names that one process of a start has.
NAMED = re.compile(
    r"\((?P<name>(?:APIServer|ApiServer|EngineCore)(?:_(?:DP)?\d+)?|Worker(?:_[A-Z]+\d+)+|VllmWorker(?= TP))(?: (?P<beside>TP\d+))?\) ?"
)
TP = re.compile(r"(?:^|_)TP(\d+)(?:_|$)")
OTHER_PARTS = re.compile(r"^Worker(?:_(?:DP|PP|PCP|DCP|EP)\d+)+$")
ASSIGNED = re.compile(r"rank (?P<rank>\d+) in world size \d+ is assigned as .{0,200}?\bTP rank (?P<tp>\d+)")
TORCH = re.compile(r"\[rank(?P<rank>\d{1,6})\]: ?")  # the rank in the world, which torch puts before a traceback
REPEATED = re.compile(r" \[repeated (?P<times>\d{1,9})x across cluster\](?: \(Ray deduplicates logs.*)?$")

MOST_PROCESSES = 100_000

Process = tuple[str | None, int]  # node and pid: pids of two nodes can be the same


@dataclass(frozen=True, slots=True)
class Origin:
    """The innermost process that a line came through. None is what no prefix has; a name without a pid is one process's."""

    name: str | None = None
    pid: int | None = None
    node: str | None = None  # the address that Ray prints
    rank: str | None = None


UNKNOWN = Origin()


class HasOrigin(Protocol):
    """The parts of a line that show ranks."""

    @property
    def process(self) -> str | None: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def node(self) -> str | None: ...
    @property
    def rank(self) -> str | None: ...
    @property
    def text(self) -> str: ...
    @property
    def raw(self) -> str: ...


def origin_of(text: str) -> tuple[Origin, str]:
    """The process that printed this, and what is behind the prefixes."""
    if not text.startswith("("):
        return UNKNOWN, text
    if found := PROCESSES.match(text):
        return _origin(found[0]), text[found.end() :]
    if found := NAMED.match(text):
        return Origin(found["name"], rank=_rank(found["name"], found["beside"])), text[found.end() :]
    return UNKNOWN, text


@lru_cache(1000)
def _origin(prefixes: str) -> Origin:
    """The innermost. Nobody, where two workers side by side wrote their names before either wrote its line."""
    origin = UNKNOWN
    for found in PROCESS.finditer(prefixes):
        outer = origin
        name, beside, digits, node = found.groups()
        origin = Origin(name, int(digits), node, _rank(name, beside) or outer.rank)
        if name and outer.name and origin.pid != outer.pid and _kind(name) == _kind(outer.name):
            return UNKNOWN
    return origin


def _kind(name: str) -> str:
    """Of process: its name without its number or its rank. None of them runs inside another of its kind."""
    return name.partition("_")[0]


def _rank(name: str | None, beside: str | None) -> str | None:
    if beside and beside.startswith("rank="):
        return beside.replace("rank=", "TP")
    if found := TP.search(name or "") or TP.search(beside or ""):
        return f"TP{found[1]}"
    return "TP0" if OTHER_PARTS.match(name or "") else None


def without_repeats(text: str) -> tuple[str, int]:
    """Ray shows one of several like lines, and how many it stands for. Their numbers can differ: these are of one of them only."""
    found = REPEATED.search(text) if "x across cluster]" in text else None
    return (text[: found.start()], int(found["times"])) if found else (text, 1)


class Ranks:
    """Which rank each process of a log is, wherever in the log that is printed: a worker prints other things first."""

    def __init__(self, lines: Iterable[HasOrigin] = ()) -> None:
        self._named: dict[Process, str] = {}
        self._numbered: dict[Process, str] = {}  # by rank=N, which runs on through pipeline stages
        self._assigned: dict[Process, str] = {}
        self._world: dict[str, set[str]] = {}
        for line in lines:
            self.note(line)

    def note(self, line: HasOrigin) -> None:
        """Reads the next line. A log of more processes than there can be is of something else."""
        if len(self._named) + len(self._numbered) + len(self._assigned) + len(self._world) >= MOST_PROCESSES:
            return
        if line.pid is not None and line.rank:
            (self._numbered if _by_number(line) else self._named)[line.node, line.pid] = line.rank
        if "is assigned as" in line.text and (found := ASSIGNED.search(line.text)):
            self._world.setdefault(found["rank"], set()).add(f"TP{found['tp']}")
            if line.pid is not None:
                self._assigned.setdefault((line.node, line.pid), f"TP{found['tp']}")

    def of(self, line: HasOrigin) -> str | None:
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


def _by_number(line: HasOrigin) -> bool:
    return line.process == "VllmWorker" and "(VllmWorker rank=" in line.raw
