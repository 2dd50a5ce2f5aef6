"""One start on a time axis: what its log can place, from exec to the first token."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.log.readings import Phase
from bench.report.style import GREY, colour, figure, plain
from bench.start.record import Startup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "phases.png"
LATE = 0.85  # of the axis

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
    lanes = startup.phases
    drawn = figure(9, 1.4 + 0.34 * len(lanes))
    axes = drawn.add_subplot()
    end_s = startup.first_token_s or max(phase.ended_at_s for phase in lanes)
    for index, phase in enumerate(lanes):
        axes.barh(index, phase.duration_s, left=phase.started_at_s, height=0.62, color=_colour(phase))
        _write_duration(axes, index, phase, end_s)
    axes.set_yticks(range(len(lanes)), [_title(phase) for phase in lanes], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, end_s * 1.02)
    axes.set_xlabel("seconds since exec")
    axes.spines[["top", "right"]].set_visible(False)
    if startup.ready_s is not None:
        axes.axvline(startup.ready_s, color=GREY, linestyle="--", linewidth=0.8)
    axes.set_title(heading(startup), loc="left", fontsize=10)
    path = folder / FILE
    drawn.savefig(path)
    return path


def _write_duration(axes: "Axes", row: int, phase: Phase, end_s: float) -> None:
    """Behind the bar; before it where it ends late; inside where it fills the axis."""
    text: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8, "color": GREY}
    words = f"{phase.duration_s:.2f} s"
    if phase.ended_at_s < LATE * end_s:
        axes.annotate(words, (phase.ended_at_s, row), xytext=(4, 0), ha="left", **text)
    elif phase.started_at_s > (1 - LATE) * end_s:
        axes.annotate(words, (phase.started_at_s, row), xytext=(-4, 0), ha="right", **text)
    else:
        axes.annotate(words, (phase.ended_at_s, row), xytext=(-4, 0), ha="right", **text | {"color": "white"})


def _title(phase: Phase) -> str:
    title = TITLES.get(phase.name, phase.name)
    return f"{title} ({phase.rank})" if phase.rank else title


def _colour(phase: Phase) -> str:
    return colour(list(TITLES).index(phase.name)) if phase.name in TITLES else GREY


def heading(startup: Startup) -> str:
    """What it was and when it got where; or that it did not."""
    if startup.failed:
        return f"{plain(startup.name)}: failed"
    reached = [("ready (dashed)", startup.ready_s), ("first token", startup.first_token_s)]
    words = [f"{name} {value:.2f} s" for name, value in reached if value is not None]
    return f"{plain(startup.name)}: {', '.join(words) or 'when it was ready is unknown'}"
