"""The values that pass between starting vLLM and describing the start."""

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from bench.config import Settings
from bench.host.emulation.emulate import StorageInUse
from bench.host.host import Host
from bench.start.prepare import StateBefore
from bench.start.tags import BENCH_ENDED
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.vllm.clocks import Clocks
from bench.vllm.command import Command
from bench.vllm.completion import Answer
from bench.vllm.first_answer import OtherAnswer
from bench.vllm.greedy import Round
from bench.vllm.keeper_reports import Cpu
from bench.vllm.load import Load
from bench.vllm.memory import MemoryRecord, MemorySample
from bench.vllm.steady import Request
from bench.weights.fingerprint_store import Files


class StopKind(Enum):
    """Why bench ended a start early."""

    INTERRUPTED = auto()  # by a signal
    TIMEOUT = auto()
    VLLM_ENDED = auto()  # its log may have the reason
    KILLED = auto()  # bench itself
    OTHER = auto()


@dataclass(frozen=True)
class Stop:
    """`text` is what bench observed."""

    kind: StopKind
    text: str

    @property
    def failure_class(self) -> str | None:
        """Where the kind decides it; None: the text does."""
        return {StopKind.INTERRUPTED: BENCH_ENDED, StopKind.KILLED: BENCH_ENDED, StopKind.TIMEOUT: "timeout"}.get(
            self.kind
        )


@dataclass(frozen=True)
class PreparedStart:
    """A start that is about to be executed. Its files go to `folder`."""

    settings: Settings
    host: Host
    command: Command
    folder: Path


@dataclass(frozen=True)
class CgroupCounters:
    """Of the driver's own cgroup, which vLLM inherits: which it is, and what the kernel has counted in it."""

    membership: str
    counters: dict[str, float]


@dataclass(frozen=True)
class Execution:
    """What is known of a start so far; each further stage is another value. Times are seconds since exec.

    `started_at` is its UNIX time, or that of the preparation where nothing was executed.
    """

    started_at: float
    exec_at_s: float | None = None  # on CLOCK_MONOTONIC; None: nothing was executed
    files: Files | None = None  # of the checkpoint, before exec; None: not in a folder, or not reached
    rounds: tuple[Round, Round] = ((), ())  # of a verification start
    state_before: StateBefore | None = None  # None: not reached
    cgroup_before: CgroupCounters | None = None  # None: not reached
    storage: StorageInUse | None = None  # that the weights are read from; None: not reached
    ready_s: float | None = None
    answer: Answer | None = None  # of a model that completes texts
    other_answer: OtherAnswer | None = None  # of one that does not
    unanswered: list[str] = field(default_factory=list)  # why neither came, though one was asked for
    is_asked: bool = False  # nothing is left that this start should have been asked
    asked_until_s: float | None = None  # then what follows its timed part began; None: nothing does
    requests: tuple[Request, ...] = ()  # of `steady`
    load: Load | None = None  # of `serve_bench`; None: none, or it failed
    not_served: list[str] = field(default_factory=list)  # what failed of the two
    cpu: Cpu | None = None  # None: it failed
    tree_read_bytes: int | None = None  # from storage, by all that vLLM started; None: not over, or not counted here
    memory: MemoryRecord = field(default_factory=MemoryRecord)
    stop: Stop | None = None  # None: it came to its end, or is still running
    clocks: Clocks = field(default_factory=Clocks)  # of the driver and the host, from exec on
    lost_output: list[str] = field(default_factory=list)  # what vLLM printed and its log lacks
    began_s: float = field(default_factory=time.monotonic)

    @property
    def first_token_s(self) -> float | None:
        return self.answer.first_token_s if self.answer else None

    @property
    def first_answer_s(self) -> float | None:
        return self.other_answer.ended_s if self.other_answer else None

    @property
    def measured_s(self) -> float | None:
        """Seconds from exec to the first token or other answer; to ready where nothing was answered. None: it did not come so far."""
        answered_s = self.first_answer_s if self.first_token_s is None else self.first_token_s
        return self.ready_s if answered_s is None and self.is_asked else answered_s

    @property
    def timed_samples(self) -> list[MemorySample]:
        """Those of its memory before it was loaded."""
        until_s = self.asked_until_s
        return [each for each in self.memory.samples if until_s is None or each.elapsed_s <= until_s]

    def ended_at(self) -> float:
        """UNIX time now, by the clock that nobody can set: no start ends before it begins."""
        return self.started_at + time.monotonic() - (self.began_s if self.exec_at_s is None else self.exec_at_s)

    def clock_problems(self) -> list[str]:
        """Why its times cannot be trusted."""
        return self.clocks.problems(self._moments_s())

    def warnings(self) -> list[ResultWarning]:
        """What was lost while it ran."""
        return [
            *warnings_of(WarningKind.CLOCK, self.clocks.warnings(self._moments_s())),
            *warnings_of(WarningKind.OUTPUT, self.lost_output),
            *warnings_of(WarningKind.ANSWER, self.unanswered),
            *warnings_of(WarningKind.LOAD, self.not_served),
            *warnings_of(WarningKind.MEMORY, [self.memory.failure] if self.memory.failure else []),
        ]

    def _moments_s(self) -> list[float]:
        return [moment_s for moment_s in (self.ready_s, self.measured_s) if moment_s is not None]
