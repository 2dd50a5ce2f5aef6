"""Where the seconds of a start go, and where those come from that a candidate saves. Pure.

A start's waterfall adds up to its time to ready: what no phase explains is a phase too. So the differences of the phases add
up to the difference in time to ready, if a phase that a start did not have counts as no time: whatever it may have taken is in
the other phases of that start already. A start without any waterfall is another matter: nothing is known of it, and it
does not enter.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point, RunRecord
from bench.analysis.statistics import Interval, paired, paired_or_welch
from bench.start import metrics
from bench.start.waterfall import Step

READY = metrics.READY.name
LOAD_WEIGHTS = "load_weights"  # the phase that the upper bound takes away


@dataclass(frozen=True)
class MeanStep:
    """Seconds over all starts of a waterfall; in those that did not have the phase it took none. `n` had it."""

    step: Step
    mean_s: float
    n: int


@dataclass(frozen=True)
class Waterfall:
    """The mean waterfall of a point: over its `n` starts that have one. The steps before ready add up to `ready_s`, all
    of them to the time to the first token.
    """

    point: str
    n: int
    steps: tuple[MeanStep, ...]
    ready_s: float

    def mean_s(self, step: Step) -> float | None:
        """None: no start had this phase."""
        return next((each.mean_s for each in self.steps if each.step == step), None)


@dataclass(frozen=True)
class Saving:
    """What a candidate saves in one phase, or loses below 0. A mean of None: no start of that point had the phase."""

    step: Step
    baseline_s: float | None
    candidate_s: float | None
    saved_s: Interval


@dataclass(frozen=True)
class Savings:
    """The seconds to ready that a candidate saves, by phase. Everything is over the same starts: of the blocks that both
    have, or all where they are not paired. So the steps add up to `saved_s`, the difference in time to ready.
    """

    baseline: str
    candidate: str
    steps: tuple[Saving, ...]
    saved_s: Interval

    @property
    def n(self) -> int:
        return self.saved_s.n

    @property
    def paired(self) -> bool:
        return self.saved_s.paired


@dataclass(frozen=True)
class UpperBound:
    """The speedup of a point whose weights load in no time: ready ÷ (ready - load_weights), over the starts that have both.
    What exceeds it was saved in other phases.
    """

    point: str
    ready_s: float
    weights_s: float
    ratio: Interval


def steps_of(waterfalls: Iterable[Waterfall]) -> list[Step]:
    """Those that any of them has, in the order of the chain."""
    return sorted({each.step for waterfall in waterfalls for each in waterfall.steps})


def mean_waterfall(point: Point) -> Waterfall | None:
    """None: no start of the point that counts has a waterfall."""
    return _mean_waterfall(point.label, _with_waterfall(point))


def _with_waterfall(point: Point) -> list[RunRecord]:
    return [start for start in point.starts if start.phases]


def _mean_waterfall(label: str, starts: Sequence[RunRecord]) -> Waterfall | None:
    if not starts:
        return None
    found = [start.phases for start in starts]
    steps = sorted({step for each in found for step in each})
    means = tuple(MeanStep(step, _mean(found, step), sum(step in each for each in found)) for step in steps)
    return Waterfall(label, len(starts), means, fmean(start.metrics[READY] for start in starts))


def _mean(waterfalls: Sequence[dict[Step, float]], step: Step) -> float:
    return fmean(each.get(step, 0.0) for each in waterfalls)


def savings(comparison: Comparison) -> list[Savings]:
    """Of every candidate that is compared with its baseline and of which both have waterfalls. As with the speedups, an
    interval holds for all candidates of one baseline together.
    """
    found = (
        _savings(comparison.point(base), comparison.point(candidate), comparison.rivals(base))
        for candidate, base in comparison.baselines.items()
        if candidate not in comparison.withheld
    )
    return [each for each in found if each]


def resolved_phases(comparison: Comparison, candidate: str) -> tuple[Saving, ...]:
    """The phases in which this candidate saves or loses seconds beyond doubt, the largest difference first.

    They are found among all phases, so their intervals are widened for the number of phases too (Bonferroni): where nothing differs, some
    phase would be named in 5 % of the sweeps at most.
    """
    base = comparison.baselines[candidate]
    arms, rivals = (comparison.point(base), comparison.point(candidate)), comparison.rivals(base)
    found = _savings(*arms, rivals)
    if found is None:
        return ()
    widened = _savings(*arms, rivals * len(found.steps))
    assert widened is not None
    resolved = [each for each in widened.steps if each.saved_s.excludes(0.0)]
    return tuple(sorted(resolved, key=lambda each: -abs(each.saved_s.mean)))


def _savings(baseline: Point, candidate: Point, rivals: int) -> Savings | None:
    slow, fast = _same_starts(_with_waterfall(baseline), _with_waterfall(candidate))
    was, now = _mean_waterfall(baseline.label, slow), _mean_waterfall(candidate.label, fast)
    if was is None or now is None:
        return None
    steps = tuple(
        Saving(step, was.mean_s(step), now.mean_s(step), _saved_s(slow, fast, rivals, partial(_seconds, step)))
        for step in steps_of([was, now])
        if step.before_ready
    )
    return Savings(baseline.label, candidate.label, steps, _saved_s(slow, fast, rivals, _ready_s))


def _saved_s(
    slow: Sequence[RunRecord], fast: Sequence[RunRecord], rivals: int, seconds: Callable[[RunRecord], float]
) -> Interval:
    was, now = ([(start.block, seconds(start)) for start in starts] for starts in (slow, fast))
    found = paired_or_welch(was, now, rivals)
    assert found is not None
    return found


def _seconds(step: Step, start: RunRecord) -> float:
    return start.phases.get(step, 0.0)


def _ready_s(start: RunRecord) -> float:
    return start.metrics[READY]


def _same_starts(
    baseline: Sequence[RunRecord], candidate: Sequence[RunRecord]
) -> tuple[Sequence[RunRecord], Sequence[RunRecord]]:
    """Those of the common blocks; all of them where there is none, or where a block has a point twice."""
    slow, fast = ({start.block: start for start in starts} for starts in (baseline, candidate))
    blocks = sorted(slow.keys() & fast.keys())
    each_once = (len(slow), len(fast)) == (len(baseline), len(candidate))
    return (
        ([slow[each] for each in blocks], [fast[each] for each in blocks])
        if blocks and each_once
        else (baseline, candidate)
    )


def upper_bound(point: Point) -> UpperBound | None:
    """None: no start of the point has both its time to ready and that of its weights."""
    found = [
        (start.metrics[READY], seconds)
        for start in point.starts
        for step, seconds in start.phases.items()
        if step.name == LOAD_WEIGHTS and 0 <= seconds < start.metrics[READY]
    ]
    ready_s = dict(enumerate(ready for ready, _ in found))
    without_s = dict(enumerate(ready - weights for ready, weights in found))
    ratio = paired(ready_s, without_s, ratio=True)
    return UpperBound(point.label, fmean(ready_s.values()), fmean(each for _, each in found), ratio) if ratio else None


def upper_bounds(comparison: Comparison) -> list[UpperBound]:
    """Of each baseline whose candidates have savings."""
    bases = {each.baseline for each in savings(comparison)}
    return [found for point in comparison.points if point.label in bases and (found := upper_bound(point))]
