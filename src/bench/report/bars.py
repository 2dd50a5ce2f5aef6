"""The bars of every figure: rows of lanes of bars, each bar with its single values, its interval and its text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.statistics import Interval
from bench.report.style import GREY, ink_on, phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILLED = 0.9  # of a lane's height, where a row has several
ROOM_INSIDE = 0.035  # of the axis: what a number needs
ROOM_BESIDE = 0.17  # of the axis: what a number with its unit needs
TEXT: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}


@dataclass(frozen=True)
class Bar:
    """From `start` for `length`, in the unit of the axis. `values` are drawn as dots where there are several. `is_dot`: no bar, but
    a dot at `length` on its interval, hollow where there is none; `line` is the interval's colour, where it is another one.
    """

    length: float
    colour: str
    text: str
    start: float = 0.0
    hatch: str | None = None
    values: Sequence[float] = ()
    interval: Interval | None = None
    is_dot: bool = False
    line: str | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Of the interval, where there is one."""
        found = self.interval
        return None if found is None or found.low is None or found.high is None else (found.low, found.high)

    @property
    def end(self) -> float:
        """Of all that is drawn, but the interval of a bar."""
        reached = self.ends[1] if self.is_dot and self.ends else self.start
        return max(self.start + self.length, *self.values, reached, self.start)


def phase_bar(name: str, start_s: float, duration_s: float) -> Bar:
    """Of a phase of the critical chain, with its seconds."""
    shown = phase(name)
    return Bar(duration_s, shown.colour, f"{duration_s:.1f}", start_s, shown.hatch)


Lanes = Sequence[Sequence[Bar]]  # of a row, below each other


def draw_bars(
    axes: "Axes",
    rows: Sequence[tuple[str, Lanes]],
    write: Callable[["Axes", Bar, float], None],
    *,
    height: float = 0.8,
) -> None:
    """Draw (title, lanes) from top to bottom, `height` of each row filled; `write` places a bar's text, within the axis' limits."""
    for row, (_, lanes) in enumerate(rows):
        thickness = height / max(1, len(lanes))
        for lane, bars in enumerate(lanes):
            y = row + (lane - (len(lanes) - 1) / 2) * thickness
            for bar in bars:
                if bar.is_dot:
                    _draw_dot(axes, bar, y)
                else:
                    _draw_bar(axes, bar, y, thickness * (FILLED if len(lanes) > 1 else 1), divided=len(bars) > 1)
                write(axes, bar, y)
    axes.set_yticks(range(len(rows)), [title for title, _ in rows])
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_bar(axes: "Axes", bar: Bar, y: float, height: float, *, divided: bool) -> None:
    edge = "white" if divided else bar.colour
    axes.barh(
        y,
        bar.length,
        left=bar.start,
        height=height,
        facecolor=bar.colour,
        edgecolor=edge,
        linewidth=0.5,
        hatch=bar.hatch,
    )
    if len(bar.values) > 1:
        axes.plot(bar.values, [y] * len(bar.values), "o", color="black", markersize=2.5, alpha=0.6)
    if bar.ends:
        axes.plot(bar.ends, [y, y], color="black", linewidth=0.9)


def _draw_dot(axes: "Axes", dot: Bar, y: float) -> None:
    if dot.ends:
        axes.plot(dot.ends, [y, y], color=dot.line or dot.colour, linewidth=2.5, solid_capstyle="butt")
    face = dot.colour if dot.ends else "white"
    axes.plot([dot.length], [y], "o", markersize=7, markerfacecolor=face, markeredgecolor=dot.colour)


def write_inside(axes: "Axes", bar: Bar, y: float) -> None:
    """In the middle of the bar, if there is room for a number."""
    if bar.length > ROOM_INSIDE * axes.get_xlim()[1]:
        middle = bar.start + bar.length / 2
        axes.annotate(bar.text, (middle, y), ha="center", va="center", fontsize=8, color=ink_on(bar.colour))


def write_beside(axes: "Axes", bar: Bar, y: float) -> None:
    """Behind the bar; before it where it ends late; at its end, inside, where it fills the axis."""
    right = axes.get_xlim()[1]
    behind, before = bar.end < (1 - ROOM_BESIDE) * right, bar.start > ROOM_BESIDE * right
    if behind:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if bar.is_dot or len(bar.values) > 1 else None
        gap_points = 8 if bar.is_dot and not bar.ends else 4  # a hollow dot reaches beyond its value
        axes.annotate(bar.text, (bar.end, y), xytext=(gap_points, 0), ha="left", color=GREY, bbox=box, **TEXT)
    else:
        x, colour = (bar.start, GREY) if before else (bar.end, ink_on(bar.colour))
        axes.annotate(bar.text, (x, y), xytext=(-4, 0), ha="right", color=colour, **TEXT)


def write_in_column(axes: "Axes", bar: Bar, y: float) -> None:
    """In a column right of the axes, where no bar can hide it."""
    axes.annotate(bar.text, (1, y), xycoords=axes.get_yaxis_transform(), xytext=(6, 0), color=GREY, **TEXT)
