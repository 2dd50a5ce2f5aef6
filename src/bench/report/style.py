"""How every figure of bench looks, and how phases are named and coloured in figures and tables alike.

The colours of points can be told apart by colour-blind readers. Figures are drawn without a display.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#000000", "#7B4B94")
GREY = "#555555"
DPI = 150
LEGEND_COLUMNS = 5
LEGEND_WIDTH = 110  # characters

COMPARISON_FIGURE = "vllm_load_benchmark.png"
WATERFALL_FIGURE = "waterfall.png"
SAVINGS_FIGURE = "savings.png"

# A family of colours for each process of the chain, from dark to light; the weights stand out.
PHASE_COLOURS = {
    "api_server_imports": "#08519C",
    "config": "#4292C6",
    "engine_client": "#9ECAE1",
    "engine_core_imports": "#54278F",
    "engine_core_init": "#9E9AC8",
    "worker_imports": "#00664B",
    "init_device": "#009E73",
    "build_model": "#8FD3BC",
    "load_weights": "#D55E00",
    "process_weights": "#FDAE6B",
    "profile": "#7A0177",
    "compile": "#C51B8A",
    "kv_cache": "#F4A6C0",
    "warm_up": "#8C6D1F",
    "capture": "#E6C229",
    "server": "#5C4033",
    "first_token": "#222222",
    "unattributed": "#DDDDDD",
}
PHASE_TITLES = {
    "api_server_imports": "API server: imports",
    "config": "API server: config",
    "engine_client": "API server: engine client",
    "engine_core_imports": "Engine core: imports",
    "engine_core_init": "Engine core: init",
    "worker_imports": "Worker: imports",
    "init_device": "Worker: device",
    "build_model": "Build the model",
    "load_weights": "Load weights",
    "process_weights": "Process weights",
    "profile": "Profile",
    "compile": "Compile",
    "kv_cache": "KV cache",
    "warm_up": "Warm up",
    "capture": "Graph capture",
    "server": "Server",
    "first_token": "Ready to first token",
    "unattributed": "Unattributed",
}
UNKNOWN = GREY
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


def phase_title(name: str) -> str:
    """What a person reads; a phase that is not known here has its name in words."""
    return PHASE_TITLES.get(name, name.replace("_", " ").capitalize())


def phase_colour(name: str) -> str:
    """Grey where it is not known here."""
    return PHASE_COLOURS.get(name, UNKNOWN)


def phase_hatch(name: str) -> str | None:
    """What belongs to no phase looks like nothing else."""
    return "////" if name == "unattributed" else None


def ink_on(background: str) -> str:
    """Black or white, whichever can be read on this colour."""
    from matplotlib.colors import to_rgb

    luma = sum(weight * part for weight, part in zip(LUMA, to_rgb(background), strict=True))
    return "black" if luma > LIGHT else "white"


def phase_legend(drawn: "Figure", names: Sequence[str]) -> None:
    """Below the axes: each phase with its colour."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=phase_colour(name), edgecolor="white", hatch=phase_hatch(name)) for name in names]
    titles = [phase_title(name) for name in names]
    drawn.legend(patches, titles, loc="outside lower left", ncols=LEGEND_COLUMNS, frameon=False, fontsize=8)
