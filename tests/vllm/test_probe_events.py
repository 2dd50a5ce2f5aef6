"""What the probe wrote becomes processes, spans and numbers; what it did not write is said."""

import json
from pathlib import Path

import pytest

from bench.start.evidence import rank_names
from bench.start.measured_metrics import probe_metrics, read_while_loading
from bench.start.outputs import missing_processes, probe_warnings
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeReport

EXEC_AT_S = 1000.0
GIB = 2**30


class Written:
    """One process's file, event by event."""

    def __init__(self, folder: Path, pid: int, kind: str, rank: str | None = None) -> None:
        self.path = folder / f"{pid}.jsonl"
        self.spans = 0
        self.write("process", 1005, pid=pid, parent=1, kind=kind, started_s=1001.5, imported_s=1005.0)
        if rank:
            self.write("rank", 1006, rank=rank, kind=kind)

    def write(self, event: str, t: float, **facts: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"event": event, "t": t, **facts}) + "\n")

    def span(self, name: str, begin: float, end: float | None, read: int = 0) -> int:
        self.spans += 1
        self.write("begin", begin, span=self.spans, name=name, of="Loader", read_bytes=100, rss_anon_bytes=GIB)
        if end is not None:
            self.write("end", end, span=self.spans, failed=None, read_bytes=100 + read, rss_anon_bytes=2 * GIB)
        return self.spans

    def delivered(
        self, span: int | None, size: int, *, iterator: int = 1, blocked_s: float = 0.5, aside: bool = False
    ) -> None:
        self.write(
            "delivered", 1020, iterator=iterator, name="weights", span=span, aside=aside, began_s=1010.0, bytes=size, tensors=3, blocked_s=blocked_s
        )  # fmt: skip


@pytest.fixture
def two_ranks(tmp_path: Path) -> tuple[Written, Written]:
    """An API server, an engine core and two ranks; what the ranks do is the test's to write."""
    Written(tmp_path, 1, "api_server")
    Written(tmp_path, 2, "engine_core")
    return Written(tmp_path, 3, "worker", "TP0"), Written(tmp_path, 4, "worker", "TP1")


def read(folder: Path) -> ProbeReport:
    return read_events(folder, EXEC_AT_S)


def test_times_become_seconds_since_exec(tmp_path):
    """The driver knows exec on the probe's clock."""
    Written(tmp_path, 3, "worker", "TP0").span("load_weights", 1010, 1012.5)
    (process,) = read(tmp_path).processes
    (span,) = process.spans

    assert (process.started_s, process.imported_s) == (1.5, 5.0)
    assert (span.start_s, span.end_s) == (10.0, 12.5)


def test_a_span_has_what_was_read_and_the_memory_at_both_ends(tmp_path):
    """What was not read is None."""
    Written(tmp_path, 3, "worker").span("load_weights", 1010, 1012, read=7)
    (span,) = read(tmp_path).processes[0].spans

    assert span.facts.read_bytes == 7
    assert (span.facts.before.rss_anon_gib, span.facts.after.rss_anon_gib) == (1.0, 2.0)
    assert span.facts.after.gpu_used_gib is None


def test_a_span_that_did_not_end_has_no_end(tmp_path):
    """The process was killed in it; what had been delivered is kept."""
    worker = Written(tmp_path, 3, "worker", "TP0")
    worker.delivered(worker.span("load_weights", 1010, None), 5)
    (span,) = read(tmp_path).processes[0].spans

    assert (span.end_s, span.facts.after, span.facts.read_bytes) == (None, None, None)
    assert span.facts.delivered_bytes == 5


def test_a_line_that_was_cut_is_left_out_and_said(tmp_path):
    """As by a disk that filled up, or a kill."""
    worker = Written(tmp_path, 3, "worker", "TP0")
    worker.span("load_weights", 1010, 1012)
    worker.path.write_text(worker.path.read_text() + '{"event": "beg')
    report = read(tmp_path)

    assert len(report.processes[0].spans) == 1
    assert probe_warnings(report) == ["the probe in TP0: 1 lines of its events are cut"]


def test_a_file_of_which_the_first_line_was_cut_is_said(tmp_path):
    """Nothing in it can be placed."""
    (tmp_path / "7.jsonl").write_text('{"event": "proc')

    assert probe_warnings(read(tmp_path)) == ["7.jsonl of the probe does not say whose it is"]


def test_a_folder_that_is_not_there_is_an_empty_report(tmp_path):
    """As of a start that was never executed."""
    assert read(tmp_path / "probe") == ProbeReport()


def test_the_last_word_of_an_iterator_counts(tmp_path):
    """It is written down every second, with all that it has delivered by then."""
    worker = Written(tmp_path, 3, "worker", "TP0")
    span = worker.span("load_weights", 1010, 1012)
    worker.delivered(span, 5)
    worker.delivered(span, 9)
    worker.delivered(span, 1, iterator=2)
    (found,) = read(tmp_path).processes[0].spans

    assert (found.facts.delivered_bytes, found.facts.delivered_tensors, found.facts.blocked_s) == (10, 6, 1.0)


def test_iterators_of_other_threads_count_where_the_loading_one_has_none(tmp_path):
    """Several threads that wait at once say nothing of how long the loading waited."""
    worker = Written(tmp_path, 3, "worker", "TP0")
    both, aside = worker.span("load_weights", 1010, 1012), worker.span("load_weights", 1013, 1014)
    worker.delivered(both, 5)
    worker.delivered(both, 5, iterator=2, aside=True)
    worker.delivered(aside, 3, iterator=3, aside=True)
    first, second = read(tmp_path).processes[0].spans

    assert (first.facts.delivered_bytes, first.facts.blocked_s) == (5, 0.5)
    assert (second.facts.delivered_bytes, second.facts.blocked_s) == (3, None)


def test_an_iterator_outside_of_every_call_is_a_span_by_itself(tmp_path):
    """Of a loader that the probe did not find."""
    Written(tmp_path, 3, "worker", "TP0").delivered(None, 5)
    (span,) = read(tmp_path).processes[0].spans

    assert (span.name, span.start_s, span.end_s, span.facts.delivered_bytes) == ("weights_iterator", 10.0, 20.0, 5)


def test_the_slowest_rank_sets_the_time(tmp_path, two_ranks):
    """Ranks load in parallel, so the start waits for the last of them."""
    for rank, seconds in zip(two_ranks, (2.0, 5.0), strict=True):
        rank.delivered(rank.span("load_weights", 1010, 1010 + seconds, read=GIB), GIB, blocked_s=seconds / 2)
        rank.span("process_weights", 1020, 1020 + seconds / 10)

    assert probe_metrics(read(tmp_path)) == {
        "probe/load_weights_s": 5.0,
        "probe/load_weights_skew_s": 3.0,
        "probe/process_weights_s": 0.5,
        "probe/wait_for_bytes_s": 2.5,
        "probe/delivered_gib": 2.0,
        "probe/read_gib": 2.0,
        "rank/TP0/probe/load_weights_s": 2.0,
        "rank/TP0/probe/process_weights_s": pytest.approx(0.2),
        "rank/TP0/probe/wait_for_bytes_s": 1.0,
        "rank/TP0/probe/delivered_gib": 1.0,
        "rank/TP0/probe/read_gib": 1.0,
        "rank/TP1/probe/load_weights_s": 5.0,
        "rank/TP1/probe/process_weights_s": pytest.approx(0.5),
        "rank/TP1/probe/wait_for_bytes_s": 2.5,
        "rank/TP1/probe/delivered_gib": 1.0,
        "rank/TP1/probe/read_gib": 1.0,
    }


def test_a_loader_that_delivers_nothing_has_no_bytes(tmp_path, two_ranks):
    """Absent, not 0: a dummy's weights come from nowhere."""
    for rank in two_ranks:
        rank.span("load_weights", 1010, 1011)
    metrics = probe_metrics(read(tmp_path))

    assert metrics["probe/load_weights_s"] == 1.0
    assert not [name for name in metrics if "delivered" in name or "wait" in name]


def test_two_models_in_one_rank_add_up(tmp_path):
    """A drafter is loaded behind the model. One rank has no skew."""
    worker = Written(tmp_path, 3, "worker", "TP0")
    worker.span("load_weights", 1010, 1012)
    worker.span("load_weights", 1013, 1014)
    metrics = probe_metrics(read(tmp_path))

    assert metrics["probe/load_weights_s"] == 3.0
    assert "probe/load_weights_skew_s" not in metrics


def test_the_slowest_rank_is_unknown_while_one_has_not_ended(tmp_path, two_ranks):
    """A worker that was killed may have been the slowest; the other's own time stays."""
    two_ranks[0].span("load_weights", 1010, 1012)
    two_ranks[1].span("load_weights", 1010, None)
    report = read(tmp_path)

    assert probe_metrics(report).keys() == {"rank/TP0/probe/load_weights_s", "rank/TP0/probe/read_gib"}
    assert missing_processes(report, ["TP0", "TP1"]) == ["rank TP1 ended while it was loading weights"]


def test_what_each_rank_read_while_it_loaded_is_told_apart(tmp_path, two_ranks):
    """Not what it read for its imports or its device; unknown where it did not come to an end."""
    two_ranks[0].span("init_device", 1006, 1007, read=5)
    two_ranks[0].span("load_weights", 1010, 1012, read=7)
    two_ranks[0].span("load_weights", 1012, 1013, read=1)
    two_ranks[1].span("load_weights", 1010, None)

    assert read_while_loading(read(tmp_path)) == {"TP0": 8, "TP1": None}


def test_nothing_is_missing_where_all_reported(tmp_path, two_ranks):
    """The process that inspects the model may be there or not: its result can come from a cache."""
    for rank in two_ranks:
        rank.span("load_weights", 1010, 1012)

    assert missing_processes(read(tmp_path), ["TP0", "TP1"]) == []


def test_who_did_not_report_is_said(tmp_path):
    """A plugin that fails is only logged by vLLM."""
    Written(tmp_path, 3, "worker", "TP0")

    assert missing_processes(read(tmp_path), ["TP0", "TP1"]) == [
        "the probe has nothing of the API server",
        "the probe has nothing of the engine core",
        "the probe has not seen rank TP0 load weights",
        "the probe has nothing of rank TP1",
    ]


def test_a_warning_of_several_ranks_is_said_once(tmp_path, two_ranks):
    """They run the same code."""
    for rank in two_ranks:
        rank.write("warning", 1010, text="no such name")
        rank.write("warning", 1011, text="no such name")

    assert probe_warnings(read(tmp_path)) == ["the probe in TP0, TP1: no such name"]


def test_the_last_rank_and_kind_of_a_process_count(tmp_path):
    """By arithmetic before the process groups are there, by their word after; a worker of Ray learns late what it is."""
    worker = Written(tmp_path, 3, "api_server", "TP0")
    worker.write("rank", 1007, rank="TP1", kind="worker")
    (process,) = read(tmp_path).processes

    assert (process.rank, process.kind) == ("TP1", "worker")


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ({"tensor": 2}, ["TP0", "TP1"]),
        ({"tensor": 1, "pipeline": 2}, ["PP0_TP0", "PP1_TP0"]),
        ({"tensor": 1, "pipeline": 1, "data": 2}, ["DP0_TP0", "DP1_TP0"]),
    ],
)
def test_ranks_are_named_as_the_probe_names_them(sizes, names):
    """TP always, the others where there are several."""
    assert rank_names(**sizes) == names


def test_processes_of_one_kind_are_told_apart_by_their_byte_code(tmp_path):
    """`vllm serve` has an API server for each data-parallel rank."""
    for pid, kind, rank in ((1, "api_server", None), (2, "api_server", None), (3, "worker", "TP0")):
        Written(tmp_path, pid, kind, rank).write("byte_code", 1010, **COUNTED)

    assert sorted(read(tmp_path).byte_code) == ["TP0", "api_server 1", "api_server 2"]


COUNTED = {"modules": 9, "written": 2, "missing": 1, "stale": 0, "unwritable": 0, "named": ["torch"], "writes": True}


@pytest.mark.parametrize(
    ("changed", "compiled"),
    [({}, 3), ({"written": 9}, None), ({"missing": -1}, None), ({"stale": 0.5}, None), ({"named": [5]}, None)],
)
def test_the_last_count_of_byte_code_holds_if_it_is_one(tmp_path, changed, compiled):
    """A process that is engine core and worker makes two; a file with a count of more than there is, is not believed."""
    process = Written(tmp_path, 3, "worker", "TP0")
    process.write("byte_code", 1010, **COUNTED | {"written": 0})
    process.write("byte_code", 1020, **COUNTED | changed)
    report = read(tmp_path)

    assert [each.byte_code.compiled for each in report.processes] == ([] if compiled is None else [compiled])
    assert len(report.unreadable) == (compiled is None)
