"""What the probe measured inside vLLM's processes, as values; probe_events.py reads them.

Times are seconds since exec; the probe and the driver share the host's CLOCK_MONOTONIC.
"""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from bench.host.byte_code import ByteCode
from bench.vllm.ran import Ran
from bench.vllm.span import EXACT, Span

GIB = 1024**3
CLOCK_TICK_S = 0.1  # a process's own start is known to a hundredth of a second


@dataclass(frozen=True)
class TensorSum:
    """A parameter or persistent buffer as it was loaded, before any processing. None: it has no checksum."""

    dtype: str
    shape: tuple[int, ...]
    digest: str | None


@dataclass(frozen=True)
class RankSums:
    """All that a rank has loaded, by name, and what it took to sum it. A second model's names (a drafter's) begin with `2:`."""

    tensors: dict[str, TensorSum]
    unsummed: dict[str, str]  # why a tensor has no checksum
    gib: float
    duration_s: float


@dataclass(frozen=True)
class ProbeProcess:
    """One process of vLLM. `imported_s` is when vLLM called the probe, behind most of its imports."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    pid: int
    parent: int
    kind: str  # api_server, engine_core, worker, model_inspection
    rank: str | None  # TP0; None: it loads nothing, or ended before that was known
    started_s: float | None
    imported_s: float
    spans: tuple[Span, ...] = ()
    warnings: tuple[str, ...] = ()
    sums: RankSums | None = None  # None: they were not requested, or did not finish
    ran: Ran | None = None  # what it really had; None: it did not report that
    byte_code: ByteCode | None = None  # that it found; None: it did not report that

    @property
    def loads(self) -> list[Span]:
        """Of weights: the model's, and behind it a drafter's."""
        return self.calls("load_weights")

    @property
    def loaders(self) -> set[str | None]:
        """The classes that loaded them."""
        return {span.facts.of for span in self.loads}

    def calls(self, *names: str) -> list[Span]:
        """Those of these names."""
        return [span for span in self.spans if span.name in names]


@dataclass(frozen=True)
class ProbeReport:
    """All that reported, in the order of their start. `warnings` are about files without a process, `unreadable` about
    files that the probe did not write so: nothing of such a file is used.
    """

    processes: tuple[ProbeProcess, ...] = ()
    warnings: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def ranks(self) -> dict[str, ProbeProcess]:
        return {each.rank: each for each in self.processes if each.rank}

    @property
    def byte_code(self) -> dict[str, ByteCode]:
        """That each process found, by its rank or kind; of several of one kind, as API servers of data-parallel ranks, with the pid behind it."""
        found = [(each.rank or each.kind, each) for each in self.processes if each.byte_code]
        names = [name for name, _ in found]
        return {
            name if names.count(name) == 1 else f"{name} {each.pid}": each.byte_code
            for name, each in found
            if each.byte_code
        }
