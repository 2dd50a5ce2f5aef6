"""Span: a stretch of a start. One type for the log's, the probe's and the driver's clock's, and for all that is drawn of them."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

# What a file holds is checked against these types: nothing is converted, and neither NaN nor infinity is a time.
EXACT = ConfigDict(strict=True, allow_inf_nan=False, revalidate_instances="always")

Source = Literal["probe", "log", "clock", "none"]


@dataclass(frozen=True)
class Memory:
    """Of one process, but for `gpu_used_gib`, which is the whole device's. None: not read, or no GPU in use yet."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    rss_anon_gib: float | None
    rss_file_gib: float | None
    rss_shmem_gib: float | None
    gpu_allocated_gib: float | None
    gpu_reserved_gib: float | None
    gpu_used_gib: float | None


@dataclass(frozen=True)
class Facts:
    """What the probe recorded of a span besides its times. None: not reported, or not of this kind of span."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    # Of a call. What iterators delivered stands at the innermost call around them.
    of: str | None = None  # the class of the loader, the worker, the model
    failed: str | None = None  # the exception that left the call
    read_bytes: int | None = None  # from storage, by the whole process meanwhile
    delivered_bytes: int | None = None
    delivered_tensors: int | None = None
    blocked_s: float | None = None  # waiting for the next tensor; None too where threads beside the loading one waited
    before: Memory | None = None
    after: Memory | None = None
    # Of a process.
    kind: str | None = None  # api_server, engine_core, worker, model_inspection
    parent: int | None = None  # pid
    imported_s: float | None = None  # when vLLM called the probe, behind most of the imports
    warnings: str | None = None  # in lines


@dataclass(frozen=True)
class Span:
    """Times are seconds since exec. `end_s` None: the process ended first, or its end is not seen."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    process: int | None  # pid; None: the driver's, or of a process that has not reported
    rank: str | None  # TP0; None: of no rank alone
    name: str
    start_s: float
    end_s: float | None
    source: Source
    facts: Facts = field(default_factory=Facts)

    @property
    def until_s(self) -> float:
        """`end_s`; infinity where that is not known."""
        return math.inf if self.end_s is None else self.end_s

    @property
    def duration_s(self) -> float:
        return self.until_s - self.start_s
