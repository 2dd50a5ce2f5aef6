"""Where the seconds go: a bar for each point, its mean phases one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.savings import Step, Waterfall, steps_of
from bench.report.savings_tables import WATERFALL_FIGURE, waterfalls_by_state
from bench.report.style import GREY, figure, ink_on, phase_colour, phase_hatch, phase_title, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

WIDTH = 11  # inches
BAR = 0.56  # height, of a row
MARK = 0.38  # where the line at ready ends, below the middle of a row
SMALLEST_LABEL = 0.035  # of the axis: what a number needs
LEGEND_COLUMNS = 5


def draw_waterfalls(comparison: Comparison, folder: Path) -> Path | None:
    """waterfall.png in `folder`, a panel for each state; None where no start has a waterfall."""
    groups = waterfalls_by_state(comparison)
    if not groups:
        return None
    steps = sorted(steps_of(each for _, found in groups for each in found), key=_place)
    longest_s = max(sum(each.mean_s for each in waterfall.steps) for _, found in groups for waterfall in found)
    heights = [0.35 + 0.6 * len(found) for _, found in groups]
    legend = 0.3 + 0.2 * len(steps) / LEGEND_COLUMNS
    drawn = figure(WIDTH, 0.5 + sum(heights) + legend)
    panels = drawn.subplots(len(groups), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (words, found) in zip(panels, groups, strict=True):
        axes.set_xlim(0, longest_s * 1.02 or 1.0)
        if words:
            axes.set_title(words, loc="left", fontsize=9, color=GREY)
        for row, waterfall in enumerate(found):
            _draw_bar(axes, row, waterfall, steps)
        axes.set_ylim(len(found) - 0.6, -0.65)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1].set_xlabel("seconds since exec (means; black line: ready)")
    drawn.legend(
        [_patch(step) for step in steps],
        [phase_title(step.name) for step in steps],
        loc="outside lower left",
        ncols=LEGEND_COLUMNS,
        frameon=False,
        fontsize=8,
    )
    path = folder / WATERFALL_FIGURE
    drawn.savefig(path)
    return path


def _place(step: Step) -> tuple[bool, Step]:
    """In the stack: all that is before ready, what nothing explains too, and then what comes after it."""
    return not step.before_ready, step


def _draw_bar(axes: "Axes", row: int, waterfall: Waterfall, steps: Sequence[Step]) -> None:
    left = 0.0
    for step in steps:
        seconds = waterfall.mean_s(step) or 0.0
        if seconds > 0:
            axes.barh(
                row,
                seconds,
                left=left,
                height=BAR,
                facecolor=phase_colour(step.name),
                edgecolor="white",
                hatch=phase_hatch(step.name),
            )
            _write(axes, left + seconds / 2, row, seconds, phase_colour(step.name))
            left += seconds
    axes.plot([waterfall.ready_s] * 2, [row - BAR / 2, row + MARK], color="black", linewidth=1.2)
    words = f"{plain(waterfall.point)} (n={waterfall.n}): ready {waterfall.ready_s:.1f} s"
    above = axes.annotate(words, (0, row - BAR / 2), xytext=(0, 2), textcoords="offset points", va="bottom", fontsize=9)
    above.set_in_layout(False)  # a long label must not squeeze the bars


def _write(axes: "Axes", x: float, row: int, seconds: float, background: str) -> None:
    """Into the bar, if there is room for a number."""
    if seconds < SMALLEST_LABEL * axes.get_xlim()[1]:
        return
    axes.annotate(f"{seconds:.1f}", (x, row), ha="center", va="center", fontsize=8, color=ink_on(background))


def _patch(step: Step) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(facecolor=phase_colour(step.name), edgecolor="white", hatch=phase_hatch(step.name))
