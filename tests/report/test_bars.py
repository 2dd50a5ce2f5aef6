"""The one function that draws the bars of all figures."""

import pytest
from matplotlib.axes import Axes

from bench.analysis.statistics import Interval
from bench.report.bars import Bar, draw_bars, write_beside, write_in_column, write_inside
from bench.report.style import COLOURS, figure

RED, BLUE = COLOURS[5], COLOURS[0]


def drawn(*bars: Bar, write=write_in_column) -> Axes:
    """Each in a lane of its own, in one row of an axis from 0 to 100."""
    axes = figure(8, 3).add_subplot()
    axes.set_xlim(0, 100)
    draw_bars(axes, [("row", [[bar] for bar in bars])], write)
    return axes


def test_lanes_of_a_row_lie_below_each_other_around_its_middle():
    """Without overlap, in their order, and a lane without a bar keeps its place."""
    axes = figure(8, 3).add_subplot()
    draw_bars(axes, [("one", [[Bar(1, RED, "a")], [], [Bar(2, BLUE, "b")]])], write_in_column)
    first, last = axes.patches

    assert first.get_y() + first.get_height() < -0.1
    assert last.get_y() > 0.1
    assert first.get_y() + last.get_y() + last.get_height() == pytest.approx(0)


def test_a_bar_has_its_single_values_and_its_interval():
    """Dots where there are several, a line where there is an interval; one value has neither."""
    interval = Interval(40.0, 30.0, 50.0, 3, paired=True, confidence=0.95)
    single = Interval(40.0, None, None, 1, paired=True, confidence=0.95)
    axes = drawn(Bar(40, RED, "", values=(35, 45), interval=interval), Bar(40, RED, "", values=(40,), interval=single))

    assert [list(line.get_xdata()) for line in axes.lines] == [[35, 45], [30, 50]]


@pytest.mark.parametrize(
    ("start", "length", "x", "side"), [(0, 50, 50, "left"), (60, 38, 60, "right"), (1, 98, 99, "right")]
)
def test_a_text_stands_where_there_is_room(start, length, x, side):
    """Behind its bar; before one that ends late; inside one that fills the axis."""
    (text,) = drawn(Bar(length, BLUE, "9.99 s", start), write=write_beside).texts

    assert (text.xy[0], text.get_ha()) == (x, side)


def test_a_text_inside_a_bar_needs_room():
    """Else it would lie on its neighbours."""
    axes = drawn(Bar(2, BLUE, "2.0"), Bar(20, BLUE, "20.0"), write=write_inside)

    assert [text.get_text() for text in axes.texts] == ["20.0"]
