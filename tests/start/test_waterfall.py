"""The critical chain: it adds up whatever was reported, and tells what belongs to nobody."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.start.timeline import merged, processes_of
from bench.start.waterfall import STEPS, lanes, slowest, unattributed_warnings, waterfall, waterfall_metrics
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.span import Span
from made_starts import span, told

READY_S, FIRST_TOKEN_S = 30.0, 31.0


SERVER = ProbeProcess(1, 0, "api_server", None, 0.01, 5.0, (span("config", 5.0, 6.0), span("engine_client", 6.0, 29.0)))
CORE = ProbeProcess(2, 1, "engine_core", None, 7.0, 10.0, (span("engine_core_init", 10.0, 28.0),))
FAST = ProbeProcess(
    3, 2, "worker", "TP0", 11.0, 14.0, (
        span("init_device", 15.0, 17.0), span("load_model", 17.0, 20.0), span("load_weights", 18.0, 19.0),
        span("profile", 22.0, 25.0), span("kv_cache", 25.0, 26.0), span("warm_up", 26.0, 27.5),
    )
)  # fmt: skip
SLOW = replace(
    FAST, pid=4, rank="TP1", spans=(
        span("init_device", 15.5, 17.0), span("load_model", 17.0, 22.0), span("load_weights", 17.5, 20.5),
        span("process_weights", 20.5, 21.5), span("profile", 22.0, 25.0), span("kv_cache", 25.0, 26.0),
        span("warm_up", 26.0, 27.5),
    )
)  # fmt: skip
SAID = [told("torch_compile", "TP0", 22.5, 24.0), told("graph_capture", None, 27.0, 27.4)]


def metrics_of(report: ProbeReport, said: list[Span] | None = None) -> dict[str, float]:
    chain = waterfall(merged(report, SAID if said is None else said), READY_S, FIRST_TOKEN_S)
    return {name.split("_", 1)[1]: value for name, value in waterfall_metrics(chain).items()}


def test_each_second_belongs_to_the_innermost_phase_of_the_slowest_rank():
    """By hand: what goes on inside is taken out of what waits for it, and the fast rank is nowhere added."""
    assert metrics_of(ProbeReport((SERVER, CORE, FAST, SLOW))) == pytest.approx(
        {
            "api_server_imports_s": 5.0,
            "config_s": 1.0,
            "engine_client_s": 1.0 + 1.0,  # before the engine core's process, and behind its init
            "engine_core_imports_s": 3.0,
            "engine_core_init_s": 1.0 + 0.5,
            "worker_imports_s": 4.5,
            "init_device_s": 1.5,
            "build_model_s": 0.5 + 0.5,
            "load_weights_s": 3.0,
            "process_weights_s": 1.0,
            "profile_s": 3.0,  # TP0's compilation is not TP1's
            "kv_cache_s": 1.0,
            "warm_up_s": 1.1,
            "capture_s": 0.4,
            "server_s": 1.0,
            "first_token_s": 1.0,
            "unattributed_s": 0.0,
        }
    )


def test_what_a_rank_compiled_is_taken_out_of_its_profile():
    """The log tells it, for the rank or for all."""
    found = metrics_of(ProbeReport((SERVER, CORE, FAST)))

    assert (found["profile_s"], found["compile_s"]) == (1.5, 1.5)


def test_a_capture_that_the_probe_saw_is_not_taken_from_the_log():
    """There it is rounded to whole seconds."""
    seen = replace(FAST, spans=(*FAST.spans, span("capture", 26.5, 27.0)))

    assert metrics_of(ProbeReport((SERVER, CORE, seen)))["capture_s"] == 0.5


def test_what_the_probe_saw_of_compiling_is_not_taken_from_the_log():
    """There only the first rank's may be printed."""
    seen = replace(SLOW, spans=(*SLOW.spans, span("compile", 23.0, 24.0)))

    assert metrics_of(ProbeReport((SERVER, CORE, FAST, seen)))["compile_s"] == 1.0


def test_a_worker_inside_the_engine_core_has_no_imports_of_its_own():
    """As on one GPU: the rank reports from the engine core's process."""
    both = replace(CORE, rank="TP0", spans=(*CORE.spans, *FAST.spans))
    found = metrics_of(ProbeReport((SERVER, both)))

    assert "worker_imports_s" not in found
    assert found["engine_core_imports_s"] == 3.0
    assert found["load_weights_s"] == 1.0
    assert [lane.name for lane in lanes(merged(ProbeReport((SERVER, both)), []), READY_S)] == [
        "API server",
        "engine core TP0",
    ]


def test_what_no_process_reported_is_unattributed():
    """Without the engine core and the workers the server's wait for them is all that is known; without it nothing."""
    assert metrics_of(ProbeReport((SERVER,)))["engine_client_s"] == 23.0
    assert metrics_of(ProbeReport((FAST,)), said=[])["unattributed_s"] == pytest.approx(
        31.0 - 4.0 - 2.0 - 3.0 - 5.5 - 1
    )
    assert waterfall(merged(ProbeReport(), SAID), READY_S, FIRST_TOKEN_S) == []
    assert waterfall_metrics([]) == {}


def test_what_did_not_end_is_no_phase():
    """How long it would have taken is unknown."""
    broken = replace(FAST, spans=(span("init_device", 15.0, 17.0), span("load_model", 17.0, None)))

    assert "build_model_s" not in metrics_of(ProbeReport((SERVER, CORE, broken)))
    assert [part.name for part in lanes(merged(ProbeReport((broken,)), []), None)[0].spans] == [
        "worker_imports",
        "init_device",
    ]


def test_too_much_that_is_unattributed_is_a_warning():
    """From 5 % of the start on."""
    assert (
        unattributed_warnings({"waterfall/01_config_s": 95.0, "waterfall/99_unattributed_s": 5.0, "ready_s": 1.0}) == []
    )
    found = unattributed_warnings({"waterfall/01_config_s": 90.0, "waterfall/99_unattributed_s": 10.0})

    assert list(map(str, found)) == ["10.00 s of 100.00 s (10%) belong to no phase: they are unattributed"]
    assert unattributed_warnings({}) == []


def test_parallel_ranks_stand_side_by_side():
    """Every process has a lane of its own, with its own times."""
    found = {lane.name: {part.name: part for part in lane.spans} for lane in lanes(
        merged(ProbeReport((SERVER, CORE, FAST, SLOW)), SAID), READY_S
    )}  # fmt: skip

    assert list(found) == ["API server", "engine core", "TP0", "TP1"]
    assert found["TP0"]["load_weights"].duration_s == 1.0
    assert found["TP1"]["load_weights"].duration_s == 3.0
    compiled = found["TP0"]["compile"]
    assert (compiled.start_s, compiled.end_s, compiled.source) == (22.5, 24.0, "log")
    assert "compile" not in found["TP1"]


def test_a_second_api_server_imports_from_its_own_start():
    """`vllm serve` starts one for each data-parallel rank: what was executed is their parent, whose config comes first."""
    parent = replace(SERVER, spans=(span("config", 5.0, 6.0),))
    child = replace(SERVER, pid=9, parent=1, started_s=8.0, imported_s=12.0, spans=(span("engine_client", 12.0, 29.0),))
    found = metrics_of(ProbeReport((parent, child)), [])

    assert found["config_s"] == 1.0
    assert found["api_server_imports_s"] == 5.0 + 4.0
    assert found["engine_client_s"] == 2.0 + 17.0  # the parent's, which starts the others, and the child's
    assert found["unattributed_s"] == 0.0


def test_the_slowest_rank_is_the_last_to_hold_its_weights():
    """Not the one that loaded longest, nor the last to start."""
    slow = slowest(processes_of(merged(ProbeReport((FAST, SLOW)), [])))

    assert slow
    assert slow.rank == "TP1"
    assert slowest(processes_of(merged(ProbeReport((SERVER, CORE)), []))) is None


def test_the_numbers_sort_into_the_order_of_the_start():
    """MLflow sorts metrics by name."""
    names = list(waterfall_metrics(told(name, None, 0.0, 1.0) for name in reversed(STEPS)))

    assert names == sorted(names)
    assert names[-1] == "waterfall/99_unattributed_s"


TIMES = st.floats(-5.0, 40.0, allow_nan=False)
SPAN_NAMES = (
    "config", "engine_client", "engine_core_init", "init_device", "load_model", "load_weights", "process_weights",
    "profile", "kv_cache", "warm_up", "capture",
)  # fmt: skip
SPANS = st.builds(span, st.sampled_from(SPAN_NAMES), TIMES, st.none() | TIMES)
PROCESSES = st.builds(
    ProbeProcess,
    pid=st.integers(1, 4), parent=st.integers(0, 4), kind=st.sampled_from(["api_server", "engine_core", "worker"]),
    rank=st.sampled_from([None, "TP0", "TP1"]), started_s=st.none() | TIMES, imported_s=TIMES,
    spans=st.lists(SPANS, max_size=6).map(tuple),
)  # fmt: skip


@given(st.lists(PROCESSES, min_size=1, max_size=5).map(tuple), st.floats(0.0, 30.0), st.floats(0.001, 5.0))
def test_the_chain_adds_up_whatever_was_reported(processes, ready_s, answer_s):
    """Without a gap and without an overlap, from exec to the first token: clocks that contradict each other too."""
    end_s = ready_s + answer_s
    chain = waterfall(merged(ProbeReport(processes), []), ready_s, end_s)

    assert (chain[0].start_s, chain[-1].end_s) == (0.0, end_s)
    assert all(earlier.end_s == later.start_s for earlier, later in pairwise(chain))
    assert sum(waterfall_metrics(chain).values()) == pytest.approx(end_s)
