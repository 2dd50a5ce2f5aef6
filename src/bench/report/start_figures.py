"""One start on a time axis: the phases that its log can place (phases.png), and its processes from inside (waterfall.png)."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.bars import Bar, Lanes, draw_bars, phase_bar, write_beside, write_inside
from bench.report.style import (
    GREY,
    LEGEND_COLUMNS,
    colour,
    figure,
    phase_legend,
    plain,
)
from bench.start.files import PHASES_FIGURE, WATERFALL_FIGURE
from bench.start.metrics import PHASE_STEPS
from bench.start.record import Startup
from bench.start.waterfall import Lane
from bench.vllm.span import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHAIN = "critical chain"

TITLES = {
    "start_api_server": "API server: imports",
    "start_engine_core": "config, engine core: imports",
    "start_worker": "workers: imports, device",
    "load_weights": "load weights",
    "load_model": "load model",
    "stream": "stream",
    "torch_compile": "torch.compile",
    "graph_capture": "graph capture",
    "init_engine": "init engine",
    "first_token": "first token",
    "download": "download",
    "prefetch": "prefetch (beside)",
    "deserialize": "deserialize",
    "online_quantization": "online quantization",
    "dynamo": "Dynamo",
    "profiling_run": "profiling run",
    "compile_and_profiling_run": "compile and profiling run",
    "encoder_graph_capture": "encoder graph capture",
}


def draw_startup(startup: Startup, folder: Path) -> Path | None:
    """phases.png in `folder`, or None where the log has no stamps and so nothing can be placed."""
    if not startup.phases:
        return None
    drawn = figure(9, 1.4 + 0.34 * len(startup.phases))
    axes = drawn.add_subplot()
    axes.set_xlim(0, 1.02 * (startup.first_token_s or max(phase.until_s for phase in startup.phases)))
    draw_bars(axes, [_row(phase) for phase in startup.phases], write_beside, height=0.62)
    return _saved(drawn, axes, startup, folder / PHASES_FIGURE)


def _row(phase: Span) -> tuple[str, Lanes]:
    title = TITLES.get(phase.name, phase.name)
    shade = colour(list(TITLES).index(phase.name)) if phase.name in TITLES else GREY
    bar = Bar(phase.duration_s, shade, f"{phase.duration_s:.2f} s", phase.start_s)
    return f"{title} ({phase.rank})" if phase.rank else title, [[bar]]


def draw_lanes(startup: Startup, folder: Path) -> Path | None:
    """waterfall.png in `folder`: the critical chain, and every process below it; None where no process has reported."""
    lanes = ([Lane(CHAIN, tuple(startup.chain))] if startup.chain else []) + startup.lanes
    if not lanes:
        return None
    names = sorted({part.name for lane in lanes for part in lane.spans}, key=lambda name: PHASE_STEPS[name])
    drawn = figure(11, 1.3 + 0.45 * len(lanes) + 0.2 * len(names) / LEGEND_COLUMNS)
    axes = drawn.add_subplot()
    axes.set_xlim(0, 1.01 * max(part.until_s for lane in lanes for part in lane.spans))
    rows = [
        (lane.name, [[phase_bar(each.name, each.start_s, each.duration_s) for each in lane.spans]]) for lane in lanes
    ]
    draw_bars(axes, rows, write_inside, height=0.66)
    phase_legend(drawn, names)
    return _saved(drawn, axes, startup, folder / WATERFALL_FIGURE)


def _saved(drawn: "Figure", axes: "Axes", startup: Startup, path: Path) -> Path:
    """With what both figures have: the time to ready as a line, the axis' label and the heading."""
    if startup.ready_s is not None:
        axes.axvline(startup.ready_s, color=GREY, linestyle="--", linewidth=0.8)
    axes.tick_params(axis="y", labelsize=9)
    axes.set_xlabel("seconds since exec")
    axes.set_title(heading(startup), loc="left", fontsize=10)
    drawn.savefig(path)
    return path


def heading(startup: Startup) -> str:
    """Its name and when it was ready and had its first token; or that it failed."""
    if startup.failed:
        return f"{plain(startup.name)}: failed"
    reached = [("ready (dashed)", startup.ready_s), ("first token", startup.first_token_s)]
    words = [f"{name} {value:.2f} s" for name, value in reached if value is not None]
    return f"{plain(startup.name)}: {', '.join(words) or 'when it was ready is unknown'}"
