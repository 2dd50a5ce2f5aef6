"""The page's figures of points, as values: every start, and where the seconds go; where everything lies is in per cent of the width.

A row a point: however many there are, none shares its colour or its line with another. Pure; templates/figures.html.j2 draws them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point, RunRecord
from bench.analysis.savings import Waterfall, steps_of
from bench.report.axes import Axis, seconds_axis
from bench.report.style import ink_on, phase
from bench.report.tables import waterfalls_by_state
from bench.start.metrics import READY
from bench.start.waterfall import Phase

LANE, LANES_AT_MOST, ROW = 7.0, 60.0, 26.0  # pixels: of a block in a strip; of all its blocks; of a row at least
ROOM_FOR_TEXT = 12.0  # per cent of the width that a number in a bar needs


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


def stacks(comparison: Comparison) -> tuple[Stack, ...]:
    """One for each state, on one axis."""
    groups = waterfalls_by_state(comparison)
    axis = seconds_axis(_total_s(each) for _, found in groups for each in found)
    return tuple(_stack(caption, found, axis) for caption, found in groups)


def _total_s(waterfall: Waterfall) -> float:
    return sum(each.mean_s for each in waterfall.steps)


def _stack(caption: str, waterfalls: Sequence[Waterfall], axis: Axis) -> Stack:
    # What follows ready comes last.
    steps = sorted(steps_of(waterfalls), key=lambda step: (not step.before_ready, step))
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
