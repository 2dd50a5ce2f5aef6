"""How every figure of bench looks.

The colours of points are distinct for colour-blind readers. Figures are drawn without a display.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.start.waterfall import PHASES, Phase

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#000000", "#7B4B94")
GREY = "#555555"
DPI = 150
LEGEND_COLUMNS = 5
LEGEND_WIDTH = 110  # characters

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
LIGHT = 0.5  # luma above which black is read better than white


def figure(width: float, height: float) -> "Figure":
    """A figure of this size in inches, drawn without pyplot: no state, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure((width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(made)
    return made


def colour(index: int) -> str:
    """The colour of the index-th point; they repeat after ten."""
    return COLOURS[index % len(COLOURS)]


def plain(text: str) -> str:
    """A label as it is: matplotlib takes $…$ for mathematics, and leaves a label that begins with _ out of the legend."""
    shown = f" {text}" if text.startswith("_") else text
    return shown.replace("$", r"\$")


def phase(name: str) -> Phase:
    """How a phase is shown. One that only a later bench has is grey, with its name in words."""
    return PHASES.get(name) or Phase(name, name.replace("_", " ").capitalize(), GREY)


def ink_on(background: str) -> str:
    """Black or white, whichever can be read on this colour."""
    from matplotlib.colors import to_rgb

    luma = sum(weight * part for weight, part in zip(LUMA, to_rgb(background), strict=True))
    return "black" if luma > LIGHT else "white"


def phase_legend(drawn: "Figure", names: Sequence[str]) -> None:
    """Below the axes: each phase with its colour."""
    from matplotlib.patches import Patch

    shown = [phase(name) for name in names]
    patches = [Patch(facecolor=each.colour, edgecolor="white", hatch=each.hatch) for each in shown]
    titles = [each.title for each in shown]
    drawn.legend(patches, titles, loc="outside lower left", ncols=LEGEND_COLUMNS, frameon=False, fontsize=8)
