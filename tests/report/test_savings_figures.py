"""waterfall.png and savings.png: every second is on them, and whatever is written on them can be read."""

import random
from itertools import combinations

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.report.comparison_figures import draw_savings, draw_waterfalls
from bench.report.style import COLOURS, DPI
from bench.start.metrics import FIRST_TOKEN, READY
from made_sweeps import made_start, made_sweep, made_waterfall

# About a start on one GPU.
PHASES = {
    "01_api_server_imports": 9.5, "02_config": 3.1, "03_engine_client": 0.5, "04_engine_core_imports": 8.8,
    "05_engine_core_init": 0.6, "06_worker_imports": 8.9, "07_init_device": 2.4, "08_build_model": 0.3,
    "09_load_weights": 21.5, "10_process_weights": 0.15, "11_profile": 1.2, "12_compile": 7.8, "13_kv_cache": 0.1,
    "14_warm_up": 0.9, "15_capture": 6.5, "16_server": 1.3, "17_first_token": 0.05, "99_unattributed": 1.4,
}  # fmt: skip
FORMATS = ("auto", "runai_streamer", "runai_streamer_sharded")


def started(point: str, weights_s: float, repeat: int = 0, *, state: str = "cold", **params: str) -> RunRecord:
    """Its other phases are never twice the same."""
    lots = random.Random(f"{point} {repeat}")  # noqa: S311 - nothing is secret
    phases = {name: seconds * lots.uniform(0.98, 1.02) for name, seconds in PHASES.items()}
    metrics = made_waterfall(phases | {"09_load_weights": weights_s})
    return made_start(point, metrics, repeat=repeat, tags={"bench.page_cache": state}, params=params)


def sweep_of(points: int, repeats: int = 1) -> Comparison:
    starts = [started(f"point {p}", 21.5 / (p + 1), repeat) for repeat in range(repeats) for p in range(points)]
    return compare(made_sweep(*starts))


def cold_and_warm(repeats: int = 3) -> Comparison:
    """Six points, called as bench calls them."""
    return compare(
        made_sweep(
            *(
                started(
                    f"{name} tp=2 page_cache={state}",
                    weights_s,
                    repeat,
                    state=state,
                    load_format=name,
                    page_cache=state,
                )
                for repeat in range(repeats)
                for state, factor in (("cold", 1.0), ("warm", 0.3))
                for name, weights_s in zip(FORMATS, (21.5 * factor, 8.6 * factor, 6.5 * factor), strict=True)
            )
        )
    )


@pytest.fixture
def sketched(drawn, monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The same without the files: writing them takes longer than all the rest."""
    monkeypatch.setattr(Figure, "savefig", lambda *_: None)
    return drawn


def texts(figure: Figure) -> list:
    """All that is written into the axes, as it is displayed."""
    return [text for axes in figure.axes for text in axes.texts]


def assert_legible(figure: Figure) -> None:
    """No text of the axes lies on another, and the legend is not cut."""
    boxes = [text.get_window_extent() for text in texts(figure)]
    legend = figure.legends[0].get_window_extent()

    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not [box for box in boxes if box.overlaps(legend)]


# waterfall.png


@pytest.mark.parametrize(("points", "repeats"), [(1, 1), (3, 3), (6, 2)])
def test_the_waterfalls_are_a_png_of_a_readable_size(points, repeats, drawn, tmp_path):
    """As wide as the other figures, and no higher than a page."""
    path = draw_waterfalls(sweep_of(points, repeats), tmp_path)

    assert path == tmp_path / "waterfall.png"
    with Image.open(path) as image:
        assert image.size[0] == 11 * DPI
        assert 1.5 * DPI < image.size[1] < 8 * DPI
    assert_legible(drawn[0])


def test_a_bar_is_as_long_as_the_time_to_the_first_token(sketched, tmp_path):
    """Each phase begins where the one before it ended; what nothing explains is before ready, and the token after it."""
    comparison = sweep_of(2, 2)
    draw_waterfalls(comparison, tmp_path)
    (axes,) = sketched[0].axes
    for row, point in enumerate(comparison.points):
        bars = [bar for bar in axes.patches if abs(bar.get_y() + bar.get_height() / 2 - row) < 0.01]
        ends = [bar.get_x() + bar.get_width() for bar in bars]

        assert len(bars) == len(PHASES)
        assert [bar.get_x() for bar in bars[1:]] == pytest.approx(ends[:-1])
        assert ends[-1] == pytest.approx(point.mean(FIRST_TOKEN))
        assert ends[-2] == pytest.approx(point.mean(READY))
        assert bars[-2].get_hatch()
        assert axes.lines[row].get_xdata()[0] == pytest.approx(point.mean(READY))


def test_every_phase_has_a_colour_of_its_own_and_a_name(sketched, tmp_path):
    """In the order of the chain. The weights are those that a reader looks for."""
    draw_waterfalls(sweep_of(1), tmp_path)
    colours = [to_hex(bar.get_facecolor()) for bar in sketched[0].axes[0].patches]
    legend = sketched[0].legends[0]

    assert len(set(colours)) == len(PHASES)
    assert [to_hex(handle.get_facecolor()) for handle in legend.legend_handles] == colours
    assert legend.get_texts()[8].get_text() == "Load weights"


def test_only_phases_with_room_for_a_number_have_one(sketched, tmp_path):
    """A tenth of a second beside half a minute would be a heap of digits."""
    draw_waterfalls(sweep_of(1), tmp_path)
    numbers = [text.get_text() for text in texts(sketched[0]) if "ready" not in text.get_text()]

    assert [float(number) for number in numbers] == pytest.approx([9.5, 3.1, 8.8, 8.9, 21.5, 7.8, 6.5], rel=0.03)


def test_a_bar_is_labelled_with_point_n_and_time(sketched, tmp_path):
    """A label as it is, whatever matplotlib would make of it."""
    comparison = compare(made_sweep(started("a $x^$ b", 20.0), started("_base", 10.0)))
    draw_waterfalls(comparison, tmp_path)
    shown = [text.get_text().replace(r"\$", "$") for text in texts(sketched[0]) if "ready" in text.get_text()]

    assert [words.partition(": ready")[0].strip() for words in shown] == ["a $x^$ b (n=1)", "_base (n=1)"]
    assert all(f"{point.mean(READY):.1f} s" in words for point, words in zip(comparison.points, shown, strict=True))


def test_each_state_has_a_panel_of_its_own(drawn, tmp_path):
    """In both figures, with labels as long as bench makes them."""
    comparison = cold_and_warm()
    draw_waterfalls(comparison, tmp_path)
    draw_savings(comparison, tmp_path)

    for figure in drawn:
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["Page cache: cold", "Page cache: warm"]
        assert_legible(figure)


def test_a_long_label_does_not_squeeze_the_bars(drawn, tmp_path):
    """A point is named by all that varies."""
    long = [f"auto {' '.join(f'a_setting_with_a_name={value}' for value in range(9))} {last}" for last in "ab"]
    comparison = compare(made_sweep(*(started(label, 20.0 - 5 * at) for at, label in enumerate(long))))
    draw_waterfalls(comparison, tmp_path)

    assert drawn[0].axes[0].get_window_extent().width > 0.9 * drawn[0].bbox.width


def test_an_unknown_phase_is_sketched_too(sketched, tmp_path):
    """A later version's; else the bar would be too short."""
    metrics = made_waterfall({"01_api_server_imports": 8.0, "42_dance": 5.0})
    draw_waterfalls(compare(made_sweep(made_start("base", metrics))), tmp_path)

    assert [bar.get_width() for bar in sketched[0].axes[0].patches] == [8.0, 5.0]
    assert sketched[0].legends[0].get_texts()[1].get_text() == "Dance"


# savings.png


@pytest.mark.parametrize(("points", "repeats"), [(2, 1), (3, 3), (6, 2)])
def test_the_savings_are_a_png_of_a_readable_size(points, repeats, drawn, tmp_path):
    """Two pairs have intervals ten times as long as the bars, which stay to be seen."""
    path = draw_savings(sweep_of(points, repeats), tmp_path)
    (axes,) = drawn[0].axes
    left, right = axes.get_xlim()
    longest = max(abs(bar.get_width()) for bar in axes.patches)

    assert path == tmp_path / "savings.png"
    with Image.open(path) as image:
        assert image.size[0] == 11 * DPI
        assert 2 * DPI < image.size[1] < 14 * DPI
    assert longest > 0.4 * (right - left)
    assert_legible(drawn[0])


def test_a_bar_is_what_is_saved_and_its_line_the_interval(sketched, tmp_path):
    """To the left what is lost; the sum comes last. In the colour that the candidate has in the first figure."""
    weights = ((20.0, 6.0), (20.0, 6.5), (20.0, 5.5))
    starts = [
        made_start(point, made_waterfall({"09_load_weights": w, "12_compile": c}), repeat=block)
        for block, pair in enumerate(weights)
        for point, w, c in (("base", pair[0], 1.0), ("fast", pair[1], 3.0))
    ]
    draw_savings(compare(made_sweep(*starts)), tmp_path)
    (axes,) = sketched[0].axes

    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Load weights", "Compile", "Time to ready"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([14.0, -2.0, 12.0])
    assert [text.get_text() for text in axes.texts] == ["+14.00 ± 1.24", "-2.00 ± 0.00", "+12.00 ± 1.24"]
    assert list(axes.lines[0].get_xdata()) == pytest.approx([14 - 1.2421, 14 + 1.2421], abs=1e-3)
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {COLOURS[1].lower()}


def test_what_is_too_small_to_be_visible_is_no_row_and_the_axis_notes_it(sketched, tmp_path):
    """Most phases are the same whatever loads the weights; the table has them all."""
    rows = {"01_api_server_imports": 8.0, "09_load_weights": 20.0}
    fast = {"01_api_server_imports": 7.99, "09_load_weights": 6.0}
    starts = made_start("base", made_waterfall(rows)), made_start("fast", made_waterfall(fast))
    draw_savings(compare(made_sweep(*starts)), tmp_path)
    (axes,) = sketched[0].axes

    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Load weights", "Time to ready"]
    assert axes.get_xlabel() == "seconds saved (below 0: lost). Not shown: phases below 0.14 s"


def test_candidates_that_save_nothing_are_sketched_too(sketched, tmp_path):
    """The same log twice: all bars are 0, and no axis is without width."""
    starts = [made_start(point, made_waterfall({"09_load_weights": 20.0})) for point in ("base", "again")]
    draw_savings(compare(made_sweep(*starts)), tmp_path)

    assert [bar.get_width() for bar in sketched[0].axes[0].patches] == [0.0, 0.0]


@pytest.mark.parametrize("draw", [draw_waterfalls, draw_savings])
def test_without_waterfalls_there_is_no_figure(draw, tmp_path):
    """Nothing that the report would link to."""
    plain = compare(made_sweep(made_start("base", {"ready_s": 30.0}), made_start("fast", {"ready_s": 15.0})))

    assert draw(plain, tmp_path) is None
    assert list(tmp_path.iterdir()) == []
