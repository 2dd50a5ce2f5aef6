"""Starts of several points -> their means, and how much faster each candidate is than its baseline. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.analysis.agreement import NOT_USED, are_two_releases, known_of_one, unlike, why_not
from bench.analysis.baselines import AUTO, baselines_of, has_param, refuse_unknown, varied_besides_format, why_none
from bench.analysis.losses import cut_off, survivors_only
from bench.analysis.records import Block, Point, RunRecord, SweepRecord, points_of
from bench.analysis.same_weights import IGNORED_AS, Weights, weights_of
from bench.analysis.statistics import Interval, known_to, last_place
from bench.errors import SettingError
from bench.start.metric_types import Metric
from bench.start.metrics import FIRST_ANSWER, READY, SPEEDUPS
from bench.start.tags import ENDPOINT
from bench.weights.fingerprint import VerdictKind

AGAIN = " again"  # the baseline's second name, for a comparison of a point with itself


@dataclass(frozen=True)
class Speedup:
    """baseline ÷ candidate of one metric; above 1 the candidate is faster. The interval holds for all candidates of one
    baseline together, with 95 %.
    """

    metric: Metric
    baseline: str
    candidate: str
    ratio: Interval

    @property
    def half_width(self) -> float | None:
        """Of its ratio."""
        return self.ratio.half_width


@dataclass(frozen=True)
class Comparison:
    """All points of a sweep, each candidate with its baseline. `withheld`: why a candidate has no speedup."""

    sweep: SweepRecord
    points: tuple[Point, ...]
    baselines: dict[str, str]  # by candidate
    speedups: tuple[Speedup, ...]
    withheld: dict[str, str]  # by candidate
    where: dict[str, str]
    ignored: tuple[str, ...] = ()  # differences that were overlooked, as requested
    ignored_in_vain: tuple[str, ...] = ()  # asked to be overlooked, and no difference between these points
    weights: dict[str, Weights] = field(default_factory=dict)  # by candidate: how far they are the baseline's
    title: str = ""  # of the report; empty: the points' names
    usd_per_gpu_hour: float | None = None  # None: no price was given
    # By candidate with a speedup: of which arm more starts failed, in words.
    survivors: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> tuple[str, ...]:
        """What of a single sweep was asked for: names of points, NAME=VALUE of settings. Empty: all of it."""
        return (*self.sweep.part, *(f"{name}={value}" for name, value in self.where.items()))

    def point(self, label: str) -> Point:
        """The point of this label, which it has."""
        return next(point for point in self.points if point.label == label)

    def rivals(self, baseline: str) -> int:
        """How many candidates are compared with this point."""
        return list(self.baselines.values()).count(baseline)

    @property
    def again(self) -> dict[str, str]:
        """The A/A arms with speedups, and whose second name each is."""
        found = self.baselines.items()
        return {label: base for label, base in found if label == base + AGAIN and label not in self.withheld}

    def speedup(self, candidate: str, metric: Metric) -> Speedup | None:
        return next((each for each in self.speedups if (each.candidate, each.metric) == (candidate, metric)), None)

    @property
    def failed(self) -> list[RunRecord]:
        return [start for point in self.points for start in point.failed]

    @property
    def invalid(self) -> list[RunRecord]:
        return [start for point in self.points for start in point.invalid]

    @property
    def states(self) -> list[str | None]:
        """Of the page cache, each once: their starts are never in one table."""
        return list(dict.fromkeys(point.state for point in self.points if point.starts and point.state not in NOT_USED))


def compare(
    sweep: SweepRecord, *, baseline: str = AUTO, where: Mapping[str, str] | None = None, ignore: Sequence[str] = ()
) -> Comparison:
    """Compare the points of a sweep.

    Without a finished start there is nothing to compare, and no baseline.

    `baseline` is a point's label, or "auto": then a load format is compared with load_format=auto at otherwise equal
    settings, and with the sweep's first point where there is no such start. `where` keeps the starts whose params have
    these values, `null` where they are not set. What differs in `must_agree.FACTS` is not compared, unless it is named in `ignore`.

    Raises:
        SettingError: no start is left, or the baseline is none of the points.
    """
    wanted = dict(where or {})
    refuse_unknown(sweep, wanted)
    kept = [start for start in sweep.starts if all(has_param(start, name, value) for name, value in wanted.items())]
    if not kept:
        words = " ".join(f"where.{name}={value}" for name, value in wanted.items())
        raise SettingError(
            f"{words}: none of the {len(sweep.starts)} starts of sweep {sweep.sweep_id} is left. {why_none(sweep, wanted)}".rstrip()
        )
    points = points_of(kept, sweep.order)
    baselines = baselines_of(points, baseline, sweep.baselines)
    by_label = {point.label: point for point in points}
    withheld: dict[str, str] = {}
    weights: dict[str, Weights] = {}
    speedups: list[Speedup] = []
    survivors: dict[str, str] = {}
    for candidate, base in baselines.items():
        rivals = sum(other == base for other in baselines.values())
        arms = by_label[base], by_label[candidate]
        weights[candidate] = _weighed(*arms, points, ignore)
        if obstacles := _obstacles(*arms, points, ignore):
            withheld[candidate] = obstacles[0]
        else:
            speedups += _speedups(*arms, rivals, has_blocks=not sweep.replayed)
            if lost := survivors_only(*arms):
                survivors[candidate] = lost
    pairs = [(by_label[base], by_label[candidate]) for candidate, base in baselines.items()]
    used = [
        name for name in ignore if any(_obstacles(*arms, points, [name]) != _obstacles(*arms, points) for arms in pairs)
    ]
    return Comparison(
        sweep,
        points,
        baselines,
        tuple(speedups),
        withheld,
        wanted,
        tuple(used),
        tuple(name for name in ignore if name not in used),
        weights,
        survivors=survivors,
    )


def _obstacles(baseline: Point, candidate: Point, points: Sequence[Point], ignore: Sequence[str] = ()) -> list[str]:
    """Why the two have no speedup, the gravest first."""
    weighed = _weighed(baseline, candidate, points, ignore)
    found = [
        unlike(baseline, ignore),
        unlike(candidate, ignore),
        why_not(baseline, candidate, ignore),
        cut_off(baseline, candidate, ignore),
        _withheld(weighed) if weighed.withholds else None,
        known_of_one(baseline, candidate, ignore),
    ]
    return [why for why in found if why]


def _weighed(baseline: Point, candidate: Point, points: Sequence[Point], ignore: Sequence[str]) -> Weights:
    """How far the candidate's weights are the baseline's."""
    finished = [point for point in points if point.starts]
    releases = are_two_releases(baseline, candidate)
    return weights_of(
        baseline.starts,
        candidate.starts,
        (baseline.label, candidate.label),
        only_format_varied=not releases
        and varied_besides_format(baseline, finished) == varied_besides_format(candidate, finished),
        ignored=bool(IGNORED_AS & {*ignore}),
    )


def _withheld(weights: Weights) -> str:
    if weights.kind is VerdictKind.DUMMY:
        return f"{weights.why}: it is the floor, and no candidate"
    return f"weights {weights.kind}: {weights.why}; to show it all the same: ignore=weights"


def _speedups(baseline: Point, candidate: Point, rivals: int, *, has_blocks: bool) -> list[Speedup]:
    found = []
    for metric in SPEEDUPS:
        if metric is FIRST_ANSWER and len(_endpoints(baseline) | _endpoints(candidate)) > 1:
            continue  # a vector and a class are no two ways to one answer
        sides = [by_block(point, metric, has_blocks=has_blocks) for point in (baseline, candidate)]
        slower, faster = reversed(sides) if metric.is_rate else sides
        resolution = resolution_of(metric, [baseline, candidate], replayed=not has_blocks)
        if ratio := known_to(resolution, slower, faster, rivals):
            found.append(Speedup(metric, baseline.label, candidate.label, ratio))
    return found


def resolution_of(metric: Metric, points: Sequence[Point], *, replayed: bool) -> float:
    """How far a value may be off by the way it is written. A time to ready that stands in a log has the digits that somebody gave it."""
    if metric is READY and replayed:
        return last_place([value for point in points for value in point.values(metric)])
    return metric.resolution


def by_block(point: Point, metric: Metric, *, has_blocks: bool) -> list[tuple[Block, float]]:
    """(block, value) of each start. `has_blocks`: False of starts that were recorded elsewhere: the first of one point is in no pair with
    the first of another.
    """
    return [(block if has_blocks else ("", 0), value) for block, value in point.by_block(metric)]


def _endpoints(point: Point) -> set[str | None]:
    return {ENDPOINT.in_(start.tags) for start in point.starts}
