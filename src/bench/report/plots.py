"""The page's figures as values: rows, and where in them everything lies, in per cent of the width. Pure; templates/figures.html.j2 draws them.

A row a point: however many there are, none shares its colour or its line with another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bench.analysis.comparison import AGAIN, Comparison
from bench.analysis.records import Point, RunRecord
from bench.analysis.savings import Savings, Waterfall, steps_of
from bench.analysis.statistics import Interval
from bench.analysis.verdict import Against, Shown, against_each
from bench.report.axes import Axis, ratio_axis, seconds_axis
from bench.report.numbers import ratio_text, saved_text
from bench.report.style import ink_on, phase
from bench.report.tables import TOTAL, savings_by_state, waterfalls_by_state
from bench.start.metric_types import Metric
from bench.start.metrics import READY, SPEEDUPS
from bench.start.waterfall import Phase

LANE, LANES_AT_MOST, ROW = 7.0, 60.0, 26.0  # pixels: of a block in a strip; of all its blocks; of a row at least
GAINS_AT_MOST = 12  # candidates
ROOM_FOR_TEXT = 12.0  # per cent of the width that a number in a bar needs


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
class Dot:
    """A start in its point's row: `y` in pixels, by its block. `counts`: False where it is invalid."""

    x: float
    y: float
    counts: bool
    text: str


@dataclass(frozen=True)
class StripRow:
    """Every start of a point that has a time to ready; `height` in pixels, `mean` None where none counts."""

    label: str
    text: str
    dots: tuple[Dot, ...]
    mean: float | None
    height: float


@dataclass(frozen=True)
class Strip:
    """The times to ready of all starts, by point and block."""

    axis: Axis
    rows: tuple[StripRow, ...]

    @property
    def has_invalid(self) -> bool:
        return any(not dot.counts for row in self.rows for dot in row.dots)


@dataclass(frozen=True)
class Part:
    """A phase in a bar; `ink`: the colour of text on it. `inside`: its seconds, where they have room."""

    phase: Phase
    x: float
    width: float
    text: str
    inside: str
    ink: str


@dataclass(frozen=True)
class StackRow:
    """A point's mean waterfall; `ready`: where it ends but for the first token."""

    label: str
    text: str
    parts: tuple[Part, ...]
    ready: float


@dataclass(frozen=True)
class Stack:
    """The mean waterfalls of the points of one state of the page cache."""

    caption: str
    axis: Axis
    rows: tuple[StackRow, ...]
    phases: tuple[Phase, ...]


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


# Speedups.


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


def _whisker(interval: Interval, axis: Axis) -> Whisker:
    low, high = interval.low, interval.high
    if low is None or high is None:
        return Whisker(axis.at(interval.mean), None, None)
    return Whisker(axis.at(interval.mean), axis.at(low), axis.at(high), (low < axis.low, high > axis.high))


# Every start.


def strip(comparison: Comparison) -> Strip | None:
    """None: no start has a time to ready."""
    points = [point for point in comparison.points if list(_timed(point))]
    times = [ready_s for point in points for _, ready_s, _ in _timed(point)]
    if not times:
        return None
    axis = seconds_axis(times, from_zero=False)
    blocks = max(start.repeat for point in points for start, *_ in _timed(point)) + 1
    return Strip(axis, tuple(_strip_row(point, blocks, axis) for point in points))


def _timed(point: Point) -> Iterator[tuple[RunRecord, float, bool]]:
    """Each start with its time to ready, and whether it counts."""
    for starts, counts in ((point.starts, True), (point.invalid, False)):
        for start in starts:
            if (ready_s := start.value(READY)) is not None:
                yield start, ready_s, counts


def _strip_row(point: Point, blocks: int, axis: Axis) -> StripRow:
    lane = min(LANE, LANES_AT_MOST / blocks)
    height = max(ROW, lane * (blocks + 1))
    above = (height - lane * (blocks - 1)) / 2
    dots = [
        Dot(axis.at(ready_s), round(above + lane * start.repeat, 1), counts, _of_start(start, ready_s, counts=counts))
        for start, ready_s, counts in _timed(point)
    ]
    mean_s = point.mean(READY)
    lost = [f"{len(found)} {word}" for found, word in ((point.failed, "failed"), (point.invalid, "invalid")) if found]
    text = "no start counts" if mean_s is None else f"{mean_s:.2f} s (n = {point.n})"
    return StripRow(
        point.label,
        ", ".join([text, *lost]),
        tuple(dots),
        None if mean_s is None else axis.at(mean_s),
        round(height, 1),
    )


def _of_start(start: RunRecord, ready_s: float, *, counts: bool) -> str:
    order = f", start {start.order} of the sweep" if start.order else ""
    invalid = "" if counts else f"; does not count: {start.invalid_reason}"
    return f"{start.name}: ready after {ready_s:.2f} s, block {start.repeat + 1}{order}{invalid}"


# Where seconds go, and come from.


def stacks(comparison: Comparison) -> tuple[Stack, ...]:
    """One for each state, on one axis."""
    groups = waterfalls_by_state(comparison)
    axis = seconds_axis(_total_s(each) for _, found in groups for each in found)
    return tuple(_stack(caption, found, axis) for caption, found in groups)


def _total_s(waterfall: Waterfall) -> float:
    return sum(each.mean_s for each in waterfall.steps)


def _stack(caption: str, waterfalls: Sequence[Waterfall], axis: Axis) -> Stack:
    steps = sorted(
        steps_of(waterfalls), key=lambda step: (not step.before_ready, step)
    )  # what follows ready comes last
    rows = []
    for waterfall in waterfalls:
        seconds = [waterfall.mean_s(step) or 0.0 for step in steps]
        begins = accumulate(seconds, initial=0.0)
        parts = [
            _part(phase(step.name), start_s, length_s, axis)
            for step, start_s, length_s in zip(steps, begins, seconds, strict=False)
            if length_s > 0
        ]
        text = f"ready {waterfall.ready_s:.2f} s (n = {waterfall.n})"
        rows.append(StackRow(waterfall.point, text, tuple(parts), axis.at(waterfall.ready_s)))
    return Stack(caption, axis, tuple(rows), tuple(phase(step.name) for step in steps))


def _part(shown: Phase, start_s: float, length_s: float, axis: Axis) -> Part:
    x = axis.at(start_s)
    width = round(axis.at(start_s + length_s) - x, 2)
    inside = f"{length_s:.1f}" if width >= ROOM_FOR_TEXT and shown.hatch is None else ""
    return Part(shown, x, width, f"{shown.title}: {length_s:.2f} s", inside, ink_on(shown.colour))


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
