"""The points of a sweep side by side: times on the left, speedups on the right, every single start as a dot."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison, Point, Speedup
from bench.report.markdown import FIGURE
from bench.report.style import GREY, colour, figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_ROWS = 3  # a single bar does not fill the panel
LEGEND_WIDTH = 110  # characters
ROOM_FOR_TEXT = 1.6  # of the speedups' axis, for the numbers behind the longest interval

TIMES = (
    ("ready", "ready_s"),
    ("first token", "first_token_s"),
    ("load weights", "phase/load_weights_s"),
    ("load model", "phase/load_model_s"),
    ("load weights (probe)", "probe/load_weights_s"),
    ("stream", "phase/stream_s"),
    ("init engine", "phase/init_engine_s"),
    ("torch.compile", "phase/torch_compile_s"),
    ("graph capture", "phase/graph_capture_s"),
)

SPEEDUPS = (
    ("ready", "ready_s"),
    ("first token", "first_token_s"),
    ("load weights (probe)", "probe/load_weights_s"),
    ("load weights", "phase/load_weights_s"),
    ("load model", "phase/load_model_s"),
)


def draw_comparison(comparison: Comparison, folder: Path) -> Path:
    """vllm_load_benchmark.png in `folder`."""
    from matplotlib.patches import Patch

    points = [point for point in comparison.points if point.starts]
    times = [(title, metric) for title, metric in TIMES if any(point.values(metric) for point in points)]
    height = max(3.2, 1.6 + len(times) * (0.16 + 0.2 * len(points)))
    drawn = figure(11 if comparison.speedups else 8, height)
    if comparison.speedups:
        left, right = drawn.subplots(1, 2, width_ratios=[3, 2])
        _draw_speedups(right, comparison, points)
    else:
        left = drawn.add_subplot()
    _draw_times(left, points, times)
    handles = [Patch(color=colour(index)) for index in range(len(points))]
    labels = [f"{plain(point.label)} (n={point.n})" for point in points]
    columns = max(1, min(3, LEGEND_WIDTH // max(map(len, labels), default=1)))
    drawn.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    path = folder / FIGURE
    drawn.savefig(path)
    return path


def _draw_times(axes: "Axes", points: list[Point], times: list[tuple[str, str]]) -> None:
    thickness = 0.8 / max(1, len(points))
    longest_s = max((value for point in points for _, metric in times for value in point.values(metric)), default=1.0)
    for index, point in enumerate(points):
        offset = (index - (len(points) - 1) / 2) * thickness
        for row, (_, metric) in enumerate(times):
            mean = point.mean(metric)
            if mean is None:
                continue
            axes.barh(row + offset, mean, height=thickness * 0.9, color=colour(index))
            values = point.values(metric)
            if len(values) > 1:
                axes.plot(values, [row + offset] * len(values), "o", color="black", markersize=2.5, alpha=0.6)
            _write(axes, max(values), row + offset, f"{mean:.2f}" if len(values) == 1 else f"mean {mean:.2f}")
    axes.set_yticks(range(len(times)), [title for title, _ in times])
    axes.invert_yaxis()
    axes.set_xlim(0, (longest_s or 1.0) * 1.16)
    axes.set_xlabel("seconds (bar: mean; dots: single starts)")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_speedups(axes: "Axes", comparison: Comparison, points: list[Point]) -> None:
    colours = {point.label: colour(index) for index, point in enumerate(points)}
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    rows = [
        (title, metric) for title, metric in SPEEDUPS if any(comparison.speedup(label, metric) for label in candidates)
    ]
    thickness = 0.8 / max(1, len(candidates))
    furthest = 1.0
    for index, label in enumerate(candidates):
        offset = (index - (len(candidates) - 1) / 2) * thickness
        for row, (_, metric) in enumerate(rows):
            if found := comparison.speedup(label, metric):
                furthest = max(furthest, _draw_interval(axes, found, row + offset, colours[label]))
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rows)), [title for title, _ in rows])
    axes.set_ylim(max(len(rows), FEWEST_ROWS) - 0.5, -0.5)
    axes.set_xlim(0, furthest * ROOM_FOR_TEXT)
    axes.set_xlabel("speedup: baseline ÷ candidate (1: equal)\nline: 95 % interval, grey where 1 is inside")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_interval(axes: "Axes", found: Speedup, y: float, colour: str) -> float:
    """A ratio as a dot on its interval; hollow where one start of each gives none. Returns how far right it reaches."""
    if found.low is None or found.high is None:
        axes.plot([found.ratio], [y], "o", markersize=7, markerfacecolor="white", markeredgecolor=colour)
        _write(axes, found.ratio, y, f"{found.ratio:.2f}x (n = {found.n})", gap_points=8)
        return found.ratio
    shown = GREY if found.low <= 1.0 <= found.high else colour
    axes.plot([found.low, found.high], [y, y], color=shown, linewidth=2.5, solid_capstyle="butt")
    axes.plot([found.ratio], [y], "o", markersize=7, color=shown)
    _write(axes, found.high, y, f"{found.ratio:.2f}x [{found.low:.2f}, {found.high:.2f}]")
    return found.high


def _write(axes: "Axes", x: float, y: float, text: str, *, gap_points: int = 4) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(gap_points, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )
