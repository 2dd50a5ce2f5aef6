"""The page's figures of candidates against their baselines, as values: rows, and where in them everything lies, in per cent of the width.

Pure; templates/figures.html.j2 draws them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.comparison import AGAIN, Comparison
from bench.analysis.savings import Savings
from bench.analysis.statistics import Interval
from bench.analysis.verdict import Against, Shown, against_each
from bench.report.axes import Axis, ratio_axis, seconds_axis
from bench.report.numbers import ratio_text, saved_text
from bench.report.style import phase
from bench.report.tables import TOTAL, savings_by_state
from bench.start.metric_types import Metric
from bench.start.metrics import SPEEDUPS

GAINS_AT_MOST = 12  # candidates


@dataclass(frozen=True)
class Whisker:
    """An interval around its mean, in per cent of the width. `is_open`: at which ends it goes on beyond the axis."""

    mean: float
    low: float | None
    high: float | None
    is_open: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class RatioRow:
    """`shown`: faster, slower, unresolved or single."""

    label: str
    text: str
    word: str
    shown: str
    whisker: Whisker
    baseline: str


@dataclass(frozen=True)
class Forest:
    """The speedups of all candidates in one metric, the largest first."""

    title: str
    axis: Axis
    rows: tuple[RatioRow, ...]

    @property
    def one(self) -> float:
        return self.axis.at(1.0)


@dataclass(frozen=True)
class GainRow:
    """`shown`: faster where seconds are saved beyond doubt, slower where they are lost, else unresolved or single."""

    label: str
    text: str
    shown: str
    x: float
    width: float
    whisker: Whisker
    total: bool


@dataclass(frozen=True)
class Gain:
    """Where the seconds come from that one candidate saves."""

    candidate: str
    baseline: str
    text: str
    axis: Axis
    rows: tuple[GainRow, ...]

    @property
    def zero(self) -> float:
        return self.axis.at(0.0)


def forests(comparison: Comparison) -> tuple[Forest, ...]:
    """One for each metric of which a candidate has a speedup."""
    found = ((metric, against_each(comparison, metric)) for metric in SPEEDUPS)
    return tuple(_forest(metric, against) for metric, against in found if against)


def _forest(metric: Metric, against: Sequence[Against]) -> Forest:
    ratios = [ratio for each in against for ratio in (*(f.ratio for f in each.findings), each.again) if ratio]
    ends = [end for ratio in ratios for end in (ratio.low, ratio.high) if end is not None]
    axis = ratio_axis((ratio.mean for ratio in ratios), ends)
    rows = [row for each in against for row in _ratio_rows(each, axis)]
    rows.sort(key=lambda row: -row.whisker.mean)
    return Forest(metric.speedup or metric.title, axis, tuple(rows))


def _ratio_rows(against: Against, axis: Axis) -> Iterator[RatioRow]:
    base = against.baseline.label
    for each in against.findings:
        words = ", ".join(["n = 1" if each.shown is Shown.SINGLE else each.shown.value, *each.marks])
        yield RatioRow(
            each.candidate, ratio_text(each.ratio), words, each.shown.name.lower(), _whisker(each.ratio, axis), base
        )
    if ratio := against.again:
        shown = Shown.SINGLE if ratio.low is None else Shown.UNRESOLVED
        yield RatioRow(
            base + AGAIN, ratio_text(ratio), "the baseline again", shown.name.lower(), _whisker(ratio, axis), base
        )


def gains(comparison: Comparison) -> tuple[Gain, ...]:
    """Of the candidates that can be compared by phase, those that gain or lose most; the table has all."""
    found = [each for _, candidates in savings_by_state(comparison) for each in candidates]
    most = sorted(found, key=lambda each: -abs(each.saved_s.mean))[:GAINS_AT_MOST]
    return tuple(_gain(each) for each in found if each in most)


def _gain(savings: Savings) -> Gain:
    rows = [*((phase(each.step.name).title, each.saved_s) for each in savings.steps), (TOTAL, savings.saved_s)]
    means = [saved.mean for _, saved in rows]
    reach = max(abs(mean) for mean in means) or 1.0
    ends = [end for _, saved in rows for end in (saved.low, saved.high) if end is not None]
    axis = seconds_axis(
        [0.0, *means, *(min(max(end, min(means) - reach), max(means) + reach) for end in ends)], from_zero=False
    )
    return Gain(
        savings.candidate,
        savings.baseline,
        f"{saved_text(savings.saved_s)} s (n = {savings.n})",
        axis,
        tuple(_gain_row(title, saved, axis, total=title == TOTAL) for title, saved in rows),
    )


def _gain_row(title: str, saved: Interval, axis: Axis, *, total: bool) -> GainRow:
    zero, mean = axis.at(0.0), axis.at(saved.mean)
    if saved.low is None:
        shown = Shown.SINGLE
    elif saved.excludes(0.0):
        shown = Shown.FASTER if saved.mean > 0 else Shown.SLOWER
    else:
        shown = Shown.UNRESOLVED
    return GainRow(
        title,
        f"{saved_text(saved)} s",
        shown.name.lower(),
        min(zero, mean),
        round(abs(mean - zero), 2),
        _whisker(saved, axis),
        total,
    )


def _whisker(interval: Interval, axis: Axis) -> Whisker:
    low, high = interval.low, interval.high
    if low is None or high is None:
        return Whisker(axis.at(interval.mean), None, None)
    return Whisker(axis.at(interval.mean), axis.at(low), axis.at(high), (low < axis.low, high > axis.high))
