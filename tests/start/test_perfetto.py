"""The trace file is what the Trace Event Format says, and shows the tree."""

import json

from bench.start.perfetto import PID_MAX, perfetto, write_trace
from bench.start.trace import trace_of
from bench.vllm.probe_report import ProbeReport
from made_starts import LOADED, every, process, span, startup, told, two_ranks


def events(report, phase, **known: object):
    found = perfetto(trace_of(startup(report, **known)))["traceEvents"]
    return [event for event in found if event["ph"] == phase]


def test_every_event_has_what_its_kind_must_have():
    """Name, process and thread; a complete event its time and duration in microseconds, and neither is negative."""
    found = perfetto(trace_of(startup(two_ranks(LOADED))))

    assert found.keys() == {"displayTimeUnit", "traceEvents"}
    assert found["displayTimeUnit"] == "ms"
    for event in found["traceEvents"]:
        assert event["ph"] in {"X", "M", "i"}
        assert isinstance(event["name"], str)
        assert all(isinstance(event[key], int) and event[key] >= 0 for key in ("pid", "tid", "ts"))
        assert event["ph"] != "X" or (isinstance(event["dur"], int) and event["dur"] >= 0)
        assert event["ph"] != "M" or event["args"].keys() < {"name", "sort_index"}


def test_every_span_is_an_event_in_microseconds():
    """With its attributes as arguments."""
    tree = trace_of(startup(two_ranks()))
    found = events(two_ranks(), "X")
    (loading,) = (event for event in found if event["name"] == "load weights")

    assert len(found) == len(every(tree))
    assert (loading["ts"], loading["dur"], loading["pid"], loading["cat"]) == (20_000_000, 2_000_000, 10, "phase")
    assert loading["args"]["delivered_bytes"] == 7


def test_processes_have_their_names_and_their_order():
    """The start itself is one, above the others."""
    found = events(two_ranks(), "M")
    names = {event["pid"]: event["args"]["name"] for event in found if event["name"] == "process_name"}
    order = [event["pid"] for event in found if event["name"] == "process_sort_index"]

    assert names == {1: "auto #2", 2: "API server", 5: "Engine core", 10: "Worker TP0", 11: "Worker TP1"}
    assert order == [1, 2, 5, 10, 11]


def test_ranks_that_only_the_log_knows_are_processes_of_their_own():
    """Their numbers are none that Linux gives."""
    said = [told("load_model", rank, 10, 20) for rank in ("TP0", "TP1")]

    assert {event["pid"] for event in events(ProbeReport(), "X", told=said)} == {1, PID_MAX + 1, PID_MAX + 2}


def test_on_one_thread_spans_only_nest():
    """The format knows no other way; what overlaps is drawn beside."""
    report = ProbeReport(
        (process(3, 2, "worker", span("a", 10, 20), span("b", 15, 25), span("c", 16, 18), rank="TP0"),)
    )
    lanes = {event["name"]: event["tid"] for event in events(report, "X")}

    assert lanes == {"auto #2": 1, "Worker TP0": 1, "imports": 1, "a": 1, "b": 2, "c": 1}


def test_ready_is_a_line_across_all():
    """An instant event, global."""
    (mark,) = events(two_ranks(), "i")

    assert (mark["name"], mark["ts"], mark["s"]) == ("ready", 29_000_000, "g")


def test_the_file_is_written_beside_the_log(tmp_path):
    """None where there is nothing to draw."""
    path = write_trace(startup(told=[told("load_weights", None, 10, 20)]), tmp_path)

    assert path == tmp_path / "trace.json"
    assert json.loads(path.read_text())["traceEvents"]
    assert write_trace(startup(), tmp_path / "nowhere") is None
