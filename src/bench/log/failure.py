"""Why a start failed, in one line of vLLM's own words. Pure.

A failing vLLM prints the same accident several times: the process that met it, then every process above it that lost
its child. The first exception that is not such an echo, and that the process did not survive, is the cause.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from bench.log.bare import READ, bare_text, one_line, place_of
from bench.log.failure_texts import (
    ANCHORS,
    ECHOES,
    EXCEPTION,
    OF_A_CELL,
    REPLACED,
    SURVIVED,
    SUSPECT,
    USAGE,
    VALIDATION,
)
from bench.log.lines import LogLine
from bench.log.rules import stage_of
from bench.log.shapes import SHAPES, shape_of

NEAR = 20  # lines of the log within which an exception goes on
FOLLOWING = 3  # lines of its process that say whether it was replaced
DETAIL = 2  # lines of its process that say what pydantic did not like


def reason_in(lines: Iterable[LogLine]) -> str | None:
    """vLLM's own words for what went wrong, or None where it said nothing."""
    causes = Causes()
    for line in lines:
        causes.see(line)
    found = causes.first(echoes=False) or causes.first(echoes=True)
    return one_line(found.words) if found else None


@dataclass
class Cause:
    """An exception, as far as its lines have come. `stage` is what its process was doing."""

    order: int
    kind: str
    message: str
    echo: bool
    stage: str | None
    line: LogLine  # that it begins in
    usage: bool = False  # argparse said it: there was no exception
    detail: list[str] = field(default_factory=list)
    followed_by: int = 0  # lines of the same process that are not blank

    @property
    def words(self) -> str:
        return ": ".join(filter(None, [self.kind, self.message, ": ".join(self.detail)]))

    @property
    def detail_goes_on(self) -> bool:
        """The field and what is wrong with it, or only the latter where the whole model is wrong."""
        read = self.followed_by - 1
        return bool(VALIDATION.match(self.message)) and len(self.detail) == read < DETAIL


class Causes:
    """Takes a log line by line, and keeps one cause for each process."""

    def __init__(self) -> None:
        self.stage: str | None = None  # the last that any process opened
        self.anchor: str | None = None  # the first of them: somebody died, whatever comes after
        self.anchor_line: LogLine | None = None
        self.order = 0  # of the last line, from 1
        self._usage: Cause | None = None
        self._kept: dict[tuple[bool, int | None], Cause] = {}  # by echo and pid
        self._before: dict[tuple[bool, int | None], Cause] = {}  # the same, from before the anchor
        self._open: dict[int | None, Cause] = {}
        self._open_until = 0  # in the order of lines
        self._stages: dict[int, str] = {}
        self._survived: dict[int | None, str] = {}  # where in the source a process tells what it goes on after

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next: it may belong to an exception."""
        return bool(self._open)

    def see(self, line: LogLine) -> None:
        """The next line."""
        self.order += 1
        if self._open and self.order >= self._open_until:
            self._open.clear()
        stage, is_suspect = _marks(shape_of(line.text[:READ]))
        if stage:
            self._survive(line, stage)
        if self._open or is_suspect:
            self._look_at(line, bare_text(line))

    def first(self, *, echoes: bool) -> Cause | None:
        """The first that was not survived: of a wrong argument, of a process that says that it dies, of any."""
        if self._usage and not echoes:
            return self._usage
        for kept in (self._kept, self._before):
            causes = [cause for cause in kept.values() if cause.echo == echoes]
            if causes:
                return min(causes, key=lambda cause: cause.order)
        return None

    def stage_of(self, line: LogLine) -> str | None:
        """What this line's process is doing. A worker is told from the others, which may be further or behind."""
        worker = line.rank or "Worker" in (line.process or "")
        return self._stages.get(line.pid, self.stage) if worker and line.pid is not None else self.stage

    def _look_at(self, line: LogLine, bare: str) -> None:
        words = bare.strip()
        if line.pid in self._open:
            self._go_on(line.pid, bare)
        if self.anchor is None and any(anchor in bare for anchor in ANCHORS):
            self.anchor, self.anchor_line = words, line
            self._before, self._kept = self._kept, {}
        if self._usage is None and (found := USAGE.match(words)):
            self._usage = Cause(
                self.order, "", found["message"], echo=False, stage=self.stage_of(line), line=line, usage=True
            )
        if any(text in words for text in SURVIVED):
            self._survived[line.pid] = place_of(line)
        elif (found := EXCEPTION.match(words)) and not self._goes_on(line):
            kind = found["kind"].rpartition(".")[2]
            if self.stage is None or kind not in OF_A_CELL:
                self._begin(line, kind, found["message"] or "", bare)

    def _survive(self, line: LogLine, stage: str) -> None:
        """A process that goes on has not died of what it met before."""
        self.stage = stage
        if line.pid is not None:
            self._stages[line.pid] = stage
        for echo in (True, False):
            self._drop(line.pid, echo=echo)
        self._open.pop(line.pid, None)

    def _drop(self, pid: int | None, *, echo: bool) -> None:
        self._kept.pop((echo, pid), None)
        self._before.pop((echo, pid), None)

    def _goes_on(self, line: LogLine) -> bool:
        """Whether this line is of the record of an exception that its process goes on after."""
        return bool(place := self._survived.get(line.pid)) and place_of(line) == place

    def _begin(self, line: LogLine, kind: str, message: str, bare: str) -> None:
        echo = any(text in bare for text in ECHOES)
        key = (echo, line.pid)
        if key not in self._kept:
            cause = Cause(self.order, kind, message, echo, self.stage_of(line), line)
            self._kept[key] = self._open[line.pid] = cause
            self._open_until = self.order + NEAR

    def _go_on(self, pid: int | None, bare: str) -> None:
        """Ranks print between each other's lines, so only those of the same process are looked at."""
        cause = self._open[pid]
        if not bare.strip():
            return
        cause.followed_by += 1
        if cause.followed_by > FOLLOWING or self.order - cause.order >= NEAR:
            del self._open[pid]
        elif bare.startswith(REPLACED):
            del self._open[pid]  # another exception came while this one was handled: that one ended the start
            self._drop(pid, echo=cause.echo)
        elif cause.detail_goes_on and bare.startswith(" ") and "For further information" not in bare:
            cause.detail.append(bare.strip().partition(" [type=")[0])


@lru_cache(SHAPES)
def _marks(shape: bytes) -> tuple[str | None, bool]:
    """The stage that lines of this shape open, and whether the rest has to look at them at all: most of a log is good news."""
    text = shape.decode(errors="replace")
    return stage_of(text), any(word in text for word in SUSPECT)
