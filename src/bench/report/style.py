"""How every figure of bench looks, and how phases are named and coloured in figures and tables alike.

The colours of points are distinct for colour-blind readers. Figures are drawn without a display.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#000000", "#7B4B94")
GREY = "#555555"
DPI = 150
LEGEND_COLUMNS = 5
LEGEND_WIDTH = 110  # characters

COMPARISON_FIGURE = "vllm_load_benchmark.png"
SAVINGS_FIGURE = "savings.png"

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
LIGHT = 0.5  # luma above which black is read better than white


class Phase(NamedTuple):
    """How a phase of the critical chain is shown."""

    title: str
    colour: str
    hatch: str | None = None


# A family of colours for each process of the chain, from dark to light; the weights stand out, and what belongs to no phase is hatched.
PHASES = {
    "api_server_imports": Phase("API server: imports", "#08519C"),
    "config": Phase("API server: config", "#4292C6"),
    "engine_client": Phase("API server: engine client", "#9ECAE1"),
    "engine_core_imports": Phase("Engine core: imports", "#54278F"),
    "engine_core_init": Phase("Engine core: init", "#9E9AC8"),
    "worker_imports": Phase("Worker: imports", "#00664B"),
    "init_device": Phase("Worker: device", "#009E73"),
    "build_model": Phase("Build the model", "#8FD3BC"),
    "load_weights": Phase("Load weights", "#D55E00"),
    "process_weights": Phase("Process weights", "#FDAE6B"),
    "profile": Phase("Profile", "#7A0177"),
    "compile": Phase("Compile", "#C51B8A"),
    "kv_cache": Phase("KV cache", "#F4A6C0"),
    "warm_up": Phase("Warm up", "#8C6D1F"),
    "capture": Phase("Graph capture", "#E6C229"),
    "server": Phase("Server", "#5C4033"),
    "first_token": Phase("Ready to first token", "#222222"),
    "unattributed": Phase("Unattributed", "#DDDDDD", "////"),
}


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
    """One that is not known here is grey, with its name in words."""
    return PHASES.get(name) or Phase(name.replace("_", " ").capitalize(), GREY)


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
