"""Which line begins a start, so that the lines of one container or file are divided into starts. Pure."""

import re
from collections.abc import Callable
from typing import NamedTuple

from bench.log.filter import ANY_LINE, OPENING, READINGS, TRACED, Found
from bench.log.lines import LogLine, stamp_of
from bench.log.start_log import StartReader
from bench.log.texts import HEAD
from bench.log.texts.server_info import CONFIG, ENGINE, FRONT, PREFACE

VLLM_PROCESS = re.compile(r"(?:API|Api)Server|EngineCore|Worker|VllmWorker|MainProcess|DPSupervisor|DPCoordinator")
FRONT_KINDS = {"banner", "arguments", "namespace"}
NUMBERED = re.compile(r"_(?:DP)?\d+$")
BEHIND = 100  # lines: a copy of a line is nearer


class Opening(NamedTuple):
    """A text that a start prints once, and which of several processes printed it: `who` distinguishes them."""

    kind: str
    who: str
    version: str = ""  # an engine's: those of one start have the same


def opening_of(line: LogLine) -> Opening | None:
    """What of a start's beginning this line is."""
    text = line.text
    if ENGINE.search(text):
        config = CONFIG.search(text)
        return Opening("engine", _who(line), config["version"] if config else "")
    kind = next((name for name, each in FRONT if each.search(text)), None)
    return Opening(kind, _who(line)) if kind else None


def _words(line: LogLine) -> str:
    return HEAD.sub("", line.text, count=1)


def is_preface(line: LogLine) -> bool:
    """Whether it is printed before the beginning of a start, by every process."""
    return line.pid is None and PREFACE.match(line.text) is not None


def _who(line: LogLine) -> str:
    """Replicas have a number. A name that is not vLLM's is an actor's of Ray, several of which may hold engines at the same time."""
    if line.pid is None or (line.node is None and line.process and VLLM_PROCESS.match(line.process)):
        return line.process if line.process and NUMBERED.search(line.process) else ""
    return f"{line.process} {line.node} {line.pid}"


def begins(opening: Opening, opened: set[Opening], *, has_numbers: bool) -> bool:
    """Something that a start prints once comes again, or the front of one behind what comes later in a start, or an engine of another
    release: another start. Behind numbers, too, where the log begins in the middle of one.
    """
    kinds = {each.kind for each in opened}
    if opening.version and {each.version for each in opened} - {"", opening.version}:
        return True
    if has_numbers and not kinds and not opening.who:
        return True
    behind = "usage" in kinds or ("engine" in kinds and opening.kind != "engine") or (kinds and opening.kind == "usage")
    return opening in opened or bool(behind and not opening.who)


class Source:
    """Takes its lines that may matter, and gives each start when the next one begins. What comes before the first belongs to it."""

    def __init__(self, start: StartReader) -> None:
        self.start = start  # of the start that its lines are of now
        self.is_empty = True
        self._opened: dict[Opening, LogLine] = {}
        self._is_front = False  # whether only the front of a start has come
        self._went_wrong = False  # whether an exception was printed since
        self._has_numbers = False  # whether a number of this start was read
        self._preface: list[tuple[LogLine, Found]] = []

    @property
    def needed(self) -> int:
        """The groups of which a line matters, ANY_LINE where the next one does, whatever it is."""
        if self._preface:
            return ANY_LINE
        needed = self.start.needed if self._opened or self._has_numbers else self.start.needed | READINGS
        return needed | TRACED | READINGS if self._is_front else needed

    def _is_repeated(self, opening: Opening, line: LogLine) -> bool:
        """Whether this is the last opening once more, of the same process and time: a captor, or Ray, shows each line twice. Or an earlier
        one, behind the name of who shows it.
        """
        before = self._opened.get(opening)
        return (
            before is not None
            and not self._has_numbers
            and (next(reversed(self._opened)) == opening or self._is_of_another_sink(before, line))
            and (before.pid, before.text) == (line.pid, line.text)
            and stamp_of(line.text) is not None
        )

    def _is_of_another_sink(self, before: LogLine, line: LogLine) -> bool:
        return before.raw != line.raw and not self._went_wrong and line.number - before.number <= BEHIND

    def _comes_again(self, opening: Opening, line: LogLine) -> bool:
        """Whether another process prints the front again, and nothing went wrong: a wrapper starts the server anew, and a script that is
        not guarded is executed again in the process of its engine, whose lines have no process.
        """
        before = self._opened.get(opening)
        if before is None or not self._is_front or self._went_wrong:
            return False
        if before.pid is None and line.pid is None:
            return opening.kind == "arguments" and _words(before) == _words(line)
        return None not in {before.pid, line.pid} and before.pid != line.pid

    def see(self, line: LogLine, found: Found, following: Callable[[int], StartReader]) -> StartReader | None:
        """The start that ended before this line, if it is the first of another, which `following` makes."""
        opening = opening_of(line) if found.groups & OPENING else None
        if found.groups & OPENING and opening is None:
            # Printed before the server's own lines, and by every process after it.
            self._preface.append((line, found))
            return None
        ended = None
        begun = opening is not None and begins(opening, set(self._opened), has_numbers=self._has_numbers)
        if opening and begun and not (self._is_repeated(opening, line) or self._comes_again(opening, line)):
            ended = self._end(self._preface[0][0].number if self._preface else line.number, following)
        if opening:
            self._opened[opening] = line
        self.take_preface()
        self._has_numbers = self._has_numbers or any(rule.phase != "version" for rule in found.rules)
        if opening or self._has_numbers:
            self._is_front = not self._has_numbers and {each.kind for each in self._opened} <= FRONT_KINDS
        self._went_wrong = self._went_wrong or bool(found.groups & TRACED)
        self.start.see(line, found)
        self.is_empty = False
        return ended

    def _end(self, next_number: int, following: Callable[[int], StartReader]) -> StartReader:
        ended = self.start
        ended.last_number = next_number - 1
        self.start, self._opened, self._has_numbers = following(next_number), {}, False
        self._went_wrong = self._is_front = False
        self.start.source = ended.source
        return ended

    def take_preface(self) -> None:
        """It belongs to the start that goes on, or has begun."""
        for line, found in self._preface:
            self.start.see(line, found)
            self.is_empty = False
        self._preface.clear()
