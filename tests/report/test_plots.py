"""The page's figures as values: what stands where, whatever the numbers are."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.report.axes import Axis, ratio_axis, seconds_axis
from bench.report.candidate_plots import forests, gains
from bench.report.memory_curves import SAMPLES, median_start, memory_of
from bench.report.point_plots import stacks, strip
from bench.vllm.memory import MemorySample, write_memory
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall


def compared(times: dict[str, list[float]]) -> Comparison:
    starts = [
        made_start(label, {"ready_s": value}, repeat=block)
        for label, values in times.items()
        for block, value in enumerate(values)
    ]
    return compare(made_sweep(*starts), baseline="a")


# Axes.


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (seconds_axis([97.0]), ["0", "20", "40", "60", "80", "100"]),
        (seconds_axis([0.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (seconds_axis([90.0, 100.0], from_zero=False), ["90", "92", "94", "96", "98", "100"]),
        (Axis(0.9, 1.3, is_ratio=True), ["0.9x", "1.0x", "1.1x", "1.2x", "1.3x"]),
        (Axis(0.9, 15.0, is_ratio=True), ["1x", "2x", "5x", "10x"]),
        (Axis(0.01, 100.0, is_ratio=True), ["0.01x", "0.1x", "1x", "10x", "100x"]),
    ],
)
def test_ticks_are_round_and_few(axis, ticks):
    assert [text for _, text in axis.ticks] == ticks


def test_a_ratio_stands_where_its_logarithm_does():
    """Twice as fast and half as fast are as far from 1."""
    axis = Axis(0.25, 4.0, is_ratio=True)

    assert [axis.at(value) for value in (0.25, 0.5, 1.0, 2.0, 4.0)] == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert axis.at(0.001) == 0.0


def test_one_wide_interval_leaves_room_for_the_others():
    """Of two pairs, it may reach over three decades; it ends at the edge, and shows that it goes on."""
    axis = ratio_axis([1.1, 2.0], [0.001, 900.0])

    assert axis.low > 0.2
    assert axis.high < 8


# Speedups.


def test_grey_is_what_has_1_inside():
    """And the baseline a second time is nobody's gain. The largest ratio is on top."""
    (found,) = forests(
        compared(
            {
                "a": [60.0, 61.0, 62.0],
                "a again": [61.0, 60.5, 62.0],
                "b": [30.0, 30.6, 31.1],
                "c": [50.0, 70.0, 62.0],
                "d": [90.0, 91.0, 93.0],
            }
        )
    )

    assert [(row.label, row.shown) for row in found.rows] == [
        ("b", "faster"), ("c", "unresolved"), ("a again", "unresolved"), ("d", "slower"),
    ]  # fmt: skip
    assert found.rows[2].word == "the baseline again"


def test_without_an_interval_nothing_is_faster():
    """A hollow dot."""
    (found,) = forests(compared({"a": [60.0], "b": [10.0]}))

    assert [(row.shown, row.word, row.whisker.low) for row in found.rows] == [("single", "n = 1", None)]


# Every start.


def test_every_start_has_a_dot_in_the_lane_of_its_block():
    """One that does not count is another dot; one that failed is counted in words."""
    starts = [made_start("a", {"ready_s": 60.0 + block}, repeat=block) for block in range(3)]
    invalid = replace(made_start("a", {"ready_s": 10.0}, repeat=3), invalid_reason="it was warm")
    found = strip(compare(made_sweep(*starts, invalid, made_failure("a", "no device", repeat=4))))

    assert found is not None
    (row,) = found.rows
    assert [dot.counts for dot in row.dots] == [True, True, True, False]
    assert [one.y < other.y for one, other in zip(row.dots, row.dots[1:], strict=False)] == [True] * 3
    assert row.text == "61.00 s (n = 3), 1 failed, 1 invalid"
    assert found.has_invalid


def test_where_nothing_has_a_time_there_is_no_strip():
    assert strip(compare(made_sweep(made_failure("a", "no device")))) is None


# Where seconds go.


def test_the_parts_of_a_bar_add_up_to_the_time_to_the_first_token():
    """And ready is where all but the first token's is over."""
    phases = {"01_api_server_imports": 10.0, "09_load_weights": 30.0, "17_first_token": 1.0, "99_unattributed": 2.0}
    ((row,),) = (figure.rows for figure in stacks(compare(made_sweep(made_start("a", made_waterfall(phases))))))
    ends = [part.x + part.width for part in row.parts]

    assert [part.x for part in row.parts[1:]] == pytest.approx(ends[:-1], abs=0.02)
    assert row.ready == pytest.approx(ends[-2], abs=0.02)
    assert row.parts[-1].phase.name == "first_token"


def test_what_is_lost_lies_on_the_other_side():
    """Each row from zero to its mean."""
    was, now = (
        {"06_worker_imports": 10.0, "09_load_weights": 30.0},
        {"06_worker_imports": 14.0, "09_load_weights": 10.0},
    )
    (found,) = gains(compare(made_sweep(made_start("a", made_waterfall(was)), made_start("b", made_waterfall(now)))))
    lost, gained, total = found.rows

    assert lost.x + lost.width == pytest.approx(found.zero, abs=0.02)
    assert gained.x == total.x == found.zero
    assert (total.total, lost.shown) == (True, "single")


# Memory.


def test_curves_are_those_of_the_median_start_with_their_peaks():
    """Thinned, and no peak is lost by that."""
    starts = [made_start("a", {"ready_s": ready_s}, repeat=block) for block, ready_s in enumerate([60.0, 90.0, 70.0])]
    comparison = compare(made_sweep(*starts))
    asked = []

    def fetch(run_id: str, name: str, folder: Path) -> Path:
        asked.append((run_id, name))
        samples = [
            MemorySample(index / 10, 9.0 if index == 501 else 1.0, 0.0, None, gpu_used_gib=(2.0, None))
            for index in range(900)
        ]
        write_memory([replace(each, gpu_own_gib=(None, None)) for each in samples], folder / name)
        return folder / name

    found = memory_of(comparison, fetch)

    assert asked == [("run of a #3", "memory.csv")]
    assert found is not None
    (panel,) = found.panels
    assert [(curve.name, curve.peak_gib) for curve in panel.curves] == [("anonymous", 9.0), ("GPU 0", 2.0)]
    assert all(curve.points.count(",") <= SAMPLES for curve in panel.curves)


def test_without_samples_there_are_no_curves():
    """Logs from elsewhere have none."""
    comparison = compare(made_sweep(made_start("a", {"ready_s": 1.0}), made_failure("b", "no device")))

    assert memory_of(comparison, lambda *_: None) is None
    assert median_start(comparison.points[1]) is None
