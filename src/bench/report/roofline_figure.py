"""roofline.png: how fast each point loaded, under what its storage, its page cache and its GPU's bus can do."""

from collections.abc import Sequence
from pathlib import Path

from bench.analysis.comparison import Comparison
from bench.analysis.roofline import CEILINGS, Roof, roofs
from bench.report.axes import rate_axis
from bench.report.style import COLOURS, GREY, figure, plain

ROOFLINE_FIGURE = "roofline.png"
WIDTH, ROW, AROUND = 11, 0.42, 1.2  # inches; around: axes and legend
HALF = 0.34  # of a ceiling's line, in rows
SHADES = dict(zip(CEILINGS, (COLOURS[5], COLOURS[2], COLOURS[3], COLOURS[7]), strict=True))
LOADED = COLOURS[0]


def draw_roofline(comparison: Comparison, folder: Path) -> Path | None:
    """The figure in `folder`; None where no storage was measured."""
    from matplotlib.lines import Line2D

    found = roofs(comparison.points)
    if not found:
        return None
    drawn = figure(WIDTH, AROUND + ROW * len(found))
    axes = drawn.add_subplot()
    axis = rate_axis(rate for roof in found for rate in roof.rates)
    axes.set_xscale("log")
    axes.set_xlim(axis.low, axis.high)
    axes.set_xticks([float(text) for _, text in axis.ticks], [text for _, text in axis.ticks])
    axes.minorticks_off()
    for row, roof in enumerate(found):
        for name, rate in roof.ceilings.items():
            axes.plot([rate, rate], [row - HALF, row + HALF], color=SHADES[name], linewidth=2.4)
        if roof.read:
            axes.plot([roof.read], [row], "o", markerfacecolor="white", color=LOADED, markersize=9)
        if roof.delivered:
            axes.plot([roof.delivered], [row], "o", color=LOADED, markersize=5)
    axes.set_yticks(range(len(found)), [f"{plain(roof.label)} (n={roof.n})" for roof in found], fontsize=9)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("GiB/s, all ranks together (means over the starts)", color=GREY)
    handles = [Line2D([], [], color=SHADES[name], linewidth=2.4) for name in _measured(found)]
    handles += [Line2D([], [], linestyle="none", marker="o", color=LOADED, markersize=5)]
    handles += [Line2D([], [], linestyle="none", marker="o", markerfacecolor="white", color=LOADED, markersize=9)]
    labels = [*(f"limit: {name}" for name in _measured(found)), "weights delivered", "read from storage"]
    drawn.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=8)
    path = folder / ROOFLINE_FIGURE
    drawn.savefig(path)
    return path


def _measured(found: Sequence[Roof]) -> list[str]:
    return [name for name in CEILINGS if any(name in roof.ceilings for roof in found)]
