"""The values that pass between starting vLLM and describing the start."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.config import Settings
from bench.host.host import Host
from bench.start.prepare import Condition
from bench.vllm.clocks import Clocks
from bench.vllm.command import Command
from bench.vllm.completion import Answer
from bench.vllm.greedy import Round
from bench.vllm.keeper_reports import Cpu
from bench.vllm.memory import MemoryRecord
from bench.weights.fingerprint_store import Files

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Attempt:
    """One start that is about to be made. Its files go to `folder`."""

    settings: Settings
    host: Host
    command: Command
    folder: Path


@dataclass(frozen=True)
class Reached:
    """How far a start has come; further is another value. Times are seconds since exec; `started_at` is its UNIX time, or when it was tried."""

    started_at: float
    exec_at_s: float | None = None  # on CLOCK_MONOTONIC; None: nothing was executed
    files: Files | None = (
        None  # of the checkpoint, as they were before exec; None: not in a folder, or it did not come to that
    )
    rounds: tuple[Round, Round] = ((), ())  # of a verification start
    condition: Condition | None = None  # None: it did not come to that
    ready_s: float | None = None
    answer: Answer | None = None
    cpu: Cpu | None = None  # None: it failed
    memory: MemoryRecord = field(default_factory=MemoryRecord)
    reason: str | None = None
    log_knows_better: bool = False  # the reason is only how vLLM ended; its log may say why
    clocks: Clocks = field(default_factory=Clocks)  # of the driver and the host, from exec on
    lost_output: list[str] = field(default_factory=list)  # what vLLM printed and its log lacks, in words
    began_s: float = field(default_factory=time.monotonic)

    def ended_at(self) -> float:
        """UNIX time now, by the clock that nobody can set: no start ends before it begins."""
        return self.started_at + time.monotonic() - (self.began_s if self.exec_at_s is None else self.exec_at_s)

    def clock_problems(self) -> list[str]:
        """Why its times cannot be believed."""
        return self.clocks.problems(self._moments_s())

    def process_warnings(self) -> list[str]:
        """What is less than it should be around its processes."""
        return [*self.clocks.warnings(self._moments_s()), *self.lost_output]

    def _moments_s(self) -> list[float]:
        found = [self.ready_s, self.answer.first_token_s if self.answer else None]
        return [moment_s for moment_s in found if moment_s is not None]
