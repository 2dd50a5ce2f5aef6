"""A start's trace, in a real store: found by its run, with the start's times, whatever became of the start."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.errors import TrackingError
from bench.start.record import Startup
from bench.start.warning import ResultWarning, WarningKind
from bench.tracking import runs
from bench.tracking.runs import log_start
from bench.tracking.store import connect
from bench.tracking.traces import log_trace
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeReport
from conftest import quiet
from made_starts import STARTED_AT, failed, startup

EXEC_AT_S = 500.0


@dataclass(frozen=True)
class Kept:
    """A SQLite store, and the folder of a start whose two ranks have reported."""

    uri: str
    folder: Path

    def log(self, start: Startup) -> str:
        with quiet():
            return log_start(compose_settings([f"tracking.uri={self.uri}"])[0].tracking, start, self.folder)

    def report(self) -> ProbeReport:
        """What its processes wrote."""
        return read_events(self.folder / "probe", EXEC_AT_S)

    def run(self, run_id: str):
        return connect(self.uri).client.get_run(run_id)

    def found(self, run_id: str) -> list:
        """As a user finds it."""
        import mlflow

        with quiet():
            place = self.run(run_id).info.experiment_id
            return mlflow.search_traces(run_id=run_id, locations=[place], return_type="list")


@pytest.fixture
def kept(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    probe = tmp_path / "start" / "probe"
    probe.mkdir(parents=True)
    for pid, kind, rank in (
        (2, "api_server", None),
        (5, "engine_core", None),
        (10, "worker", "TP0"),
        (11, "worker", "TP1"),
    ):
        write(probe, pid, kind, rank)
    return Kept(os.environ["MLFLOW_TRACKING_URI"], tmp_path / "start")


def write(probe: Path, pid: int, kind: str, rank: str | None) -> None:
    """A process that started at as many seconds as its number says; the second rank's loading did not end."""
    began_s = EXEC_AT_S + pid
    parent = {"api_server": 1, "engine_core": 2, "worker": 5}[kind]
    facts = {"pid": pid, "parent": parent, "kind": kind, "started_s": began_s, "imported_s": began_s + 1}
    events = [{"event": "process", "t": began_s + 1, **facts}]
    if rank:
        events.append({"event": "rank", "t": began_s + 2, "rank": rank})
        events.append({"event": "begin", "t": EXEC_AT_S + 20, "span": 1, "name": "load_weights", "of": "Loader"})
    if rank == "TP0":
        events.append({"event": "end", "t": EXEC_AT_S + 22.5, "span": 1, "failed": None})
    (probe / f"{pid}.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


def test_a_start_has_a_trace_that_is_found_by_its_run(kept):
    """Its root lasts to the first token, within 10 ms, from the start's real time on."""
    run_id = kept.log(startup(kept.report(), exec_at_s=EXEC_AT_S))
    (trace,) = kept.found(run_id)
    root = trace.data.spans[0]

    assert root.parent_id is None
    assert abs((root.end_time_ns - root.start_time_ns) / 1e9 - 30.0) < 0.01
    assert abs(root.start_time_ns / 1e9 - STARTED_AT) < 0.001
    assert (trace.info.request_time, trace.info.execution_duration) == (round(STARTED_AT * 1000), 30_000)
    assert (trace.info.state, root.name) == ("OK", "auto #2")
    assert [(event.name, event.timestamp) for event in root.events] == [("ready", round((STARTED_AT + 29) * 1e9))]


def test_a_trace_has_a_span_for_each_rank(kept):
    """Below the engine core, and what the rank did below that."""
    (trace,) = kept.found(kept.log(startup(kept.report(), exec_at_s=EXEC_AT_S)))
    spans = {span.span_id: span for span in trace.data.spans}
    ranks = {span.attributes["rank"]: span for span in spans.values() if "rank" in span.attributes}
    (loading,) = (
        span for span in spans.values() if span.parent_id == ranks["TP0"].span_id and span.name == "load weights"
    )

    assert ranks.keys() == {"TP0", "TP1"}
    assert {spans[span.parent_id].name for span in ranks.values()} == {"Engine core"}
    assert (loading.end_time_ns - loading.start_time_ns, loading.span_type) == (2_500_000_000, "PHASE")


def test_a_killed_start_has_a_trace_too(kept):
    """Its root is an error and lasts until the start was over; so is what the killed rank was in the middle of."""
    run_id = kept.log(failed(kept.report(), exec_at_s=EXEC_AT_S))
    (trace,) = kept.found(run_id)
    root, loading = trace.data.spans[0], [span for span in trace.data.spans if span.name == "load weights"]

    assert kept.run(run_id).info.status == "FAILED"
    assert (trace.info.state, trace.info.response_preview) == ("ERROR", "failed: a worker was killed")
    assert (root.status.status_code, root.status.description) == ("ERROR", "a worker was killed")
    assert root.end_time_ns - root.start_time_ns == 35_000_000_000
    assert {span.attributes.get("unfinished", False): span.status.status_code for span in loading} == {
        False: "OK",
        True: "ERROR",
    }


def test_a_trace_that_is_written_again_is_the_same_one(kept):
    """A try that broke off may have left half of it."""
    from bench.start.trace import trace_of

    start = startup(kept.report(), exec_at_s=EXEC_AT_S)
    run_id = kept.log(start)
    store = connect(kept.uri)
    with quiet():
        log_trace(store, kept.run(run_id).info.experiment_id, run_id, trace_of(start), start.started_at)
    (trace,) = kept.found(run_id)

    assert len(trace.data.spans) == len({span.span_id for span in trace.data.spans}) == 11


def test_what_the_probe_wrote_is_kept_with_the_run(kept):
    """Whoever has another idea of a trace can make it from that."""
    (kept.folder / "vllm.log").write_text("hello\n")
    client, run_id = connect(kept.uri).client, kept.log(startup(kept.report(), exec_at_s=EXEC_AT_S))

    assert {file.path for file in client.list_artifacts(run_id)} == {"probe", "vllm.log"}
    assert {file.path for file in client.list_artifacts(run_id, "probe")} == {
        f"probe/{pid}.jsonl" for pid in (2, 5, 10, 11)
    }


def test_a_start_of_which_nothing_can_be_placed_has_no_trace(kept):
    """And no warning: it may be a log without stamps."""
    run_id = kept.log(startup())

    assert kept.found(run_id) == []
    assert "bench.warnings" not in kept.run(run_id).data.tags


@pytest.mark.parametrize("error", [NotImplementedError("version 3.3 is less than 3.4"), OSError("no space left")])
def test_a_store_that_refuses_the_trace_keeps_the_run(kept, monkeypatch, error):
    """It would refuse it again; the run says so, and is as whole as before."""

    def refusing(*_: object) -> None:
        raise error

    monkeypatch.setattr(runs, "log_trace", refusing)
    run = kept.run(
        kept.log(startup(kept.report(), exec_at_s=EXEC_AT_S, warnings=[ResultWarning(WarningKind.CLOCK, "the first")]))
    )
    first, second = run.data.tags["bench.warnings"].splitlines()

    assert run.info.status == "FINISHED"
    assert first == "clock: the first"
    assert second.startswith("trace: MLflow has no trace of this start: ")
    assert str(error) in second


def test_a_server_that_goes_away_at_the_trace_makes_the_start_be_brought_in_again(kept, monkeypatch):
    """Nothing else can be written to it either."""

    def gone(*_: object, **__: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(runs, "log_trace", gone)
    monkeypatch.setattr(type(connect(kept.uri).client), "set_terminated", gone)

    with pytest.raises(TrackingError, match="connection refused"):
        kept.log(startup(kept.report(), exec_at_s=EXEC_AT_S))
