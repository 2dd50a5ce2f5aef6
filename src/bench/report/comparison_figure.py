"""The points of a sweep side by side: times on the left, speedups on the right, every single start as a dot."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.statistics import Interval
from bench.report.bars import Bar, draw_bars, write_beside
from bench.report.style import COMPARISON_FIGURE, GREY, LEGEND_WIDTH, colour, figure, plain
from bench.report.tables import ratio_text
from bench.start.metrics import DRAWN, SPEEDUPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_ROWS = 3  # a single bar does not fill the panel
ROOM_FOR_TIMES = 1.22  # of the longest time
ROOM_FOR_SPEEDUPS = 1.6  # of the longest interval, for the numbers behind it

TITLES = {metric.name: metric.label or metric.title for metric in DRAWN}


def draw_comparison(comparison: Comparison, folder: Path) -> Path:
    """vllm_load_benchmark.png in `folder`."""
    from matplotlib.patches import Patch

    points = [point for point in comparison.points if point.starts]
    metrics = [metric for metric in TITLES if any(point.values(metric) for point in points)]
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


def _draw_times(axes: "Axes", points: list[Point], metrics: list[str]) -> None:
    rows = [(TITLES[metric], [_time(point, metric, colour(i)) for i, point in enumerate(points)]) for metric in metrics]
    axes.set_xlim(
        0, ROOM_FOR_TIMES * (max((b.end for _, lanes in rows for bars in lanes for b in bars), default=0) or 1)
    )
    draw_bars(axes, rows, write_beside)
    axes.set_xlabel("seconds (bar: mean; dots: single starts)")


def _time(point: Point, metric: str, shade: str) -> list[Bar]:
    mean, values = point.mean(metric), point.values(metric)
    return [] if mean is None else [Bar(mean, shade, f"{'mean ' * (len(values) > 1)}{mean:.2f}", values=values)]


def _draw_speedups(axes: "Axes", comparison: Comparison, points: list[Point]) -> None:
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    shades = {point.label: colour(index) for index, point in enumerate(points)}
    found = [(metric.name, [comparison.speedup(label, metric.name) for label in candidates]) for metric in SPEEDUPS]
    rows = [
        (TITLES[name], [[_ratio(each.ratio, shades[each.candidate])] if each else [] for each in speedups])
        for name, speedups in found
        if any(speedups)
    ]
    axes.set_xlim(0, ROOM_FOR_SPEEDUPS * max(1.0, *(dot.end for _, lanes in rows for dots in lanes for dot in dots)))
    draw_bars(axes, rows, write_beside)
    axes.set_ylim(max(len(rows), FEWEST_ROWS) - 0.5, -0.5)
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlabel("speedup: baseline ÷ candidate (1: equal)\nline: 95 % interval, grey where 1 is inside")


def _ratio(ratio: Interval, shade: str) -> Bar:
    """A dot on its interval, since a bare bar reads as a win."""
    if ratio.low is None or ratio.high is None:
        return Bar(ratio.mean, shade, f"{ratio_text(ratio)} (n = {ratio.n})", is_dot=True)
    shown = GREY if ratio.low <= 1.0 <= ratio.high else shade
    return Bar(ratio.mean, shown, ratio_text(ratio), interval=ratio, is_dot=True)
