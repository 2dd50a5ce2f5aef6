"""What a comparison shows, no further than its intervals carry it. Pure; bench.report.answer has the words.

A candidate is faster where its whole interval is on that side of 1, and of what the baseline shows against itself, where that excludes 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.savings import Saving, mean_waterfall, resolved_phases
from bench.analysis.statistics import Interval
from bench.start.metric_types import Metric
from bench.start.metrics import SPEEDUPS
from bench.weights.fingerprint import VerdictKind


class Shown(Enum):
    """What the interval of a ratio carries."""

    FASTER = "faster"
    SLOWER = "slower"
    UNRESOLVED = "not resolved"
    SINGLE = "no interval"  # n = 1


@dataclass(frozen=True)
class Finding:
    """A candidate against its baseline. `marks`: what must stand beside its ratio, in words. `phases`: in which it saves or loses beyond
    doubt; of the leading one alone.
    """

    point: Point
    ratio: Interval
    shown: Shown
    marks: tuple[str, ...] = ()
    phases: tuple[Saving, ...] = ()

    @property
    def candidate(self) -> str:
        return self.point.label

    @property
    def has_waterfalls(self) -> bool:
        return mean_waterfall(self.point) is not None


@dataclass(frozen=True)
class Against:
    """All candidates of a baseline, in the order of the points. `again`: the baseline's ratio to itself; None: there is no A/A arm.

    `beyond`: the ratio that an interval must exceed to show anything: 1, or what equal starts showed where their own interval excludes 1.
    """

    baseline: Point
    findings: tuple[Finding, ...]
    again: Interval | None
    beyond: float

    def having(self, what: Shown) -> list[Finding]:
        """Those that show this, the largest effect first."""
        found = [each for each in self.findings if each.shown is what]
        return sorted(found, key=lambda each: each.ratio.mean, reverse=what is not Shown.SLOWER)

    @property
    def leading(self) -> Finding | None:
        """The one of which a sentence says where its seconds come from: the largest gain, else the largest loss, else one that is alone."""
        resolved = self.having(Shown.FASTER) or self.having(Shown.SLOWER)
        if resolved:
            return resolved[0]
        return self.findings[0] if len(self.findings) == 1 else None


@dataclass(frozen=True)
class Verdict:
    """On one metric: the time to ready, or the first that any candidate has a speedup of. `against`: one for each baseline."""

    metric: Metric
    against: tuple[Against, ...]


def show(ratio: Interval, beyond: float = 1.0) -> Shown:
    """What this ratio, baseline ÷ candidate, shows."""
    if ratio.low is None or ratio.high is None:
        return Shown.SINGLE
    if ratio.low > beyond:
        return Shown.FASTER
    return Shown.SLOWER if ratio.high < 1 / beyond else Shown.UNRESOLVED


def verdict_of(comparison: Comparison) -> Verdict | None:
    """None: no candidate has a speedup of anything."""
    for metric in SPEEDUPS:
        if found := against_each(comparison, metric):
            return Verdict(metric, tuple(_explained(each, comparison) for each in found))
    return None


def against_each(comparison: Comparison, metric: Metric) -> tuple[Against, ...]:
    """What each baseline's candidates show in this metric, without the phases."""
    found = [each for each in comparison.speedups if each.metric == metric]
    bases = dict.fromkeys(each.baseline for each in found)
    return tuple(
        _against(comparison, base, {each.candidate: each.ratio for each in found if each.baseline == base})
        for base in bases
    )


def _against(comparison: Comparison, base: str, ratios: dict[str, Interval]) -> Against:
    again = next((ratio for label, ratio in ratios.items() if label in comparison.again), None)
    beyond = max(again.high or 1.0, 1 / (again.low or 1.0)) if again and again.excludes(1.0) else 1.0
    findings = tuple(
        Finding(comparison.point(label), ratio, show(ratio, beyond), tuple(_marks(comparison, label)))
        for label, ratio in ratios.items()
        if label not in comparison.again
    )
    return Against(comparison.point(base), findings, again, beyond)


def _explained(against: Against, comparison: Comparison) -> Against:
    """With the phases of its leading candidate."""
    leading = against.leading
    if leading is None or leading.shown is Shown.SINGLE:
        return against
    explained = replace(leading, phases=resolved_phases(comparison, leading.candidate))
    return replace(against, findings=tuple(explained if each is leading else each for each in against.findings))


def _marks(comparison: Comparison, label: str) -> Iterator[str]:
    if label in comparison.survivors:
        yield "survivors only"
    if comparison.weights[label].kind is VerdictKind.FAILED:
        yield "weights FAILED"


def longest_phase(point: Point) -> tuple[str, float, float] | None:
    """The phase that takes longest before the point is ready, its mean seconds, and those to ready. None: it has no waterfall."""
    found = mean_waterfall(point)
    if found is None or not found.steps:
        return None
    longest = max((each for each in found.steps if each.step.before_ready), key=lambda each: each.mean_s)
    return longest.step.name, longest.mean_s, found.ready_s
