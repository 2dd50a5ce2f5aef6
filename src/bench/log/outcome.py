"""Lines of one start -> how it ended, as far as its log tells. Pure.

Good starts print lines that look like errors, more so when they are shut down. So what comes after the start was ready
is not looked at, and before it only what ends a process counts.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from bench.log.failure import Causes
from bench.log.lines import LogLine
from bench.log.message import READ, bare_text, one_line
from bench.log.reason_class import classify
from bench.log.shapes import SHAPES, shape_of
from bench.log.texts.endings import (
    DEATH,
    ENGINE_DONE,
    IN_USE,
    LLM_IS_MADE,
    LOADING,
    MARKERS,
    OF_A_SERVER,
    OF_AN_NPU,
    OF_THE_SHELL,
    OF_UVICORN,
    SERVING,
    SIGNS,
    STARTING,
)

Outcome = Literal["ready", "ready_offline", "server_starting", "incomplete", "failed"]

ALIKE = tuple(shape_of(marker) for marker in MARKERS)


@dataclass(frozen=True)
class Ending:
    """How a start ended. `reason` and its class: of a failed one. `stage`: what it was doing, if it did not come through;
    None where the log does not say.
    """

    outcome: Outcome
    reason: str | None = None
    reason_class: str | None = None
    stage: str | None = None
    line: LogLine | None = field(default=None, compare=False)  # that says so; None: no single one does

    @property
    def engine_came_up(self) -> bool:
        return self.outcome in {"ready", "ready_offline", "server_starting"}


def outcome_tags(ending: Ending) -> dict[str, str]:
    """As MLflow keeps it. The reason's words are a tag of their own, `bench.reason`, that every failed run has."""
    named = {
        "bench.outcome": ending.outcome,
        "bench.reason_class": ending.reason_class,
        "bench.stopped_in": ending.stage,
    }
    return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Sign:
    """That a process is gone. `order` counts lines."""

    words: str
    stage: str | None
    order: int
    line: LogLine


class Watch:
    """Takes a log line by line. Its memory does not grow with the log."""

    def __init__(self) -> None:
        self._causes = Causes()
        self._ready = self._taken_back = self._server = self._server_starting = self._engine_done = False
        self._sign: Sign | None = None  # the first
        self._up: LogLine | None = None  # the last that said how far it has come up

    @property
    def is_over(self) -> bool:
        """Whether no line matters any more: the start was ready, and nothing can take it back."""
        return self._ready and self._engine_done

    @property
    def is_waiting(self) -> bool:
        """Whether any line matters that comes next. Else only those with a text of `MARKERS`, `SUSPECT` or `STAGES`, and, until it
        is known that there is a server, the server's.
        """
        return not self._is_ready() and self._causes.is_waiting

    @property
    def knows_the_server(self) -> bool:
        """Whether the lines of an API server have nothing more to tell by being its."""
        return self._server or self.is_over

    def see(self, line: LogLine) -> None:
        """The next line."""
        if self._is_ready() and not self._takes_back(line.text):
            return
        self._causes.see(line)
        self._server = self._server or is_of_a_server(line.process)
        text = line.text[:READ]
        if _matters(shape_of(text)):
            self._look_at(line, text)

    def _is_ready(self) -> bool:
        return self._ready and (self._engine_done or not self._taken_back)

    def _takes_back(self, text: str) -> bool:
        """Whether it was another server that was ready: this engine only begins. The two share a file, or vLLM's own two pipes do."""
        self._taken_back = not self._engine_done and any(marker in text for marker in LOADING)
        return self._taken_back

    def _look_at(self, line: LogLine, text: str) -> None:
        serving = any(marker in text for marker in SERVING)
        is_up = serving or any(marker in text for marker in IN_USE) or bool(LLM_IS_MADE.search(text))
        self._ready = self._ready or is_up
        if is_up or ENGINE_DONE in text or (not self._engine_done and any(marker in text for marker in STARTING)):
            self._up = line
        self._server = self._server or serving or any(marker in text for marker in OF_A_SERVER)
        self._server_starting = self._server_starting or any(marker in text for marker in STARTING)
        self._engine_done = self._engine_done or ENGINE_DONE in text
        if self._sign is None and (words := _sign(line, text)):
            self._sign = Sign(words, self._causes.stage_of(line), self._causes.order, line)

    def ending(self) -> Ending:
        """As far as the lines went."""
        if self._is_ready():
            return Ending("ready" if self._server else "ready_offline", line=self._up)
        if found := self._failure():
            words, stage, known, line = found
            return Ending("failed", one_line(words), known or classify(words, stage), stage, line)
        if self._engine_done and not self._server:
            return Ending("ready_offline", line=self._up)
        if self._engine_done or self._server_starting:
            return Ending("server_starting", stage=self._causes.stage, line=self._up)
        return Ending("incomplete", stage=self._causes.stage)

    def _failure(self) -> tuple[str, str | None, str | None, LogLine | None] | None:
        """What ended it, when, its class where that is known besides, and the line that says so.

        A process that ends an engine which it has used says so in words like a failure's.
        """
        if cause := self._causes.first(echoes=False):
            return cause.words, cause.stage, "bad_argument" if cause.usage else None, cause.line
        if self._engine_done and not self._server:
            return None
        said = [each for each in (self._sign, self._causes.first(echoes=True)) if each]
        if said:
            first = min(said, key=lambda each: each.order)
            return first.words, first.stage, None, first.line
        causes = self._causes
        return (causes.anchor, causes.stage, None, causes.anchor_line) if causes.anchor else None


@lru_cache(SHAPES)
def _matters(shape: bytes) -> bool:
    """False only where no line of this shape has a marker."""
    return any(marker in shape for marker in ALIKE)


def is_of_a_server(process: str | None) -> bool:
    """Whether it is the name of a process that answers requests."""
    return (process or "").lower().startswith(("apiserver", "rustfrontend"))


def _sign(line: LogLine, text: str) -> str | None:
    if any(sign in text for sign in SIGNS) or DEATH.search(text) or OF_THE_SHELL.match(text):
        return bare_text(line).strip()
    found = OF_UVICORN.match(text) or OF_AN_NPU.search(text)
    return found["words"] if found else None
