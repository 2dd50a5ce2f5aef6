"""Whether candidates are slower than a limit allows: for a build that must fail where a start has become slower. Pure.

Judged is the interval of candidate ÷ baseline, widened for all candidates that are judged (Bonferroni): they hold together with 95 %. It is
taken to be no narrower than what the A/A arms show of this rig. Three cases, which are all: it lies wholly above the limit; or wholly
at or below it; or the limit lies inside, and these starts on this rig could not have resolved it. What keeps a comparison from being made,
or its starts from being all that were planned, is the third case too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from math import exp, log

from bench.analysis.comparison import AGAIN, Comparison, by_block, resolution_of
from bench.analysis.losses import planned_starts
from bench.analysis.records import Point
from bench.analysis.statistics import Interval, known_to
from bench.start.metric_types import Metric


class Outcome(IntEnum):
    """The exit codes. Of several candidates the worst decides: one that failed, then one that is not resolved."""

    PASSED = 0
    FAILED = 1
    UNRESOLVED = 2


@dataclass(frozen=True)
class Judgement:
    """On one candidate. `time`: candidate ÷ baseline, with the interval that was judged; None: there is none, for the reason `why`."""

    candidate: str
    baseline: str | None
    outcome: Outcome
    why: str
    time: Interval | None = None


@dataclass(frozen=True)
class Gate:
    """`limit`: 0.05 lets a candidate be 5 % slower. No judgement: there was nothing to compare."""

    limit: float
    metric: Metric
    judgements: tuple[Judgement, ...]

    @property
    def outcome(self) -> Outcome:
        found = {each.outcome for each in self.judgements}
        by_gravity = (Outcome.FAILED, Outcome.UNRESOLVED, Outcome.PASSED)
        return next((each for each in by_gravity if each in found), Outcome.UNRESOLVED)


def judge(comparison: Comparison, limit: float, metric: Metric) -> Gate:
    """Every point that is neither the baseline of one nor an A/A arm is a candidate, one that cannot be compared too."""
    bases = set(comparison.baselines.values())
    candidates = [point for point in comparison.points if point.label not in bases and not _is_again(comparison, point)]
    count = sum(point.label in comparison.baselines for point in candidates)
    found = tuple(_judged(comparison, point, limit, metric, count) for point in candidates)
    return Gate(limit, metric, found)


def _is_again(comparison: Comparison, point: Point) -> bool:
    labels = {each.label for each in comparison.points}
    return point.label.endswith(AGAIN) and point.label.removesuffix(AGAIN) in labels


def _judged(comparison: Comparison, candidate: Point, limit: float, metric: Metric, count: int) -> Judgement:
    base = comparison.baselines.get(candidate.label)
    if base is None:
        alone = "there is nothing to compare it with" if candidate.starts else "none of its starts finished"
        return Judgement(candidate.label, None, Outcome.UNRESOLVED, alone)
    baseline = comparison.point(base)
    why = next(_obstacles(comparison, baseline, candidate, metric), None)
    time = None if why else _time(comparison, base, candidate.label, metric, count)
    if time is None or time.low is None or time.high is None:
        return Judgement(candidate.label, base, Outcome.UNRESOLVED, why or "n < 2 has no interval: repeats=5")
    return _by_interval(
        candidate.label, base, _no_finer(time, _resolution(comparison, {base, candidate.label}, metric, count)), limit
    )


def _obstacles(comparison: Comparison, baseline: Point, candidate: Point, metric: Metric) -> Iterator[str]:
    """Why the two are not judged, whatever their times."""
    if candidate.label in comparison.withheld:
        yield f"no comparison: {comparison.withheld[candidate.label]}"
    for point in (candidate, baseline):
        if lost := _lost(comparison, point):
            yield f"{lost} of `{point.label}`, so what is left is not all that was planned: the same command with resume=true makes them again"
        if len(values := point.values(metric)) < point.n or min(values) <= metric.resolution:
            yield f"{metric.name} is not known of every start of `{point.label}`"


def _lost(comparison: Comparison, point: Point) -> str | None:
    """Its starts that failed, do not count, or are missing, in words; those that were made again are not lost. None: there is none."""
    there = {start.block for start in point.starts}
    failed, invalid = (len({start.block for start in some} - there) for some in (point.failed, point.invalid))
    missing = sum(_missing(comparison, point.label).values())
    found = {"failed": failed, "invalid": invalid, "missing": missing}
    words = [f"{number} {word}" for word, number in found.items() if number]
    return f"{', '.join(words)} start{'s' if sum(found.values()) > 1 else ''}" if words else None


def _missing(comparison: Comparison, label: str) -> dict[str, int]:
    """By sweep: planned starts of this point that were not made."""
    return {
        sweep.sweep_id: sum(
            (label, repeat) not in {(s.point, s.repeat) for s in sweep.starts} for repeat in range(planned)
        )
        for sweep in comparison.sweep.sweeps
        if not sweep.replayed and (planned := planned_starts(sweep).get(label, 0))
    }


def _time(comparison: Comparison, base: str, candidate: str, metric: Metric, comparisons: int) -> Interval | None:
    """candidate ÷ baseline. None: one of them has no start."""
    replayed, points = comparison.sweep.replayed, [comparison.point(label) for label in (base, candidate)]
    was, now = (by_block(point, metric, has_blocks=not replayed) for point in points)
    return known_to(resolution_of(metric, points, replayed=replayed), now, was, comparisons)


def _resolution(comparison: Comparison, labels: set[str], metric: Metric, comparisons: int) -> float:
    """The largest ratio that equal starts may show by the A/A arms of these points, 1 where there is none: half the width of an arm's interval;
    where that excludes 1, its far end.
    """
    found = [1.0]
    for label, base in comparison.again.items():
        again = _time(comparison, base, label, metric, comparisons) if base in labels else None
        if again and again.low is not None and again.high is not None:
            is_off = again.excludes(1.0)
            found.append(max(again.high, 1 / again.low) if is_off else exp(log(again.high / again.low) / 2))
    return max(found)


def _no_finer(time: Interval, resolution: float) -> Interval:
    """The interval, at least as wide as this ratio to either side."""
    assert time.low is not None
    assert time.high is not None
    return replace(time, low=min(time.low, time.mean / resolution), high=max(time.high, time.mean * resolution))


def _by_interval(candidate: str, base: str, time: Interval, limit: float) -> Judgement:
    assert time.low is not None
    assert time.high is not None
    most = 1 + limit
    if time.low > most:
        return Judgement(candidate, base, Outcome.FAILED, f"all of it is above {most:g}", time)
    if time.high <= most:
        return Judgement(candidate, base, Outcome.PASSED, f"all of it is at or below {most:g}", time)
    why = f"{most:g} lies inside, so these starts could not have resolved it: more blocks, or a quieter host"
    return Judgement(candidate, base, Outcome.UNRESOLVED, why, time)
