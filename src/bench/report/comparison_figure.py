"""The points of a sweep side by side: times on the left, speedups on the right, every single start as a dot."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.statistics import Interval
from bench.report.bars import TEXT, Bar, draw_bars, write_beside
from bench.report.style import COMPARISON_FIGURE, GREY, LEGEND_WIDTH, colour, figure, plain
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
    colours = {point.label: colour(index) for index, point in enumerate(points)}
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    metrics = [
        each
        for each in (metric.name for metric in SPEEDUPS)
        if any(comparison.speedup(label, each) for label in candidates)
    ]
    thickness = 0.8 / max(1, len(candidates))
    furthest = 1.0
    for index, label in enumerate(candidates):
        offset = (index - (len(candidates) - 1) / 2) * thickness
        for row, metric in enumerate(metrics):
            if found := comparison.speedup(label, metric):
                furthest = max(furthest, _draw_interval(axes, found.ratio, row + offset, colours[label]))
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(metrics)), [TITLES[metric] for metric in metrics])
    axes.set_ylim(max(len(metrics), FEWEST_ROWS) - 0.5, -0.5)
    axes.set_xlim(0, furthest * ROOM_FOR_SPEEDUPS)
    axes.set_xlabel("speedup: baseline ÷ candidate (1: equal)\nline: 95 % interval, grey where 1 is inside")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_interval(axes: "Axes", ratio: Interval, y: float, colour: str) -> float:
    """A ratio as a dot on its interval; hollow where one start of each gives none. Returns how far right it reaches."""
    if ratio.low is None or ratio.high is None:
        axes.plot([ratio.mean], [y], "o", markersize=7, markerfacecolor="white", markeredgecolor=colour)
        _write(axes, ratio.mean, y, f"{ratio.mean:.2f}x (n = {ratio.n})", gap_points=8)
        return ratio.mean
    shown = GREY if ratio.low <= 1.0 <= ratio.high else colour
    axes.plot([ratio.low, ratio.high], [y, y], color=shown, linewidth=2.5, solid_capstyle="butt")
    axes.plot([ratio.mean], [y], "o", markersize=7, color=shown)
    _write(axes, ratio.high, y, f"{ratio.mean:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]")
    return ratio.high


def _write(axes: "Axes", x: float, y: float, text: str, *, gap_points: int = 4) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.annotate(text, (x, y), xytext=(gap_points, 0), color=GREY, bbox=box, **TEXT)
