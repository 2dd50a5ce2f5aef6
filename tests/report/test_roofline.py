"""The roofline: each point under what was measured to be possible; in the figure, on the page, and nowhere where nothing was measured."""

from pathlib import Path

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.analysis.roofline import Roof, roofs
from bench.host.storage_profile import StorageProfile
from bench.report.axes import rate_axis
from bench.report.roofline_figure import draw_roofline
from bench.report.roofline_plot import roofline
from bench.start.tags import STORAGE_LIMIT
from made_sweeps import made_start, made_sweep

PROFILE = StorageProfile("vda ext4", 0.0, 1.25, 1.2, 16, 1024, 2.5, 9.0, copy_gib_per_s=10.0, pinned_gib_per_s=50.0)
LOADED = {"ready_s": 20.0, "probe/delivered_gib": 6.0, "probe/load_weights_s": 3.0, "throughput/share_of_storage_limit": 0.8, "throughput/storage_limit_gib_per_s": 1.25}  # fmt: skip


def compared(*profiles: StorageProfile) -> Comparison:
    tags = STORAGE_LIMIT.of(profiles or None)
    starts = [made_start(label, LOADED, repeat=block, tags=tags) for label in ("auto", "dummy") for block in range(2)]
    for start in starts[2:]:
        for name in list(LOADED)[1:]:
            del start.metrics[name]
    return compare(made_sweep(*starts))


def test_rates_stand_under_their_limits():
    """What was given, what was read of it, and what was measured; a point that loads nothing has no row."""
    limits = {"storage": 1.25, "page cache": 10.0, "GPU, pinned": 50.0}

    assert roofs(compared(PROFILE).points) == (Roof("auto", 2, 2.0, 1.0, limits),)
    assert roofs(compared().points) == ()


def test_a_rate_stands_where_its_logarithm_does():
    """Between storage and a GPU's bus there is a factor of fifty; ticks have no unit of a ratio."""
    axis = rate_axis([1.0, 100.0])
    plot = roofline(roofs(compared(PROFILE).points))

    assert axis.at(10.0) == pytest.approx(50.0)
    assert all(text.replace(".", "").isdigit() for _, text in axis.ticks)
    (row,) = plot.rows
    places = [row.read.x, *(mark.x for mark in row.limits[:1]), row.delivered.x, *(mark.x for mark in row.limits[1:])]
    assert places == sorted(places)
    assert row.text == "2.00 delivered, 1.00 read (n = 2)"
    assert [name for _, name in plot.names] == ["storage", "page cache", "GPU, pinned"]


def test_it_is_drawn_where_a_storage_was_measured(tmp_path: Path):
    """And is no file where none was."""
    drawn = draw_roofline(compared(PROFILE), tmp_path)

    assert drawn.read_bytes().startswith(b"\x89PNG")
    drawn.unlink()
    assert draw_roofline(compared(), tmp_path) is None
    assert list(tmp_path.iterdir()) == []
