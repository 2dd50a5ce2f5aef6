"""Why a start failed, in one line of vLLM's own words. Pure.

A failing vLLM prints the same accident several times: the process that met it, then every process above it that lost
its child. The first exception that is not such an echo, and that the process did not survive, is the cause.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.startup.log import LogLine
from bench.startup.rules import stage_of

LENGTH = 300
READ = 2000  # characters of a line that can matter here
NEAR = 20  # lines of the log within which an exception goes on
FOLLOWING = 3  # lines of its process that say whether it was replaced
DETAIL = 2  # lines of its process that say what pydantic did not like

# Until 0.7 the source stands without an opening bracket; torchrun and torch put the rank in front.
SOURCE = re.compile(r"^ ?(?:ERROR|CRITICAL) [\d-]+ [\d:.]+ \[?[^\]\s]+\] ?")
RANK = re.compile(r"^\[rank\d+\]: ?")
EXCEPTION = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)|Exception"
    r"|(?:[A-Za-z_]\w*\.)+(?:\w*Failed|\w*Timeout|\w*NotFound|Unsupported|OutOfResources))(?:: ?(?P<message>.*))?$"
)
USAGE = re.compile(r"^(?:\S+ -m )?\S*(?:api_server|vllm)\S*(?: \w+)?: error: (?P<message>.+)$")
VALIDATION = re.compile(r"^\d+ validation errors? for \S+$")  # pydantic: the indented lines after it say what
REPLACED = "During handling of the above exception, another exception occurred"

# What a process says of another that is gone, or when it is told to go: not of an accident of its own.
ECHOES = (
    "Engine core initialization failed",
    "Frontend process failed during engine core initialization",
    "WorkerProc initialization failed",
    "Engine process failed to start",
    "EngineCore encountered an issue",
    "EngineDeadError",
    "died unexpectedly",
    "died with exit code",
    "See root cause above",
    "See stack trace",
    "please check the stack trace above",
    "Connection closed by peer",
    "Connection reset by peer",
    "remote process exited",
    "RuntimeError: cancelled",
    "CancelledError",
    "KeyboardInterrupt",
    "SystemExit",
    "EOFError",
)

# What vLLM prints above the traceback that ends a process. Exceptions before it may have been survived.
ANCHORS = (
    "EngineCore failed to start",
    "EngineCore hit an exception",
    "EngineCore encountered a fatal error",
    "WorkerProc failed to start",
    "WorkerProc hit an exception",
    "WorkerProc failed.",
    "Exception in worker VllmWorkerProcess while processing method",  # the V0 engine's, as is the next
    "Error executing method",
)

SUSPECT = (
    "rror",
    "Exception",
    "exception",
    "Exit",
    "Interrupt",
    "Failure",
    "Failed",
    "failed",
    "Timeout",
    "NotFound",
    "Unsupported",
    "OutOf",
)


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
        self.order = 0  # of the last line, from 1
        self._usage: Cause | None = None
        self._kept: dict[tuple[bool, int | None], Cause] = {}  # by echo and pid
        self._before: dict[tuple[bool, int | None], Cause] = {}  # the same, from before the anchor
        self._open: dict[int | None, Cause] = {}
        self._stages: dict[int, str] = {}

    def see(self, line: LogLine) -> None:
        """The next line."""
        self.order += 1
        text = line.text[:READ]
        if stage := stage_of(text):
            self._survive(line, stage)
        if self._open or is_suspect(text):
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
            self.anchor = words
            self._before, self._kept = self._kept, {}
        if self._usage is None and (found := USAGE.match(words)):
            self._usage = Cause(self.order, "", found["message"], echo=False, stage=self.stage_of(line), usage=True)
        if found := EXCEPTION.match(words):
            self._begin(line, found["kind"].rpartition(".")[2], found["message"] or "", bare)

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

    def _begin(self, line: LogLine, kind: str, message: str, bare: str) -> None:
        echo = any(text in bare for text in ECHOES)
        key = (echo, line.pid)
        if key not in self._kept:
            cause = Cause(self.order, kind, message, echo, self.stage_of(line))
            self._kept[key] = self._open[line.pid] = cause

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


def is_suspect(text: str) -> bool:
    """Whether the rest has to look at this line at all: most of a log's lines are good news."""
    for word in SUSPECT:  # noqa: SIM110 - twice as quick as any() with a generator
        if word in text:
            return True
    return False


def bare_text(line: LogLine) -> str:
    """Without vLLM's level, time and source; a traceback's indentation stays."""
    return RANK.sub("", SOURCE.sub("", line.text[:READ]))


def one_line(text: str) -> str:
    """For a tag and the terminal."""
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
