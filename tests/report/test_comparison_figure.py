"""The figure of a comparison: written, legible in size, and with everything on it that it claims to show."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.report.comparison_figures import draw_comparison
from bench.report.style import COLOURS, DPI, GREY
from made_sweeps import made_failure, made_start, made_sweep

PHASES = {
    "first_token_s": 1.0,
    "phase/load_weights_s": -20.0,
    "phase/load_model_s": -18.0,
    "phase/init_engine_s": -15.0,
    "phase/graph_capture_s": -25.0,
}  # against the time to be ready


def starts_of(points: int, *, repeats: int = 1, tokens: str | None = None) -> list[RunRecord]:
    """Of so many points, each faster than the one before."""
    tags = {} if tokens is None else {"bench.tokens": tokens}
    return [
        made_start(f"point {point}", _times(60.0 - 5 * point + repeat), repeat=repeat, tags=tags)
        for point in range(points)
        for repeat in range(repeats)
    ]


def _times(ready_s: float) -> dict[str, float]:
    return {"ready_s": ready_s} | {name: ready_s + more for name, more in PHASES.items()}


def compared(*starts: RunRecord) -> Comparison:
    return compare(made_sweep(*starts))


def pixels(comparison: Comparison, folder: Path) -> np.ndarray:
    with Image.open(draw_comparison(comparison, folder)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def amount(image: np.ndarray, colour: str) -> int:
    """How many pixels have exactly this colour."""
    return int((image == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(axis=2).sum())


def dots_of(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == "o"]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("points", "repeats"), [(1, 1), (1, 3), (2, 1), (6, 3)])
def test_the_figure_is_a_png_with_a_bar_for_each_point(points, repeats, tmp_path):
    """Wide enough to be read, no higher than a page or two, and not blank: each point's colour is there."""
    image = pixels(compared(*starts_of(points, repeats=repeats)), tmp_path)
    height, width, _ = image.shape

    assert width == DPI * (8 if points == 1 else 11)
    assert 3 * DPI < height < 16 * DPI
    assert all(amount(image, colour) > 500 for colour in COLOURS[:points])
    assert amount(image, COLOURS[points]) == 0


def test_without_speedups_there_is_no_place_for_them(drawn, tmp_path):
    """Whether there is one point, or a candidate of which nobody knows what it loaded."""
    withheld = [*starts_of(1, tokens="4711"), made_start("point 1", _times(30.0), tags={"bench.tokens": "0815"})]
    draw_comparison(compared(*starts_of(1)), tmp_path)
    draw_comparison(compared(*withheld), tmp_path)

    assert [len(figure.axes) for figure in drawn] == [1, 1]


def test_with_speedups_they_stand_beside_the_times(drawn, tmp_path):
    """A dot for each candidate and metric, and each with its number; hollow, since one start each gives no interval."""
    draw_comparison(compared(*starts_of(3)), tmp_path)
    times, speedups = drawn[0].axes

    assert "seconds" in times.get_xlabel()
    assert "speedup" in speedups.get_xlabel()
    assert [line.get_markerfacecolor() for line in dots_of(speedups)] == ["white"] * 2 * 4
    assert sum(text.get_text().endswith("x (n = 1)") for text in speedups.texts) == 2 * 4


def test_a_speedup_of_several_starts_has_its_interval_grey_where_it_may_be_none(drawn, tmp_path):
    """A bare bar reads as a win. Three starts a second apart resolve five seconds of sixty, and not a tenth of one."""
    slow = [made_start("slow", {"ready_s": 60.0 + repeat}, repeat=repeat) for repeat in range(3)]
    fast = [made_start("fast", {"ready_s": 55.0 + repeat}, repeat=repeat) for repeat in range(3)]
    equal = [made_start("equal", {"ready_s": at}, repeat=repeat) for repeat, at in enumerate((60.1, 60.5, 62.2))]
    draw_comparison(compared(*slow, *fast, *equal), tmp_path)
    speedups = drawn[0].axes[1]
    colours = [line.get_color() for line in speedups.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 2]

    assert colours == [COLOURS[1], GREY]
    assert [text.get_text()[:4] for text in speedups.texts] == ["1.09", "1.00"]
    assert all("[" in text.get_text() for text in speedups.texts)


def test_every_single_start_is_a_dot(drawn, tmp_path):
    """The spread is what there is instead of an interval; one start has none."""
    draw_comparison(compared(*starts_of(2, repeats=3), made_start("point 9", _times(30.0))), tmp_path)
    dots = [len(line.get_xdata()) for line in drawn[0].axes[0].lines]

    assert dots == [3] * 2 * (1 + len(PHASES))


def test_the_legend_names_every_point_with_its_n(drawn, tmp_path):
    """A colour without a name says nothing, a mean without n little."""
    draw_comparison(compared(*starts_of(2, repeats=3), made_start("point 9", _times(30.0))), tmp_path)

    assert legend(drawn[0]) == ["point 0 (n=3)", "point 1 (n=3)", "point 9 (n=1)"]


def test_a_point_that_was_never_ready_is_in_the_legend_too(drawn, tmp_path):
    """A log recorded elsewhere may not say when vLLM was ready; its other bars have its colour all the same."""
    draw_comparison(compared(*starts_of(1), made_start("no wall time", {"phase/load_model_s": 3.0})), tmp_path)

    assert legend(drawn[0]) == ["point 0 (n=1)", "no wall time (n=1)"]


@pytest.mark.parametrize("label", ["größe=1 [a,b] {c}", "a $x^$ b", "_base"])
def test_a_label_is_shown_as_it_is(label, drawn, tmp_path):
    """Files that are replayed are called all sorts of things, and matplotlib has a mind of its own about some of them."""
    draw_comparison(compared(made_start(label, _times(30.0))), tmp_path)
    (shown,) = legend(drawn[0])

    assert shown.replace(r"\$", "$").strip() == f"{label} (n=1)"


def test_the_legend_is_not_cut(drawn, tmp_path):
    """Three points of a sweep over threads, called as bench calls them."""
    labels = [f"runai_streamer_sharded tp=2 RUNAI_STREAMER_CONCURRENCY={threads}" for threads in (4, 16, 32)]
    draw_comparison(compared(*(made_start(label, _times(30.0)) for label in labels)), tmp_path)
    shown = drawn[0].legends[0].get_window_extent()

    assert (shown.x0 >= 0, shown.x1 <= drawn[0].bbox.x1) == (True, True)


def test_a_point_that_always_failed_is_not_on_it(drawn, tmp_path):
    """It has no times."""
    draw_comparison(compared(*starts_of(2), made_failure("fast", "no device", {"ready_s": 1.0})), tmp_path)

    assert legend(drawn[0]) == ["point 0 (n=1)", "point 1 (n=1)"]


def test_a_candidate_without_a_speedup_has_its_times_alone(drawn, tmp_path):
    """Withheld is withheld in the figure too; the other candidates keep their colours on both sides."""
    doubted = made_start("doubted", _times(35.0), tags={"bench.tokens": "0815"})
    sure = made_start("sure", _times(40.0), tags={"bench.tokens": "4711"})
    draw_comparison(compared(*starts_of(1, tokens="4711"), doubted, sure), tmp_path)
    times, speedups = drawn[0].axes

    assert len(times.patches) == 3 * (1 + len(PHASES))
    assert len(dots_of(speedups)) == 4
    assert {to_rgba(line.get_markeredgecolor()) for line in dots_of(speedups)} == {times.patches[-1].get_facecolor()}
