"""The figures of a comparison: times and speedups of the points (vllm_load_benchmark.png), where their seconds go (waterfall.png), and
where the saved ones come from (savings.png).
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.savings import Savings, Waterfall, steps_of
from bench.analysis.statistics import Interval
from bench.report.bars import Bar, Lanes, draw_bars, phase_bar, write_beside, write_in_column, write_inside
from bench.report.numbers import ratio_text, saved_text
from bench.report.point_rows_figure import draw_point_rows, scale_ratios
from bench.report.style import (
    COLOURS,
    GREY,
    LEGEND_COLUMNS,
    LEGEND_WIDTH,
    colour,
    figure,
    phase,
    phase_legend,
    plain,
)
from bench.report.tables import SURVIVORS, TOTAL, savings_by_state, waterfalls_by_state
from bench.start.files import WATERFALL_FIGURE
from bench.start.metric_types import Metric
from bench.start.metrics import DRAWN, SPEEDUPS
from bench.start.waterfall import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARISON_FIGURE, SAVINGS_FIGURE = "vllm_load_benchmark.png", "savings.png"

CANDIDATES = 6  # in savings.png, where there are more than colours
FEWEST_ROWS = 3  # a single bar does not fill the panel
ROOM_FOR_TIMES = 1.22  # of the longest time
WIDTH = 11  # inches
HEIGHT = 0.56  # of a waterfall's row
MARK = 0.38  # where the line at ready ends, below the middle of a row
NEGLIGIBLE = 0.01  # of the longest bar: not to be seen
WHISKER = 0.4  # of the longest bar, beyond all bars: that of two pairs may be ten times as long
MARGIN = 0.03  # of the longest bar


def draw_comparison(comparison: Comparison, folder: Path) -> Path:
    """vllm_load_benchmark.png in `folder`."""
    from matplotlib.patches import Patch

    points = [point for point in comparison.points if point.starts]
    if len(points) > len(COLOURS):
        return draw_point_rows(comparison, folder / COMPARISON_FIGURE)
    metrics = [metric for metric in DRAWN if any(point.values(metric) for point in points)]
    height = max(3.2, 1.6 + len(metrics) * (0.16 + 0.2 * len(points)))
    drawn = figure(11 if comparison.speedups else 8, height)
    if comparison.speedups:
        left, right = drawn.subplots(1, 2, width_ratios=[3, 2])
        _draw_speedups(right, comparison, points)
    else:
        left = drawn.add_subplot()
    _draw_times(left, points, metrics)
    handles = [Patch(color=colour(index)) for index in range(len(points))]
    labels = [f"{plain(point.label)} (n={point.n})" for point in points]
    columns = max(1, min(3, LEGEND_WIDTH // max(map(len, labels), default=1)))
    drawn.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    path = folder / COMPARISON_FIGURE
    drawn.savefig(path)
    return path


def _draw_times(axes: "Axes", points: list[Point], metrics: list[Metric]) -> None:
    rows = [(_title(metric), [_time(point, metric, colour(i)) for i, point in enumerate(points)]) for metric in metrics]
    axes.set_xlim(
        0, ROOM_FOR_TIMES * (max((b.end for _, lanes in rows for bars in lanes for b in bars), default=0) or 1)
    )
    draw_bars(axes, rows, write_beside)
    axes.set_xlabel("seconds (bar: mean; dots: single starts)")


def _title(metric: Metric) -> str:
    return metric.label or metric.title


def _time(point: Point, metric: Metric, shade: str) -> list[Bar]:
    mean, values = point.mean(metric), point.values(metric)
    return [] if mean is None else [Bar(mean, shade, f"{'mean ' * (len(values) > 1)}{mean:.2f}", values=values)]


def _draw_speedups(axes: "Axes", comparison: Comparison, points: list[Point]) -> None:
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    shades = {point.label: colour(index) for index, point in enumerate(points)}
    found = [(_title(metric), [comparison.speedup(label, metric) for label in candidates]) for metric in SPEEDUPS]
    rows = [
        (name, [[_ratio(each.ratio, shades[each.candidate])] if each else [] for each in speedups])
        for name, speedups in found
        if any(speedups)
    ]
    scale_ratios(axes, [each.ratio for _, speedups in found for each in speedups if each])
    draw_bars(axes, rows, write_in_column)
    axes.set_ylim(max(len(rows), FEWEST_ROWS) - 0.5, -0.5)
    survivors = f"\n{SURVIVORS}: {', '.join(comparison.survivors)}" if comparison.survivors else ""
    axes.set_xlabel(f"speedup: baseline ÷ candidate (1: equal)\nline: 95 % interval, grey where 1 is inside{survivors}")


def _ratio(ratio: Interval, shade: str) -> Bar:
    """A dot of the candidate's colour on its interval, since a bare bar reads as a win."""
    if ratio.low is None or ratio.high is None:
        return Bar(ratio.mean, shade, f"{ratio_text(ratio)} (n = {ratio.n})", is_dot=True)
    line = GREY if ratio.low <= 1.0 <= ratio.high else shade
    return Bar(ratio.mean, shade, ratio_text(ratio), interval=ratio, is_dot=True, line=line)


def draw_waterfalls(comparison: Comparison, folder: Path) -> Path | None:
    """waterfall.png in `folder`, a panel for each state; None where no start has a waterfall."""
    groups = waterfalls_by_state(comparison)
    if not groups:
        return None
    steps = sorted(
        steps_of(each for _, found in groups for each in found), key=lambda each: (not each.before_ready, each)
    )
    longest_s = max(sum(each.mean_s for each in waterfall.steps) for _, found in groups for waterfall in found)
    heights = [0.35 + 0.6 * len(found) for _, found in groups]
    drawn = figure(WIDTH, 0.8 + sum(heights) + 0.2 * len(steps) / LEGEND_COLUMNS)
    panels = _panels(drawn, heights, [caption for caption, _ in groups])
    for axes, (_, found) in zip(panels, groups, strict=True):
        axes.set_xlim(0, longest_s * 1.02 or 1.0)
        draw_bars(axes, [("", [_stacked(waterfall, steps)]) for waterfall in found], write_inside, height=HEIGHT)
        for row, waterfall in enumerate(found):
            axes.plot([waterfall.ready_s] * 2, [row - HEIGHT / 2, row + MARK], color="black", linewidth=1.2)
            text = f"{plain(waterfall.point)} (n={waterfall.n}): ready {waterfall.ready_s:.1f} s"
            above = axes.annotate(
                text, (0, row - HEIGHT / 2), xytext=(0, 2), textcoords="offset points", va="bottom", fontsize=9
            )
            above.set_in_layout(False)  # a long label must not squeeze the bars
        axes.set_ylim(len(found) - 0.6, -0.65)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel("seconds since exec (means; black line: ready)")
    phase_legend(drawn, [step.name for step in steps])
    path = folder / WATERFALL_FIGURE
    drawn.savefig(path)
    return path


def _panels(drawn: "Figure", heights: Sequence[float], captions: Sequence[str]) -> "list[Axes]":
    """One below the other, on one axis of seconds."""
    panels = list(drawn.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    for axes, caption in zip(panels, captions, strict=True):
        axes.set_title(caption, loc="left", fontsize=9, color=GREY)
    return panels


def _stacked(waterfall: Waterfall, steps: Sequence[Step]) -> list[Bar]:
    """In the order of `steps`: all that is before ready, what nothing explains too, and then what comes after it."""
    found = [(step.name, seconds) for step in steps if (seconds := waterfall.mean_s(step) or 0.0) > 0]
    starts = accumulate((seconds for _, seconds in found), initial=0.0)
    return [phase_bar(name, start, seconds) for (name, seconds), start in zip(found, starts, strict=False)]


def draw_savings(comparison: Comparison, folder: Path) -> Path | None:
    """savings.png in `folder`, a panel for each state; None where no candidate can be compared by phase."""
    from matplotlib.patches import Patch

    every = savings_by_state(comparison)
    groups = _with_most(every)
    if not groups:
        return None
    everyone = [each for _, found in groups for each in found]
    left_out = sum(len(found) for _, found in every) - len(everyone)
    finished = [point.label for point in comparison.points if point.starts]
    shown_of = [each.candidate for each in everyone] if left_out else finished
    colours = {label: colour(index) for index, label in enumerate(shown_of)}  # as in the figure of the comparison
    least_s = NEGLIGIBLE * _longest_s(everyone)
    rows = [_rows(found, least_s, colours) for _, found in groups]
    heights = [0.4 + len(shown) * (0.12 + 0.16 * len(found)) for shown, (_, found) in zip(rows, groups, strict=True)]
    drawn = figure(WIDTH, 0.9 + sum(heights) + 0.2 * len(everyone))
    panels = _panels(drawn, heights, [caption for caption, _ in groups])
    panels[0].set_xlim(*_limits(everyone))
    for axes, shown in zip(panels, rows, strict=True):
        draw_bars(axes, shown, write_in_column)
        axes.axvline(0.0, color=GREY, linewidth=0.8)
        axes.axhline(len(shown) - 1.5, color=GREY, linewidth=0.5, linestyle=":")
    hidden = any(len(shown) <= len(_steps(found)) for shown, (_, found) in zip(rows, groups, strict=True))
    interval = "; line: 95 %" if any(each.n > 1 for each in everyone) else ""
    words = f"seconds saved (below 0: lost{interval})"
    absent = [f"phases below {least_s:.2g} s"] if hidden else []
    absent += [f"{left_out} candidates that differ less"] if left_out else []
    panels[-1].set_xlabel(f"{words}. Not shown: {', '.join(absent)}" if absent else words)
    handles = [Patch(color=colours[each.candidate]) for each in everyone]
    drawn.legend(handles, [_label(each) for each in everyone], loc="outside upper left", frameon=False, fontsize=9)
    path = folder / SAVINGS_FIGURE
    drawn.savefig(path)
    return path


def _with_most(groups: Sequence[tuple[str, list[Savings]]]) -> list[tuple[str, list[Savings]]]:
    """Of more candidates than a reader can tell apart by colour, those that gain or lose most; the table has all."""
    everyone = [each for _, found in groups for each in found]
    if len(everyone) <= len(COLOURS):
        return list(groups)
    most = sorted(everyone, key=lambda each: -abs(each.saved_s.mean))[:CANDIDATES]
    kept = [(caption, [each for each in found if each in most]) for caption, found in groups]
    return [(caption, found) for caption, found in kept if found]


def _label(candidate: Savings) -> str:
    """On two lines where one would be cut."""
    parts = plain(candidate.candidate), f"instead of {plain(candidate.baseline)} (n={candidate.n})"
    return (" " if sum(map(len, parts)) <= LEGEND_WIDTH else "\n").join(parts)


def _rows(candidates: Sequence[Savings], least_s: float, colours: dict[str, str]) -> list[tuple[str, Lanes]]:
    """The phases, in the order of the chain, in which a candidate saves or loses at least so much; and the sum."""
    found = [(colours[each.candidate], {saving.step: saving.saved_s for saving in each.steps}) for each in candidates]
    rows = [
        (phase(step.name).title, [[_bar(saved[step], shade)] if step in saved else [] for shade, saved in found])
        for step in _steps(candidates)
        if any(abs(saved[step].mean) >= least_s for _, saved in found if step in saved)
    ]
    return [*rows, (TOTAL, [[_bar(each.saved_s, colours[each.candidate])] for each in candidates])]


def _bar(saved: Interval, shade: str) -> Bar:
    return Bar(saved.mean, shade, saved_text(saved), interval=saved)


def _steps(candidates: Sequence[Savings]) -> list[Step]:
    return sorted({saving.step for each in candidates for saving in each.steps})


def _all(candidates: Sequence[Savings]) -> list[Interval]:
    return [saved for each in candidates for saved in (*(step.saved_s for step in each.steps), each.saved_s)]


def _longest_s(candidates: Sequence[Savings]) -> float:
    return max(abs(saved.mean) for saved in _all(candidates))


def _limits(candidates: Sequence[Savings]) -> tuple[float, float]:
    """Of the axis: all bars, and their whiskers as far as these do not push the bars together."""
    saved, longest = _all(candidates), _longest_s(candidates) or 1.0
    first, last = min(0.0, *(each.mean for each in saved)), max(0.0, *(each.mean for each in saved))
    low = min([first, *(each.low for each in saved if each.low is not None)])
    high = max([last, *(each.high for each in saved if each.high is not None)])
    room, margin = WHISKER * longest, MARGIN * longest
    return max(low, first - room) - margin, min(high, last + room) + margin
