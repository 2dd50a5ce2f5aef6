"""How every figure of bench looks: one set of colours that colour-blind readers can tell apart, and no screen needed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#000000", "#7B4B94")
GREY = "#555555"
DPI = 150


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
