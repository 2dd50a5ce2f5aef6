"""Starts of several points -> their means, and how much faster each candidate is than its baseline. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

from bench.analysis.records import RunRecord, SweepRecord
from bench.errors import SettingError

AUTO = "auto"

# A speedup is a ratio of times: baseline over candidate.
SPEEDUP_METRICS = ("ready_s", "first_token_s", "phase/load_weights_s", "phase/load_model_s")

# Follow from other settings, and so tell nothing about what was varied.
DERIVED = {"vllm_command"}


@dataclass(frozen=True)
class Point:
    """One combination of settings: its finished starts, which count, and its failed ones, which are named."""

    label: str
    starts: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...]

    @property
    def n(self) -> int:
        return len(self.starts)

    def values(self, metric: str) -> list[float]:
        """One for each start that has it."""
        return [start.metrics[metric] for start in self.starts if metric in start.metrics]

    def mean(self, metric: str) -> float | None:
        values = self.values(metric)
        return fmean(values) if values else None


@dataclass(frozen=True)
class Speedup:
    """baseline ÷ candidate, of geometric means: the estimate that a paired comparison of logarithms gives. Above 1 the
    candidate is faster. `n` is the number of starts of the one that has fewer.
    """

    metric: str
    baseline: str
    candidate: str
    n: int
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """All points of a sweep, each candidate with its baseline. `withheld` says why a candidate has no speedup."""

    sweep: SweepRecord
    points: tuple[Point, ...]
    baselines: dict[str, str]  # by candidate
    speedups: tuple[Speedup, ...]
    withheld: dict[str, str]  # by candidate
    where: dict[str, str]

    def speedup(self, candidate: str, metric: str) -> Speedup | None:
        return next((each for each in self.speedups if (each.candidate, each.metric) == (candidate, metric)), None)

    @property
    def failed(self) -> list[RunRecord]:
        return [start for point in self.points for start in point.failed]


def compare(sweep: SweepRecord, *, baseline: str = AUTO, where: Mapping[str, str] | None = None) -> Comparison:
    """Compare the points of a sweep.

    `baseline` is a point's label, or "auto": then a load format is compared with load_format=auto at otherwise equal
    settings, and with the sweep's first point where there is no such start. `where` keeps the starts whose params have
    these values.

    Raises:
        SettingError: no start is left, or the baseline is none of the points.
    """
    wanted = dict(where or {})
    kept = [
        start for start in sweep.starts if all(_same(start.params.get(name), value) for name, value in wanted.items())
    ]
    if not kept:
        raise SettingError(f"where: none of the {len(sweep.starts)} starts of sweep {sweep.sweep_id} has {wanted}.")
    points = _points(kept, sweep.order)
    baselines = _baselines(points, baseline)
    by_label = {point.label: point for point in points}
    withheld: dict[str, str] = {}
    speedups: list[Speedup] = []
    for candidate, base in baselines.items():
        if doubt := _why_not(by_label[base], by_label[candidate]):
            withheld[candidate] = doubt
        else:
            speedups += _speedups(by_label[base], by_label[candidate])
    return Comparison(sweep, points, baselines, tuple(speedups), withheld, wanted)


def _same(found: str | None, wanted: str) -> bool:
    return found is not None and found.lower() == wanted.lower()


def _points(starts: Sequence[RunRecord], order: Sequence[str]) -> tuple[Point, ...]:
    seen = dict.fromkeys(start.point for start in starts)
    labels = sorted(seen, key=lambda label: order.index(label) if label in order else len(order))
    return tuple(
        Point(
            label,
            tuple(start for start in starts if start.point == label and not start.failed),
            tuple(start for start in starts if start.point == label and start.failed),
        )
        for label in labels
    )


def _baselines(points: Sequence[Point], asked: str) -> dict[str, str]:
    """The baseline of each candidate. Points that never finished are neither."""
    finished = [point for point in points if point.starts]
    if asked == AUTO:
        groups = _auto_groups(finished)
    elif asked in {point.label for point in finished}:
        groups = {asked: finished}
    else:
        labels = ", ".join(point.label for point in finished)
        raise SettingError(f"baseline={asked}: the points of this sweep that have finished starts are {labels}.")
    return {point.label: base for base, members in groups.items() for point in members if point.label != base}


def _auto_groups(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points that differ in the load format alone, by their baseline. Where nothing but other settings was varied,
    all points are one group.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Point]] = {}
    for point in points:
        groups.setdefault(_others(point, points), []).append(point)
    members = list(groups.values())
    if all(len(group) == 1 for group in members) and len({_format(point) for point in points}) == 1:
        members = [list(points)]
    return {next((p.label for p in group if AUTO in {_format(p), p.label}), group[0].label): group for group in members}


def _others(point: Point, points: Sequence[Point]) -> tuple[tuple[str, str], ...]:
    """What was varied besides the load format, with this point's values."""
    names = {name for each in points for name in each.starts[0].params}
    varied = {name for name in names if len({each.starts[0].params.get(name) for each in points}) > 1} - DERIVED
    return tuple(
        sorted((name, point.starts[0].params.get(name, "")) for name in varied if not name.startswith("load_format"))
    )


def _format(point: Point) -> str | None:
    return point.starts[0].params.get("load_format")


def _why_not(baseline: Point, candidate: Point) -> str | None:
    """A speedup counts only if both loaded the same weights: equal greedy tokens, as far as vLLM told them."""
    tokens = [
        {start.tags["bench.tokens"] for start in point.starts if "bench.tokens" in start.tags}
        for point in (baseline, candidate)
    ]
    if tokens[0] and tokens[1] and tokens[0] != tokens[1]:
        return "its greedy tokens differ from the baseline's, so it did not load the same weights"
    return None


def _speedups(baseline: Point, candidate: Point) -> list[Speedup]:
    found = []
    for metric in SPEEDUP_METRICS:
        slow, fast = baseline.values(metric), candidate.values(metric)
        if slow and fast and min(*slow, *fast) > 0:
            ratio = exp(fmean(map(log, slow)) - fmean(map(log, fast)))
            found.append(Speedup(metric, baseline.label, candidate.label, min(len(slow), len(fast)), ratio))
    return found
