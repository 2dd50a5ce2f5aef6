"""Lines of one start -> how it ended, as far as its log shows. Pure.

Good starts print lines that look like errors, more so when they are shut down. So what comes after the start was ready
is not looked at, and before it only what ends a process counts.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.log.cause import Cause, message_text, one_line
from bench.log.failure import Causes
from bench.log.filter import (
    ENDINGS,
    IS_DONE,
    IS_SERVERS,
    LOADS,
    REQUEST,
    SERVES,
    SIGN,
    STAGE,
    STARTS_SERVER,
    USES,
    WAITS,
    Found,
)
from bench.log.lines import READ, LogLine, stamp_of
from bench.log.texts import HEAD, has_any
from bench.log.texts.endings import (
    BEGINS_TO_SERVE,
    DEATH,
    FRAME_OF_ANOTHER,
    LLM_IS_MADE,
    OF_AN_NPU,
    OF_THE_SHELL,
    OF_UVICORN,
    SERVER_NAMES,
    SIGNS,
    THROUGHPUT,
)
from bench.log.texts.failure_classes import classify
from bench.log.texts.failures import NOT_UP

# What ends a server between its routes and its first request: its port, its certificates, what it does at its start.
OF_THE_START = re.compile(
    r"^(?:\w*\.)*(?:OSError|SSLError|FileNotFoundError|PermissionError)\b|\[Errno 98\]|Application startup failed|API servers"
)

Outcome = Literal["ready", "ready_offline", "server_starting", "incomplete", "failed"]


@dataclass(frozen=True)
class Ending:
    """How a start ended. `reason` and its class: of a failed one. `stage`: what it was doing, if it did not come through;
    None where the log does not show it.
    """

    outcome: Outcome
    reason: str | None = None
    reason_class: str | None = None
    stage: str | None = None
    line: LogLine | None = field(default=None, compare=False)  # that shows it; None: no single one does
    # When the server began to serve, or the engine was up where there is none, as vLLM printed it. None: it did not, or no line has it.
    stamp: str | None = field(default=None, compare=False)

    @property
    def engine_came_up(self) -> bool:
        return self.outcome in {"ready", "ready_offline", "server_starting"}


@dataclass(frozen=True)
class Failure:
    """What ended a start, in words, and the line that shows it. `order` counts lines. `known`: its class, where the words need not show it."""

    words: str
    stage: str | None
    order: int
    line: LogLine | None
    known: str | None = None


class Watch:
    """Takes a log line by line. Its memory does not grow with the log."""

    def __init__(self) -> None:
        self._causes = Causes()
        self._ready = self._taken_back = self._server = self._server_starting = self._engine_done = False
        self._sign: Failure | None = None  # the first
        self._up: LogLine | None = None  # the last that shows how far it has come up
        self._listens_at = 0  # in the order of lines
        self._served_at: str | None = None
        self._done_at: str | None = None
        self._waits: LogLine | None = None  # the last that shows for what it waits, if nothing went on since

    @property
    def is_over(self) -> bool:
        """Whether no line matters any more: the start was ready, and nothing can take it back."""
        return self._ready and self._engine_done

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next. Else only those with a text of the groups ENDINGS, and, until it is known
        that there is a server, the server's.
        """
        return not self._is_ready() and self._causes.is_waiting

    @property
    def takes_requests(self) -> bool:
        """Whether a request shows anything: that an engine which is up is used."""
        return self._engine_done and not self._ready

    @property
    def knows_the_server(self) -> bool:
        """Whether the lines of an API server show nothing new by being its."""
        return self._server or self.is_over

    def see(self, line: LogLine, found: Found) -> None:
        """The next line, and what stands in it."""
        if self._is_ready() and not self._takes_back(found):
            return
        self._causes.see(line, found)
        self._server = self._server or is_of_a_server(line.process)
        if found.near & ENDINGS:
            self._look_at(line, line.text[:READ], found.near)

    def _is_ready(self) -> bool:
        return self._ready and (self._engine_done or not self._taken_back)

    def _takes_back(self, found: Found) -> bool:
        """Whether an earlier server was ready, and this engine is still loading. The two share a file, or vLLM's own two pipes do."""
        self._taken_back = not self._engine_done and bool(found.groups & LOADS)
        return self._taken_back

    def _look_at(self, line: LogLine, text: str, near: int) -> None:
        is_up = bool(near & (SERVES | USES) or (near & SIGN and LLM_IS_MADE.search(text)))
        is_up |= bool(self._engine_done and near & REQUEST and not FRAME_OF_ANOTHER.search(text))
        self._ready = self._ready or is_up
        if is_up or near & IS_DONE or (not self._engine_done and near & STARTS_SERVER):
            self._up = line
        if near & STARTS_SERVER or (near & SERVES and has_any(text, BEGINS_TO_SERVE)):
            self._served_at = stamp_of(text) or self._served_at
        if near & IS_DONE:
            self._done_at = stamp_of(text) or self._done_at
        self._server = self._server or bool(near & (SERVES | IS_SERVERS))
        if near & USES and not (self._engine_done or self._server):
            # A server's log without its beginning, where it would have shown itself.
            self._server = THROUGHPUT.text in text
        if near & STARTS_SERVER and not self._server_starting:
            self._server_starting, self._listens_at = True, self._causes.order
        self._engine_done = self._engine_done or bool(near & IS_DONE)
        if near & WAITS:
            self._waits = line
        elif near & STAGE:
            self._waits = None
        if self._sign is None and near & SIGN and (words := _sign(line, text)):
            self._sign = Failure(words, self._causes.stage, self._causes.order, line)

    def ending(self) -> Ending:
        """As far as the lines went."""
        failure = None if self._is_ready() else self._failure()
        if self._is_ready() or (failure and self._began_to_serve_before(failure)):
            return self._came_up("ready" if self._server else "ready_offline")
        if failure:
            failure = self._waited_for(failure)
            reason_class = failure.known or classify(failure.words, failure.stage)
            return Ending("failed", one_line(failure.words), reason_class, failure.stage, failure.line)
        if self._engine_done and not self._server:
            return self._came_up("ready_offline")
        if self._engine_done or self._server_starting:
            return self._came_up("server_starting", self._causes.stage)
        return Ending("incomplete", stage=self._causes.stage)

    def _began_to_serve_before(self, failure: Failure) -> bool:
        """Whether a server listened by then: what comes behind that is a request's, or somebody's who ended it. What it cannot open, as its
        port, is its own.
        """
        if not (self._engine_done and self._server_starting):
            return False
        return _is_stop(failure) or (failure.order > self._listens_at and not OF_THE_START.search(failure.words))

    def _came_up(self, outcome: Outcome, stage: str | None = None) -> Ending:
        return Ending(
            outcome, stage=stage, line=self._up, stamp=self._done_at if outcome == "ready_offline" else self._served_at
        )

    def _waited_for(self, failure: Failure) -> Failure:
        """Why somebody ended it, where it waited for something then."""
        if self._waits is None or not _is_stop(failure):
            return failure
        return replace(failure, words=HEAD.sub("", message_text(self._waits), count=1).strip(), line=self._waits)

    def _failure(self) -> Failure | None:
        """What ended it. Where an engine is up without a server of vLLM's, what a request meets, and how its process ends it, is printed in
        words like a failure's.
        """
        causes = self._causes
        if self._engine_done and not self._server and not has_any(causes.anchor or "", NOT_UP):
            return None
        if cause := causes.first(echoes=False):
            return _by(cause)
        found = [self._sign] if self._sign else []
        found += [_by(echo)] if (echo := causes.first(echoes=True)) else []
        if not found and causes.anchor:
            return Failure(causes.anchor, causes.stage, causes.order, causes.anchor_line)
        return min(found, key=lambda each: each.order, default=None)


def _is_stop(failure: Failure) -> bool:
    """Whether somebody ended it, and nothing of its own."""
    return classify(failure.words) == "killed"


def _by(cause: Cause) -> Failure:
    return Failure(cause.words, cause.stage, cause.order, cause.line, "bad_argument" if cause.usage else None)


def is_of_a_server(process: str | None) -> bool:
    """Whether it is the name of a process that answers requests."""
    return (process or "").startswith(SERVER_NAMES)


def _sign(line: LogLine, text: str) -> str | None:
    if has_any(text, SIGNS) or DEATH.search(text) or OF_THE_SHELL.match(text):
        return message_text(line).strip()
    found = OF_UVICORN.match(text) or OF_AN_NPU.search(text)
    return found["words"] if found else None
