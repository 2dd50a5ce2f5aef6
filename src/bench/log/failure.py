"""Why a start failed, in one line of vLLM's own words. Pure.

A failing vLLM prints the same accident several times: the process that met it, then every process above it that lost
its child. The first exception that is not such an echo, and that the process did not survive, is the cause.
"""

import re

from bench.log.cause import Cause, message_text, one_line, place_of, usage_in
from bench.log.filter import SUSPICIOUS, Found
from bench.log.lines import LogLine, Width, Wrapped
from bench.log.texts import Stage, has_any
from bench.log.texts.failures import (
    ANCHORS,
    ECHOES,
    EXCEPTION,
    OF_A_CELL,
    REPLACED,
    SURVIVED,
)

ORDER = [*Stage]
NEAR = 20  # lines of the log within which an exception goes on
FOLLOWING = 3  # lines of its process that show whether it was replaced
# No piece begins so.
HEAD = re.compile(r"  |\[|Traceback \(|During handling|The above exception|\S{1,100}(?:Error|Exception)\b")

Who = int | str | None  # a process: its id, or its name


class Causes:
    """Takes a log line by line, and keeps one cause for each process."""

    def __init__(self) -> None:
        self.stage: Stage | None = None  # the furthest that any process opened: most lines come from one rank alone
        self.anchor: str | None = None  # the first of them: somebody died, whatever comes after
        self.anchor_line: LogLine | None = None
        self.order = 0  # of the last line, from 1
        self._usage: Cause | None = None
        self._kept: dict[tuple[bool, Who], Cause] = {}  # by echo and process
        self._before: dict[tuple[bool, Who], Cause] = {}  # the same, from before the anchor
        self._open: dict[Who, Cause] = {}
        self._open_until = 0  # in the order of lines
        self._survived: dict[Who, str] = {}  # where in the source a process prints what it goes on after
        self._replaced: dict[Who, Cause] = {}  # while these were handled, another is about to come
        self._width = Width()
        self._wrapped: Wrapped | None = None  # the line that the last cause begins in, if a terminal cut it

    def reason(self) -> str | None:
        """vLLM's own words for what went wrong, or None where it printed none."""
        found = self.first(echoes=False) or self.first(echoes=True)
        return one_line(found.words) if found else None

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next: it may belong to an exception."""
        return bool(self._open)

    def see(self, line: LogLine, found: Found) -> None:
        """The next line, and what stands in it."""
        self.order += 1
        if self._wrapped and self._takes_piece(self._wrapped, line):
            return
        if self._open and self.order >= self._open_until:
            self._open.clear()
        stage, is_suspect = found.stage, found.near & SUSPICIOUS
        if stage or is_suspect:
            self._width.see(line)
        if stage:
            self._survive(line, stage)
        if self._open or is_suspect:
            self._look_at(line, message_text(line))

    def first(self, *, echoes: bool) -> Cause | None:
        """The first that was not survived: of a wrong argument, of a process that prints that it dies, of any."""
        if self._usage and not echoes:
            return self._usage
        for kept in (self._kept, self._before):
            causes = [cause for cause in kept.values() if cause.echo == echoes]
            if causes:
                return min(causes, key=lambda cause: cause.order)
        return None

    def _look_at(self, line: LogLine, message_line: str) -> None:
        words = message_line.strip()
        if line.who in self._open:
            self._go_on(line.who, message_line)
        if self.anchor is None and has_any(message_line, ANCHORS):
            self.anchor, self.anchor_line = words, line
            self._before, self._kept = self._kept, {}
        if self._usage is None and (usage := usage_in(line, words)):
            message, lists = usage
            self._begin_usage(line, message, lists=lists)
        if has_any(words, SURVIVED):
            self._survived[line.who] = place_of(line)
        elif (found := EXCEPTION.match(words)) and not self._goes_on(line):
            kind = found["kind"].rpartition(".")[2]
            if self.stage is None or kind not in OF_A_CELL:
                self._begin(line, kind, found["message"] or "", message_line)

    def _survive(self, line: LogLine, stage: Stage) -> None:
        """A process that goes on has not died of what it met before."""
        self.stage = max(filter(None, (self.stage, stage)), key=ORDER.index)
        for echo in (True, False):
            self._drop(line.who, echo=echo)
        self._open.pop(line.who, None)
        self._replaced.pop(line.who, None)

    def _drop(self, who: Who, *, echo: bool) -> None:
        self._kept.pop((echo, who), None)
        self._before.pop((echo, who), None)

    def _goes_on(self, line: LogLine) -> bool:
        """Whether this line is of the record of an exception that its process goes on after."""
        return bool(place := self._survived.get(line.who)) and place_of(line) == place

    def _begin(self, line: LogLine, kind: str, message: str, message_line: str) -> None:
        echo = has_any(message_line, ECHOES)
        cause = Cause(self.order, kind, message, echo, self.stage, line)
        before = self._replaced.pop(line.who, None)
        if before and before.is_repeated_by(message):
            cause = before
        if (cause.echo, line.who) not in self._kept:
            self._kept[cause.echo, line.who] = cause
            self._open_up(cause, line)

    def _begin_usage(self, line: LogLine, message: str, *, lists: bool) -> None:
        self._usage = Cause(self.order, "", message, echo=False, stage=self.stage, line=line, usage=True, lists=lists)
        if lists:
            self._open_up(self._usage, line)

    def _open_up(self, cause: Cause, line: LogLine) -> None:
        """What its process prints next may belong to it."""
        cause.opened, cause.followed_by = self.order, 0
        self._open[line.who] = cause
        self._open_until = self.order + NEAR
        self._wrapped = Wrapped(line) if cause.line is line and self._width.cuts(line) else None

    def _takes_piece(self, wrapped: Wrapped, line: LogLine) -> bool:
        """Whether the cause's line goes on in this one. Its process has printed nothing else in between."""
        cause = next((cause for cause in self._open.values() if cause.line is wrapped.line), None)
        follows = line.number <= wrapped.last_number + 1
        if cause and follows and not HEAD.match(line.raw) and wrapped.goes_on_in(line):
            cause.message += line.raw
            return True
        self._wrapped = None
        return False

    def _go_on(self, who: Who, message_line: str) -> None:
        """Ranks print between each other's lines, so only those of the same process are looked at."""
        cause = self._open[who]
        if not message_line.strip():
            return
        cause.followed_by += 1
        if cause.takes(message_line):
            return
        if cause.followed_by > FOLLOWING or self.order - cause.opened >= NEAR:
            del self._open[who]
        elif message_line.startswith(REPLACED.text):
            del self._open[who]  # another exception came while this one was handled: that one ended the start
            self._drop(who, echo=cause.echo)
            self._replaced[who] = cause
