"""Whole starts of the fake vLLM: what the probe saw in them is part of their runs, and so is what it did not see."""

import json
from collections.abc import Callable

import pytest

from bench.start.metrics import find
from bench.tracking.page import CURVES
from conftest import Workplace, mlflow_client, quiet


@pytest.fixture(scope="module")
def probed(new_workplace: Callable[[], Workplace]) -> Workplace:
    """One start, of which everybody has reported."""
    place = new_workplace()
    place.bench()
    return place


def test_a_start_has_the_numbers_of_the_probe(probed):
    """Each rank's, and over all of them."""
    (run,) = probed.runs()
    metrics = run.data.metrics

    assert 0 < metrics["probe/load_weights_s"] == metrics["rank/TP0/probe/load_weights_s"] < metrics["ready_s"]
    assert metrics["probe/delivered_gib"] > 0
    assert metrics["probe/wait_for_bytes_s"] == pytest.approx(metrics["probe/load_weights_s"] / 2)
    assert "the probe" not in run.data.tags.get("bench.warnings", "")


def test_whatever_a_start_logs_is_in_the_catalogue(workplace):
    """Every metric of every start of a sweep, whoever measured it: the clocks, the probe, the log, the host. Curves are for looking."""
    workplace.bench("-m", "load_format=auto,dummy", "tensor_parallel_size=2")
    names = {name for run in workplace.runs() if run.data.tags["bench.kind"] == "start" for name in run.data.metrics}

    assert {"ready_s", "rank/TP1/probe/load_weights_s", "rig/busy_cores", "memory/host_anon_peak_gib"} <= names
    assert sorted(name for name in names if find(name) is None and not name.startswith(CURVES)) == []


def test_the_waterfall_of_a_start_adds_up(workplace):
    """Numbered in the order of the start, for MLflow, with nothing left out."""
    workplace.bench("tensor_parallel_size=2")
    (run,) = workplace.runs()
    parts = {name: value for name, value in run.data.metrics.items() if name.startswith("waterfall/")}

    assert sum(parts.values()) == pytest.approx(run.data.metrics["first_token_s"], abs=1e-6)
    assert sorted(parts)[:3] == [
        "waterfall/01_api_server_imports_s",
        "waterfall/02_config_s",
        "waterfall/03_engine_client_s",
    ]
    assert sorted(parts)[-2:] == ["waterfall/17_first_token_s", "waterfall/99_unattributed_s"]
    assert all(value >= 0 for value in parts.values())


def test_a_start_has_a_trace(probed):
    """In MLflow, as long as the start to its first token, and as a file for Perfetto; what the probe wrote lies beside it."""
    (run,) = probed.runs()
    with quiet():
        (trace,) = mlflow_client(probed.folder).search_traces(
            locations=[run.info.experiment_id], run_id=run.info.run_id
        )
    root, files = trace.data.spans[0], probed.artifacts(run)
    events = json.loads(files["trace.json"])["traceEvents"]

    assert abs((root.end_time_ns - root.start_time_ns) / 1e9 - run.data.metrics["first_token_s"]) < 0.01
    of_the_rank = [span.name for span in trace.data.spans if span.attributes.get("rank") == "TP0"]
    assert of_the_rank == ["Worker TP0", "profiling run"]  # the latter is in the log alone
    assert [event["name"] for event in events if event["ph"] == "X"].count("load weights") == 1
    assert len([name for name in files if name.startswith("probe/")]) == 3


def test_a_start_says_that_the_probe_saw_nothing(workplace):
    """The log's numbers remain, and the start is none the worse."""
    done = workplace.bench("vllm.env.FAKE_MODE=unprobed")
    (run,) = workplace.runs()

    assert done.code == 0
    assert run.info.status == "FINISHED"
    assert "phase/load_weights_s" in run.data.metrics
    assert not [name for name in run.data.metrics if "probe" in name]
    assert run.data.tags["bench.warnings"].splitlines() == [
        "probe: the probe has nothing of the API server",
        "probe: the probe has nothing of the engine core",
        "probe: the probe has nothing of rank TP0",
    ]


def test_without_the_probe_nothing_of_bench_is_inside_vllm(workplace):
    """And nothing is missed: it was not asked for."""
    workplace.bench("probe=false", "vllm.env.FAKE_MODE=ok")
    (run,) = workplace.runs()

    assert run.info.status == "FINISHED"
    assert not [name for name in run.data.metrics if name.startswith(("probe/", "waterfall/"))]
    assert "probe" not in run.data.tags.get("bench.warnings", "")


def test_the_processor_time_of_a_start_is_told_apart_from_that_of_bench(workplace):
    """What vLLM used, and what looking at it cost."""
    workplace.bench()
    (run,) = workplace.runs()

    assert run.data.metrics["cpu/vllm_s"] > 0
    assert 0 < run.data.metrics["cpu/bench_s"] < 60


def test_a_start_that_failed_says_how_far_each_rank_came(workplace):
    """Here vLLM was killed before any of its processes had reported."""
    workplace.bench("vllm.env.FAKE_MODE=unprobed", "vllm.env.FAKE_LOG=/nowhere.log")
    (run,) = workplace.runs()

    assert run.info.status == "FAILED"
    assert "the probe has nothing of rank TP0" in run.data.tags["bench.warnings"]
