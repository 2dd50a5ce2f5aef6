"""The types of the catalogue: a metric, a family of metrics, and where their numbers come from. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from bench.vllm.span import Span

Join = Callable[[Sequence[float]], float]


def added(values: Sequence[float]) -> float:
    """The sum, with no more digits than vLLM prints: 25.92 and 5.94 are 31.86."""
    return round(sum(values), 6)


def last(values: Sequence[float]) -> float:
    """The value that was printed last."""
    return values[-1]


@dataclass(frozen=True)
class FromLog:
    """One field of the log's readings of one phase. `within` joins what one process printed several times, for several models."""

    phase: str
    field: str = "duration_s"
    within: Join = added
    described: str = "the log"


@dataclass(frozen=True)
class FromProbe:
    """One value of the probe's spans of this name, or of all spans, added up within a rank."""

    span: str | None
    value: Callable[[Span], float | None]
    described: str = "the probe, inside every rank"


@dataclass(frozen=True)
class Measured:
    """A number that bench measures or computes itself. `described` is how, for the documentation."""

    described: str


Source = FromLog | FromProbe | Measured


@dataclass(frozen=True)
class Metric:
    """One number of a start. Missing numbers are absent, never 0."""

    name: str  # in MLflow; ends with the unit where there is one
    unit: str  # "": a count, a share or a ratio
    title: str  # in tables, without the unit
    source: Source
    what: str  # for the documentation, with the unit's reference where it needs one
    over_ranks: Join | None = None  # ranks work in parallel; None: the start has one number
    over_starts: Join = fmean  # of one point
    speedup: str | None = None  # the title of its ratio baseline ÷ candidate; None: no ratio is shown
    is_rate: bool = False  # more of it is better: its ratio is candidate ÷ baseline
    label: str | None = None  # in the figure of a comparison; None: it is not drawn
    is_key: bool = False  # a row of the report's table
    digits: int = 2
    resolution: float = 0.0  # how far a value may be off by the way it is written, in the metric's unit

    @property
    def heading(self) -> str:
        """Title and unit, as the report's table has them."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Family:
    """Metrics that differ in one part of their name: `like` is that of all of them, with {} for that part."""

    like: Metric
    part: str  # a regular expression for what {} may be
    shown: str  # in the documentation, for {}

    def name(self, part: object) -> str:
        return self.like.name.format(part)

    def metric(self, part: object) -> Metric:
        return replace(self.like, name=self.name(part))

    def part_of(self, name: str) -> str | None:
        """What stands for {} in this name. None: it is no name of the family."""
        before, after = map(re.escape, self.like.name.split("{}"))
        found = re.fullmatch(f"{before}({self.part}){after}", name)
        return found[1] if found else None


def named(values: Mapping[Metric, float | None]) -> dict[str, float]:
    """As MLflow takes them: what is not known is left out."""
    return {metric.name: float(value) for metric, value in values.items() if value is not None}
