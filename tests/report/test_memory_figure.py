"""The figure of a start's memory: drawn from what was sampled, and not where nothing was."""

from pathlib import Path

import pytest
from PIL import Image

from bench.report.start_figures import draw_memory, outermost
from bench.start.files import MEMORY_FIGURE
from bench.start.record import Startup
from bench.vllm.memory import FILE as SAMPLES
from made_starts import told

HOST = "elapsed_s,anon_gib,file_gib,shmem_gib,pss_gib\n0.0,,,,\n0.1,1.0,0.5,0.0,\n0.2,2.0,0.5,0.0,2.1\n"
GPU = "elapsed_s,anon_gib,file_gib,shmem_gib,pss_gib,gpu0_gib,gpu0_own_gib\n0.0,,,,,0.6,\n0.2,,,,,17.5,16.0\n"
BOTH = HOST.replace("\n", ",1.5,\n").replace("pss_gib,1.5,", "pss_gib,gpu0_gib,gpu0_own_gib")
PHASES = [
    told("start_api_server", None, 0.0, 0.08),
    told("load_model", "TP0", 0.1, 0.15),
    told("load_model", "TP1", 0.1, 0.14),
    told("load_weights", "TP0", 0.11, 0.15),
    told("init_engine", None, 0.15, 0.19),
]


def started(**found: object) -> Startup:
    usual = {"name": "auto", "parent_run_id": None, "params": {}, "tags": {}, "started_at": 0.0, "ended_at": 1.0}
    return Startup(**usual | found)


@pytest.mark.parametrize(("sampled", "high"), [(HOST, 495), (GPU, 495), (BOTH, 840)], ids=["host", "GPU", "both"])
def test_a_curve_is_drawn_of_all_that_was_sampled(sampled, high, tmp_path: Path):
    """The GPUs below the host, on the same time."""
    (tmp_path / SAMPLES).write_text(sampled)
    path = draw_memory(started(spans=PHASES), tmp_path)

    assert path == tmp_path / MEMORY_FIGURE
    with Image.open(path) as image:
        assert image.size == (1350, high)


def test_a_start_without_phases_is_drawn_too(tmp_path):
    """One that failed early has memory all the same."""
    (tmp_path / SAMPLES).write_text(HOST)

    assert draw_memory(started(reason="it died"), tmp_path)


@pytest.mark.parametrize("sampled", [None, HOST.partition("0.0")[0], HOST.partition("0.1")[0]])
def test_nothing_sampled_is_no_figure(sampled, tmp_path):
    """An empty one would look as if no memory had been taken."""
    if sampled is not None:
        (tmp_path / SAMPLES).write_text(sampled)

    assert draw_memory(started(), tmp_path) is None
    assert not (tmp_path / MEMORY_FIGURE).exists()


def test_phases_in_others_are_not_marked():
    """Nor what a second rank does beside the first."""
    assert outermost(PHASES) == [PHASES[0], PHASES[1], PHASES[4]]
