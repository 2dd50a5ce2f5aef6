"""Where the seconds go: a bar for each point, its mean phases one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.savings import AFTER_READY, WEIGHTS, Step, Waterfall, steps_of
from bench.report.savings_tables import UNEXPLAINED, WATERFALL_FIGURE, title, waterfalls_by_state
from bench.report.style import GREY, colour, figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

# A family of colours for each process of the chain, from dark to light; the weights stand out.
COLOURS = {
    "api_server_imports": "#08519C",
    "config": "#4292C6",
    "engine_client": "#9ECAE1",
    "engine_core_imports": "#54278F",
    "engine_core_init": "#9E9AC8",
    "worker_imports": "#00664B",
    "init_device": "#009E73",
    "build_model": "#8FD3BC",
    WEIGHTS: "#D55E00",
    "process_weights": "#FDAE6B",
    "profile": "#7A0177",
    "compile": "#C51B8A",
    "kv_cache": "#F4A6C0",
    "warm_up": "#8C6D1F",
    "capture": "#E6C229",
    "server": "#5C4033",
    AFTER_READY: "#222222",
    UNEXPLAINED: "#DDDDDD",
}
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
LIGHT = 0.5  # luma above which black is read better than white

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
        [title(step) for step in steps],
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
                row, seconds, left=left, height=BAR, facecolor=_colour(step), edgecolor="white", hatch=_hatch(step)
            )
            _write(axes, left + seconds / 2, row, seconds, _colour(step))
            left += seconds
    axes.plot([waterfall.ready_s] * 2, [row - BAR / 2, row + MARK], color="black", linewidth=1.2)
    words = f"{plain(waterfall.point)} (n={waterfall.n}): ready {waterfall.ready_s:.1f} s"
    above = axes.annotate(words, (0, row - BAR / 2), xytext=(0, 2), textcoords="offset points", va="bottom", fontsize=9)
    above.set_in_layout(False)  # a long label must not squeeze the bars


def _write(axes: "Axes", x: float, row: int, seconds: float, background: str) -> None:
    """Into the bar, if there is room for a number."""
    from matplotlib.colors import to_rgb

    if seconds < SMALLEST_LABEL * axes.get_xlim()[1]:
        return
    luma = sum(weight * part for weight, part in zip(LUMA, to_rgb(background), strict=True))
    ink = "black" if luma > LIGHT else "white"
    axes.annotate(f"{seconds:.1f}", (x, row), ha="center", va="center", fontsize=8, color=ink)


def _patch(step: Step) -> "Patch":
    from matplotlib.patches import Patch

    return Patch(facecolor=_colour(step), edgecolor="white", hatch=_hatch(step))


def _colour(step: Step) -> str:
    """One that is not known here has the colour of its number."""
    return COLOURS.get(step.name) or colour(step.number)


def _hatch(step: Step) -> str | None:
    return "////" if step.name == UNEXPLAINED else None
