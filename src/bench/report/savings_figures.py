"""Where the seconds go, a stacked bar for each point; and where the saved ones come from, a bar for each phase and candidate."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.comparison import Comparison
from bench.analysis.savings import Savings, Waterfall, steps_of
from bench.analysis.statistics import Interval
from bench.report.bars import Bar, Lanes, draw_bars, phase_bar, write_in_column, write_inside
from bench.report.style import (
    GREY,
    LEGEND_COLUMNS,
    LEGEND_WIDTH,
    SAVINGS_FIGURE,
    colour,
    figure,
    phase,
    phase_legend,
    plain,
)
from bench.report.tables import TOTAL, saved_text, savings_by_state, waterfalls_by_state
from bench.start.files import WATERFALL_FIGURE
from bench.start.metrics import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 11  # inches
HEIGHT = 0.56  # of a waterfall's row
MARK = 0.38  # where the line at ready ends, below the middle of a row
NEGLIGIBLE = 0.01  # of the longest bar: not to be seen
WHISKER = 0.4  # of the longest bar, beyond all bars: that of two pairs may be ten times as long
MARGIN = 0.03  # of the longest bar


def draw_waterfalls(comparison: Comparison, folder: Path) -> Path | None:
    """waterfall.png in `folder`, a panel for each state; None where no start has a waterfall."""
    groups = waterfalls_by_state(comparison)
    if not groups:
        return None
    steps = sorted(
        steps_of(each for _, found in groups for each in found), key=lambda each: (not each.before_ready, each)
    )
    longest_s = max(sum(each.mean_s for each in waterfall.steps) for _, found in groups for waterfall in found)
    heights = [0.35 + 0.6 * len(found) for _, found in groups]
    drawn = figure(WIDTH, 0.8 + sum(heights) + 0.2 * len(steps) / LEGEND_COLUMNS)
    panels = _panels(drawn, heights, [caption for caption, _ in groups])
    for axes, (_, found) in zip(panels, groups, strict=True):
        axes.set_xlim(0, longest_s * 1.02 or 1.0)
        draw_bars(axes, [("", [_stacked(waterfall, steps)]) for waterfall in found], write_inside, height=HEIGHT)
        for row, waterfall in enumerate(found):
            axes.plot([waterfall.ready_s] * 2, [row - HEIGHT / 2, row + MARK], color="black", linewidth=1.2)
            text = f"{plain(waterfall.point)} (n={waterfall.n}): ready {waterfall.ready_s:.1f} s"
            above = axes.annotate(
                text, (0, row - HEIGHT / 2), xytext=(0, 2), textcoords="offset points", va="bottom", fontsize=9
            )
            above.set_in_layout(False)  # a long label must not squeeze the bars
        axes.set_ylim(len(found) - 0.6, -0.65)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel("seconds since exec (means; black line: ready)")
    phase_legend(drawn, [step.name for step in steps])
    path = folder / WATERFALL_FIGURE
    drawn.savefig(path)
    return path


def _panels(drawn: "Figure", heights: Sequence[float], captions: Sequence[str]) -> "list[Axes]":
    """One below the other, on one axis of seconds."""
    panels = list(drawn.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    for axes, caption in zip(panels, captions, strict=True):
        axes.set_title(caption, loc="left", fontsize=9, color=GREY)
    return panels


def _stacked(waterfall: Waterfall, steps: Sequence[Step]) -> list[Bar]:
    """In the order of `steps`: all that is before ready, what nothing explains too, and then what comes after it."""
    found = [(step.name, seconds) for step in steps if (seconds := waterfall.mean_s(step) or 0.0) > 0]
    starts = accumulate((seconds for _, seconds in found), initial=0.0)
    return [phase_bar(name, start, seconds) for (name, seconds), start in zip(found, starts, strict=False)]


def draw_savings(comparison: Comparison, folder: Path) -> Path | None:
    """savings.png in `folder`, a panel for each state; None where no candidate can be compared by phase."""
    from matplotlib.patches import Patch

    groups = savings_by_state(comparison)
    if not groups:
        return None
    finished = [point.label for point in comparison.points if point.starts]
    colours = {label: colour(index) for index, label in enumerate(finished)}  # as in the figure of the comparison
    everyone = [each for _, found in groups for each in found]
    least_s = NEGLIGIBLE * _longest_s(everyone)
    rows = [_rows(found, least_s, colours) for _, found in groups]
    heights = [0.4 + len(shown) * (0.12 + 0.16 * len(found)) for shown, (_, found) in zip(rows, groups, strict=True)]
    drawn = figure(WIDTH, 0.9 + sum(heights) + 0.2 * len(everyone))
    panels = _panels(drawn, heights, [caption for caption, _ in groups])
    panels[0].set_xlim(*_limits(everyone))
    for axes, shown in zip(panels, rows, strict=True):
        draw_bars(axes, shown, write_in_column)
        axes.axvline(0.0, color=GREY, linewidth=0.8)
        axes.axhline(len(shown) - 1.5, color=GREY, linewidth=0.5, linestyle=":")
    hidden = any(len(shown) <= len(_steps(found)) for shown, (_, found) in zip(rows, groups, strict=True))
    interval = "; line: 95 %" if any(each.n > 1 for each in everyone) else ""
    words = f"seconds saved (below 0: lost{interval})"
    panels[-1].set_xlabel(f"{words}. Not shown: phases below {least_s:.2g} s" if hidden else words)
    handles = [Patch(color=colours[each.candidate]) for each in everyone]
    drawn.legend(handles, [_label(each) for each in everyone], loc="outside upper left", frameon=False, fontsize=9)
    path = folder / SAVINGS_FIGURE
    drawn.savefig(path)
    return path


def _label(candidate: Savings) -> str:
    """On two lines where one would be cut."""
    parts = plain(candidate.candidate), f"instead of {plain(candidate.baseline)} (n={candidate.n})"
    return (" " if sum(map(len, parts)) <= LEGEND_WIDTH else "\n").join(parts)


def _rows(candidates: Sequence[Savings], least_s: float, colours: dict[str, str]) -> list[tuple[str, Lanes]]:
    """The phases, in the order of the chain, in which a candidate saves or loses at least so much; and the sum."""
    found = [(colours[each.candidate], {saving.step: saving.saved_s for saving in each.steps}) for each in candidates]
    rows = [
        (phase(step.name).title, [[_bar(saved[step], shade)] if step in saved else [] for shade, saved in found])
        for step in _steps(candidates)
        if any(abs(saved[step].mean) >= least_s for _, saved in found if step in saved)
    ]
    return [*rows, (TOTAL, [[_bar(each.saved_s, colours[each.candidate])] for each in candidates])]


def _bar(saved: Interval, shade: str) -> Bar:
    return Bar(saved.mean, shade, saved_text(saved), interval=saved)


def _steps(candidates: Sequence[Savings]) -> list[Step]:
    return sorted({saving.step for each in candidates for saving in each.steps})


def _all(candidates: Sequence[Savings]) -> list[Interval]:
    return [saved for each in candidates for saved in (*(step.saved_s for step in each.steps), each.saved_s)]


def _longest_s(candidates: Sequence[Savings]) -> float:
    return max(abs(saved.mean) for saved in _all(candidates))


def _limits(candidates: Sequence[Savings]) -> tuple[float, float]:
    """Of the axis: all bars, and their whiskers as far as these do not push the bars together."""
    saved, longest = _all(candidates), _longest_s(candidates) or 1.0
    first, last = min(0.0, *(each.mean for each in saved)), max(0.0, *(each.mean for each in saved))
    low = min([first, *(each.low for each in saved if each.low is not None)])
    high = max([last, *(each.high for each in saved if each.high is not None)])
    room, margin = WHISKER * longest, MARGIN * longest
    return max(low, first - room) - margin, min(high, last + room) + margin
