"""Where the saved seconds come from: a bar for each phase and candidate, with its interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.savings import Savings, Step
from bench.analysis.statistics import Difference
from bench.report.savings_tables import SAVINGS_FIGURE, TOTAL, saved_words, savings_by_state
from bench.report.style import GREY, colour, figure, phase_title, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 11  # inches
NEGLIGIBLE = 0.01  # of the longest bar: not to be seen
WHISKER = 0.4  # of the longest bar, beyond all bars: that of two pairs may be ten times as long
MARGIN = 0.03  # of the longest bar

LEGEND_WIDTH = 110  # characters

Row = Step | None  # None: the time to ready, the sum of all


def draw_savings(comparison: Comparison, folder: Path) -> Path | None:
    """savings.png in `folder`, a panel for each state; None where no candidate can be compared by phase."""
    from matplotlib.patches import Patch

    groups = savings_by_state(comparison)
    if not groups:
        return None
    everyone = [each for _, found in groups for each in found]
    least_s = NEGLIGIBLE * _farthest_s(everyone)
    rows = [_rows(found, least_s) for _, found in groups]
    heights = [0.4 + len(shown) * (0.12 + 0.16 * len(found)) for shown, (_, found) in zip(rows, groups, strict=True)]
    drawn = figure(WIDTH, 0.9 + sum(heights) + 0.2 * len(everyone))
    panels = drawn.subplots(len(groups), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    colours = _colours(comparison)
    for axes, shown, (words, found) in zip(panels, rows, groups, strict=True):
        if words:
            axes.set_title(words, loc="left", fontsize=9, color=GREY)
        _draw_panel(axes, found, shown, colours)
    panels[0].set_xlim(*_limits(everyone))
    panels[-1].set_xlabel(_words(groups, rows, least_s))
    handles = [Patch(color=colours[each.candidate]) for each in everyone]
    drawn.legend(handles, [_label(each) for each in everyone], loc="outside upper left", frameon=False, fontsize=9)
    path = folder / SAVINGS_FIGURE
    drawn.savefig(path)
    return path


def _words(groups: Sequence[tuple[str, list[Savings]]], rows: Sequence[list[Row]], least_s: float) -> str:
    sure = any(each.n > 1 for _, found in groups for each in found)
    words = f"seconds saved (below 0: lost{'; line: 95 %' if sure else ''})"
    hidden = any(len(shown) <= len(_steps(found)) for shown, (_, found) in zip(rows, groups, strict=True))
    return f"{words}. Not shown: phases below {least_s:.2g} s" if hidden else words


def _label(candidate: Savings) -> str:
    """On two lines where one would be cut."""
    parts = plain(candidate.candidate), f"instead of {plain(candidate.baseline)} (n={candidate.n})"
    return (" " if sum(map(len, parts)) <= LEGEND_WIDTH else "\n").join(parts)


def _colours(comparison: Comparison) -> dict[str, str]:
    """As in the figure of the comparison."""
    finished = [point.label for point in comparison.points if point.starts]
    return {label: colour(index) for index, label in enumerate(finished)}


def _saved(candidate: Savings) -> dict[Row, Difference]:
    return {each.step: each.saved_s for each in candidate.steps} | {None: candidate.saved_s}


def _farthest_s(candidates: Sequence[Savings]) -> float:
    return max(abs(saved.mean) for each in candidates for saved in _saved(each).values())


def _rows(candidates: Sequence[Savings], least_s: float) -> list[Row]:
    """The phases, in the order of the chain, in which a candidate saves or loses at least so much, and the sum."""
    found = [_saved(each) for each in candidates]
    farthest = {step: max(abs(saved[step].mean) for saved in found if step in saved) for step in _steps(candidates)}
    return [*(step for step, seconds in farthest.items() if seconds >= least_s), None]


def _steps(candidates: Sequence[Savings]) -> list[Step]:
    return sorted({saving.step for each in candidates for saving in each.steps})


def _limits(candidates: Sequence[Savings]) -> tuple[float, float]:
    """Of the axis: all bars, and their whiskers as far as these do not push the bars together."""
    saved = [each for candidate in candidates for each in _saved(candidate).values()]
    farthest = _farthest_s(candidates) or 1.0
    first, last = min(0.0, *(each.mean for each in saved)), max(0.0, *(each.mean for each in saved))
    low = min([first, *(each.low for each in saved if each.low is not None)])
    high = max([last, *(each.high for each in saved if each.high is not None)])
    room, margin = WHISKER * farthest, MARGIN * farthest
    return max(low, first - room) - margin, min(high, last + room) + margin


def _draw_panel(axes: "Axes", candidates: Sequence[Savings], rows: Sequence[Row], colours: dict[str, str]) -> None:
    thickness = 0.8 / len(candidates)
    for index, candidate in enumerate(candidates):
        offset = (index - (len(candidates) - 1) / 2) * thickness
        saved = _saved(candidate)
        for place, row in enumerate(rows):
            if row in saved:
                axes.barh(place + offset, saved[row].mean, height=thickness * 0.85, color=colours[candidate.candidate])
                _write(axes, place + offset, saved[row])
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.axhline(len(rows) - 1.5, color=GREY, linewidth=0.5, linestyle=":")
    axes.set_yticks(range(len(rows)), [phase_title(row.name) if row else TOTAL for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _write(axes: "Axes", y: float, saved: Difference) -> None:
    """Whisker and number; the numbers stand in a column beside the axes, where no bar can hide them."""
    if saved.low is not None and saved.high is not None:
        axes.plot([saved.low, saved.high], [y, y], color="black", linewidth=0.9)
    axes.annotate(
        saved_words(saved),
        (1, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=GREY,
    )
