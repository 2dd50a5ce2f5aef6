"""One start from inside: its critical chain, and every process beside the others, on one time axis."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.startup_figure import heading
from bench.report.style import GREY, figure, ink_on, phase_colour, phase_hatch, phase_title
from bench.start.record import Startup
from bench.start.waterfall import NUMBERS, Lane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "waterfall.png"
CHAIN = "critical chain"
LEGEND_COLUMNS = 5
SMALLEST_LABEL = 0.035  # of the axis: what a number needs


def draw_lanes(startup: Startup, folder: Path) -> Path | None:
    """waterfall.png in `folder`, or None where no process has reported."""
    from matplotlib.patches import Patch

    rows = ([Lane(CHAIN, tuple(startup.chain))] if startup.chain else []) + startup.lanes
    if not rows:
        return None
    names = sorted({part.name for row in rows for part in row.segments}, key=lambda name: NUMBERS[name])
    drawn = figure(11, 1.3 + 0.45 * len(rows) + 0.2 * len(names) / LEGEND_COLUMNS)
    axes = drawn.add_subplot()
    axes.set_xlim(0, 1.01 * max(part.ended_s for row in rows for part in row.segments))
    for index, row in enumerate(rows):
        _draw(axes, index, row)
    if startup.ready_s is not None:
        axes.axvline(startup.ready_s, color=GREY, linestyle="--", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("seconds since exec")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(heading(startup), loc="left", fontsize=10)
    patches = [Patch(facecolor=phase_colour(name), edgecolor="white", hatch=phase_hatch(name)) for name in names]
    titles = [phase_title(name) for name in names]
    drawn.legend(patches, titles, loc="outside lower left", ncols=LEGEND_COLUMNS, frameon=False, fontsize=8)
    path = folder / FILE
    drawn.savefig(path)
    return path


def _draw(axes: "Axes", row: int, lane: Lane) -> None:
    for part in lane.segments:
        colour = phase_colour(part.name)
        axes.barh(row, part.duration_s, left=part.started_s, height=0.66, color=colour, hatch=phase_hatch(part.name))
        if part.duration_s > SMALLEST_LABEL * axes.get_xlim()[1]:
            middle = (part.started_s + part.ended_s) / 2
            words = f"{part.duration_s:.1f}"
            axes.annotate(words, (middle, row), ha="center", va="center", fontsize=8, color=ink_on(colour))
