"""Lines of one start -> how it ended, as far as its log shows. Pure.

Good starts print lines that look like errors, more so when they are shut down. So what comes after the start was ready
is not looked at, and before it only what ends a process counts.
"""

from dataclasses import dataclass, field
from typing import Literal

from bench.log.cause import Cause, message_text, one_line
from bench.log.failure import Causes
from bench.log.filter import ENDINGS, IS_DONE, IS_SERVERS, LOADS, SERVES, SIGN, STARTS_SERVER, USES, Found
from bench.log.lines import READ, LogLine
from bench.log.texts import has_any
from bench.log.texts.endings import DEATH, LLM_IS_MADE, OF_AN_NPU, OF_THE_SHELL, OF_UVICORN, SERVER_NAMES, SIGNS
from bench.log.texts.failure_classes import classify

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
        self._ready = self._ready or is_up
        if is_up or near & IS_DONE or (not self._engine_done and near & STARTS_SERVER):
            self._up = line
        self._server = self._server or bool(near & (SERVES | IS_SERVERS))
        self._server_starting = self._server_starting or bool(near & STARTS_SERVER)
        self._engine_done = self._engine_done or bool(near & IS_DONE)
        if self._sign is None and near & SIGN and (words := _sign(line, text)):
            self._sign = Failure(words, self._causes.stage_of(line), self._causes.order, line)

    def ending(self) -> Ending:
        """As far as the lines went."""
        if self._is_ready():
            return Ending("ready" if self._server else "ready_offline", line=self._up)
        if failure := self._failure():
            reason_class = failure.known or classify(failure.words, failure.stage)
            return Ending("failed", one_line(failure.words), reason_class, failure.stage, failure.line)
        if self._engine_done and not self._server:
            return Ending("ready_offline", line=self._up)
        if self._engine_done or self._server_starting:
            return Ending("server_starting", stage=self._causes.stage, line=self._up)
        return Ending("incomplete", stage=self._causes.stage)

    def _failure(self) -> Failure | None:
        """What ended it. A process that ends an engine which it has used prints that in words like a failure's."""
        causes = self._causes
        if cause := causes.first(echoes=False):
            return _by(cause)
        if self._engine_done and not self._server:
            return None
        found = [self._sign] if self._sign else []
        found += [_by(echo)] if (echo := causes.first(echoes=True)) else []
        if not found and causes.anchor:
            return Failure(causes.anchor, causes.stage, causes.order, causes.anchor_line)
        return min(found, key=lambda each: each.order, default=None)


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
