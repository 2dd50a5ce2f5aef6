"""The picture of a start from inside."""

from dataclasses import replace
from pathlib import Path

from bench.report.start_figures import draw_lanes
from bench.report.style import phase
from bench.start.record import Startup
from bench.start.timeline import merged
from bench.start.waterfall import PHASES
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from made_starts import span

NOTHING = Startup("auto", None, {}, {}, 0.0, 40.0)
REPORT = ProbeReport(
    (
        ProbeProcess(1, 0, "api_server", None, 0.0, 5.0),
        ProbeProcess(2, 1, "worker", "TP0", 6.0, 7.0, (span("load_weights", 8.0, 9.0),)),
    )
)


def test_a_start_is_drawn_as_far_as_it_came(tmp_path: Path):
    """With its chain, or with its processes alone where it failed."""
    whole = replace(NOTHING, spans=merged(REPORT, []), ready_s=8.5, first_token_s=9.0)
    failed = replace(NOTHING, spans=merged(REPORT, []), reason="killed")

    for name, startup in (("whole", whole), ("failed", failed)):
        (tmp_path / name).mkdir()
        path = draw_lanes(startup, tmp_path / name)
        assert path is not None
        assert path.read_bytes().startswith(b"\x89PNG")


def test_where_no_process_has_reported_there_is_no_picture(tmp_path: Path):
    """An empty one would say that nothing happened."""
    assert draw_lanes(NOTHING, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_every_phase_has_a_name_and_a_colour_of_its_own():
    """Two of one colour could not be told apart."""
    assert (
        len({each.colour for each in PHASES.values()}) == len({each.title for each in PHASES.values()}) == len(PHASES)
    )
    assert phase("something_new").title == "Something new"
