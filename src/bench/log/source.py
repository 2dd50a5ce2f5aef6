"""What one container, unit or file printed -> the starts in it, one after the other. Pure."""

import re
from collections.abc import Callable
from typing import NamedTuple

from bench.log.interest import OPENING, OPENS, TELLS, Interest
from bench.log.lines import LogLine
from bench.log.start_log import StartReader

# What a start prints once, the front of it first. A picture with the version is the banner of newer releases; how it is called,
# all that a start with a wrong argument prints.
FRONT = (
    ("usage", re.compile(r"^usage: (?:\S+ -m )?\S*(?:api_server|vllm)\b")),
    ("banner", re.compile(r"vLLM (?:\w+ ){0,3}version |█ {1,4}version ")),
    ("arguments", re.compile(r"non-default args: ")),
    ("namespace", re.compile(r"\bargs: Namespace\(")),
)
ENGINE = re.compile(r"Initializing an? (?:V\d )?LLM engine \(v")
PREFACE = re.compile(
    r"(?:(?:DEBUG|INFO|WARNING) [\d-]+ [\d:]+ \[?\w+\.py:\d+\]? )?(?:Automatically detected platform |Triton )"
)
VLLM_PROCESS = re.compile(r"(?:API|Api)Server|EngineCore|Worker|VllmWorker|MainProcess|DPSupervisor|DPCoordinator")
NUMBERED = re.compile(r"_(?:DP)?\d+$")


class Opening(NamedTuple):
    """A text that a start prints once, and which of several processes printed it: they are told apart by `who`."""

    kind: str
    who: str


class Source:
    """Takes its lines that may matter, and gives each start when the next one begins. What comes before the first belongs to it."""

    def __init__(self, start: StartReader) -> None:
        self.start = start  # of the start that its lines are of now
        self.is_empty = True
        self._opened: set[Opening] = set()
        self._tells = False  # whether this start has told a number
        self._preface: list[tuple[LogLine, Interest]] = []

    @property
    def wanted(self) -> int:
        """The interests of which its lines matter."""
        return self.start.wanted if self._opened or self._tells else self.start.wanted | TELLS

    @property
    def listens(self) -> bool:
        """Whether its next line matters, whatever it is."""
        return bool(self._preface) or self.start.listens

    def see(self, line: LogLine, interest: Interest, following: Callable[[int], StartReader]) -> StartReader | None:
        """The start that ended before this line, if it is the first of another, which `following` makes."""
        opening = opening_of(line) if interest.bits & OPENS else None
        if interest.bits & OPENS and opening is None:
            # Printed before the server's own lines, and by every process after it.
            self._preface.append((line, interest))
            return None
        ended = None
        if opening and _begins(opening, self._opened, tells=self._tells):
            ended = self._end(self._preface[0][0].number if self._preface else line.number, following)
        if opening:
            self._opened.add(opening)
        self.take_preface()
        self._tells = self._tells or any(rule.phase != "version" for rule in interest.rules)
        self.start.see(line, interest)
        self.is_empty = False
        return ended

    def _end(self, next_number: int, following: Callable[[int], StartReader]) -> StartReader:
        ended = self.start
        ended.last_number = next_number - 1
        self.start, self._opened, self._tells = following(next_number), set(), False
        self.start.source = ended.source
        return ended

    def take_preface(self) -> None:
        """It belongs to the start that goes on, or has begun."""
        for line, interest in self._preface:
            self.start.see(line, interest)
            self.is_empty = False
        self._preface.clear()


def opening_of(line: LogLine) -> Opening | None:
    """What of a start's beginning this line is."""
    text = line.text
    for words in OPENING:  # no any(): it is asked of many lines
        if words in text:
            break
    else:
        return None
    kind = "engine" if ENGINE.search(text) else next((name for name, each in FRONT if each.search(text)), None)
    return Opening(kind, _who(line)) if kind else None


def is_preface(line: LogLine) -> bool:
    """Whether it is printed before the beginning of a start, by every process."""
    return line.pid is None and PREFACE.match(line.text) is not None


def _who(line: LogLine) -> str:
    """Replicas have a number. A name that is not vLLM's is an actor's of Ray, several of which may hold engines at the same time."""
    if line.pid is None or (line.node is None and line.process and VLLM_PROCESS.match(line.process)):
        return line.process if line.process and NUMBERED.search(line.process) else ""
    return f"{line.process} {line.node} {line.pid}"


def _begins(opening: Opening, opened: set[Opening], *, tells: bool) -> bool:
    """Something that a start prints once comes again, or the front of one behind what comes later in a start: another start. Behind
    numbers, too, where the log begins in the middle of one.
    """
    kinds = {each.kind for each in opened}
    if tells and not kinds and not opening.who:
        return True
    behind = "usage" in kinds or ("engine" in kinds and opening.kind != "engine") or (kinds and opening.kind == "usage")
    return opening in opened or bool(behind and not opening.who)
