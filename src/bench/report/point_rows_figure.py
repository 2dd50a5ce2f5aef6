"""vllm_load_benchmark.png of more points than there are colours: a row a point, its starts on the left, its speedup on the right."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.statistics import Interval
from bench.report.axes import ratio_axis
from bench.report.numbers import ratio_text
from bench.report.style import COLOURS, GREY, figure, plain
from bench.start.metrics import READY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW, AROUND = 12, 0.24, 1.1  # inches; around: axes and margins
LONGEST_LABEL = 60  # characters
STARTS, FASTER, SLOWER = COLOURS[0], COLOURS[0], COLOURS[5]


def draw_point_rows(comparison: Comparison, path: Path) -> Path:
    """The figure, at `path`."""
    points = [point for point in comparison.points if point.values(READY)]
    drawn = figure(WIDTH, AROUND + ROW * len(points))
    if comparison.speedups:
        left, right = drawn.subplots(1, 2, width_ratios=[3, 2], sharey=True)
        _draw_ratios(right, comparison, points)
    else:
        left = drawn.add_subplot()
    for row, point in enumerate(points):
        values = point.values(READY)
        left.plot(values, [row] * len(values), "o", color=STARTS, markersize=4, alpha=0.6, markeredgewidth=0)
        left.plot([point.mean(READY)], [row], "|", color="black", markersize=11)
    left.set_yticks(range(len(points)), [f"{_short(point.label)} (n={point.n})" for point in points], fontsize=8)
    left.set_ylim(len(points) - 0.5, -0.5)
    left.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    left.spines[["top", "right"]].set_visible(False)
    left.set_xlabel("seconds to ready (dots: single starts; line: mean)")
    drawn.savefig(path)
    return path


def _draw_ratios(axes: "Axes", comparison: Comparison, points: list[Point]) -> None:
    found = {point.label: comparison.speedup(point.label, READY) for point in points}
    scale_ratios(axes, [each.ratio for each in found.values() if each])
    for row, point in enumerate(points):
        if speedup := found[point.label]:
            _draw_ratio(axes, speedup.ratio, row)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    survivors = f"\nsurvivors only: {', '.join(map(_short, comparison.survivors))}" if comparison.survivors else ""
    axes.set_xlabel(f"speedup: baseline ÷ candidate (1: equal)\nline: 95 % interval, grey where 1 is inside{survivors}")


def scale_ratios(axes: "Axes", ratios: Sequence[Interval]) -> None:
    """A logarithmic axis for these, with a line at 1: half as fast is as far from it as twice as fast."""
    ends = [end for ratio in ratios for end in (ratio.low, ratio.high) if end is not None]
    axis = ratio_axis((ratio.mean for ratio in ratios), ends)
    axes.set_xscale("log")
    axes.set_xlim(axis.low, axis.high)
    axes.set_xticks([float(text.rstrip("x")) for _, text in axis.ticks], [text for _, text in axis.ticks])
    axes.minorticks_off()
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")


def _draw_ratio(axes: "Axes", ratio: Interval, row: int) -> None:
    """A dot on its interval; hollow where there is none."""
    if ratio.low is None or ratio.high is None:
        axes.plot([ratio.mean], [row], "o", markerfacecolor="white", color=GREY, markersize=6)
    else:
        shade = GREY if not ratio.excludes(1.0) else FASTER if ratio.mean > 1 else SLOWER
        axes.plot([ratio.low, ratio.high], [row, row], color=shade, linewidth=2.2)
        axes.plot([ratio.mean], [row], "o", color=shade, markersize=6)
    axes.annotate(
        ratio_text(ratio),
        (1.02, row),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        color=GREY,
    )


def _short(label: str) -> str:
    return plain(label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 2]} …")
