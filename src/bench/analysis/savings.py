"""Where the seconds of a start go, and where those come from that a candidate saves. Pure.

A start's waterfall adds up to its time to ready: what no phase explains is a phase too. So the differences of the phases add
up to the difference in time to ready, if a phase that a start did not have counts as no time: whatever it may have taken is in
the other phases of that start already. A start without any waterfall is another matter: nothing is known of it, and it
does not enter.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.analysis.comparison import Comparison, Point
from bench.analysis.records import RunRecord
from bench.analysis.statistics import Difference, paired_difference, paired_ratio, unpaired_difference

WATERFALL = re.compile(r"waterfall/(?P<number>\d+)_(?P<name>\w+)_s")
READY = "ready_s"
WEIGHTS = "load_weights"  # the phase that the cap takes away
AFTER_READY = "first_token"  # the only phase that is no part of the time to ready


@dataclass(frozen=True, order=True)
class Step:
    """A phase of the critical chain: its place there, and its name."""

    number: int
    name: str

    @property
    def before_ready(self) -> bool:
        return self.name != AFTER_READY


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
    saved_s: Difference


@dataclass(frozen=True)
class Savings:
    """The seconds to ready that a candidate saves, by phase. Everything is over the same starts: of the blocks that both
    have, or all where they are not paired. So the steps add up to `saved_s`, the difference in time to ready.
    """

    baseline: str
    candidate: str
    steps: tuple[Saving, ...]
    saved_s: Difference

    @property
    def n(self) -> int:
        return self.saved_s.n

    @property
    def paired(self) -> bool:
        return self.saved_s.paired


@dataclass(frozen=True)
class Cap:
    """What an infinitely fast loader could reach at most: ready ÷ (ready - load_weights), as a geometric mean over the
    point's `n` starts that tell both, with its 95 % interval; None at n = 1. Above it, seconds come from other phases.
    """

    point: str
    n: int
    ready_s: float
    weights_s: float
    ratio: float
    low: float | None
    high: float | None


def waterfall_of(start: RunRecord) -> dict[Step, float]:
    """Seconds of each phase that the start had, in the order of the chain. Empty: it has no waterfall."""
    found = ((WATERFALL.fullmatch(name), value) for name, value in start.metrics.items())
    steps = {Step(int(match["number"]), match["name"]): value for match, value in found if match}
    return dict(sorted(steps.items())) if READY in start.metrics else {}


def steps_of(waterfalls: Iterable[Waterfall]) -> list[Step]:
    """Those that any of them has, in the order of the chain."""
    return sorted({each.step for waterfall in waterfalls for each in waterfall.steps})


def mean_waterfall(point: Point) -> Waterfall | None:
    """None: no start of the point that counts has a waterfall."""
    return _mean_waterfall(point.label, _with_waterfall(point))


def _with_waterfall(point: Point) -> list[RunRecord]:
    return [start for start in point.starts if waterfall_of(start)]


def _mean_waterfall(label: str, starts: Sequence[RunRecord]) -> Waterfall | None:
    if not starts:
        return None
    found = [waterfall_of(start) for start in starts]
    steps = sorted({step for each in found for step in each})
    means = tuple(MeanStep(step, _mean(found, step), sum(step in each for each in found)) for step in steps)
    return Waterfall(label, len(starts), means, fmean(start.metrics[READY] for start in starts))


def _mean(waterfalls: Sequence[dict[Step, float]], step: Step) -> float:
    return fmean(each.get(step, 0.0) for each in waterfalls)


def savings(comparison: Comparison) -> list[Savings]:
    """Of every candidate that is compared with its baseline and of which both have waterfalls. As with the speedups, an
    interval holds for all candidates of one baseline together.
    """
    by_label = {point.label: point for point in comparison.points}
    rivals = list(comparison.baselines.values())
    found = (
        _savings(by_label[base], by_label[candidate], rivals.count(base))
        for candidate, base in comparison.baselines.items()
        if candidate not in comparison.withheld
    )
    return [each for each in found if each]


def _savings(baseline: Point, candidate: Point, rivals: int) -> Savings | None:
    slow, fast, paired = _same_starts(_with_waterfall(baseline), _with_waterfall(candidate))
    was, now = _mean_waterfall(baseline.label, slow), _mean_waterfall(candidate.label, fast)
    if was is None or now is None:
        return None
    steps = tuple(
        Saving(
            step,
            was.mean_s(step),
            now.mean_s(step),
            _difference(
                [waterfall_of(start).get(step, 0.0) for start in slow],
                [waterfall_of(start).get(step, 0.0) for start in fast],
                rivals,
                paired=paired,
            ),
        )
        for step in steps_of([was, now])
        if step.before_ready
    )
    ready = [start.metrics[READY] for start in slow], [start.metrics[READY] for start in fast]
    return Savings(baseline.label, candidate.label, steps, _difference(ready[0], ready[1], rivals, paired=paired))


def _same_starts(
    baseline: Sequence[RunRecord], candidate: Sequence[RunRecord]
) -> tuple[Sequence[RunRecord], Sequence[RunRecord], bool]:
    """Those that enter, and whether as pairs: then both are in the order of their common blocks."""
    slow, fast = ({start.repeat: start for start in starts} for starts in (baseline, candidate))
    blocks = sorted(slow.keys() & fast.keys())
    in_blocks = (len(slow), len(fast)) == (len(baseline), len(candidate))  # else a block has a point twice
    if blocks and in_blocks:
        return [slow[block] for block in blocks], [fast[block] for block in blocks], True
    return baseline, candidate, False


def _difference(slow: Sequence[float], fast: Sequence[float], rivals: int, *, paired: bool) -> Difference:
    pairs = dict(enumerate(slow)), dict(enumerate(fast))
    found = paired_difference(*pairs, rivals) if paired else unpaired_difference(slow, fast, rivals)
    assert found is not None
    return found


def cap_of(point: Point) -> Cap | None:
    """None: no start of the point tells how long its weights took, so nothing can be taken away."""
    found = [
        (start.metrics[READY], seconds)
        for start in point.starts
        for step, seconds in waterfall_of(start).items()
        if step.name == WEIGHTS and 0 <= seconds < start.metrics[READY]
    ]
    with_weights = dict(enumerate(ready for ready, _ in found))
    without = dict(enumerate(ready - weights for ready, weights in found))
    ratio = paired_ratio(with_weights, without)
    if ratio is None:
        return None
    means = fmean(with_weights.values()), fmean(weights for _, weights in found)
    return Cap(point.label, ratio.n, *means, ratio.ratio, ratio.low, ratio.high)


def caps(comparison: Comparison) -> list[Cap]:
    """Of each baseline whose candidates have savings, where it has a cap."""
    bases = {each.baseline for each in savings(comparison)}
    return [cap for point in comparison.points if point.label in bases and (cap := cap_of(point))]
