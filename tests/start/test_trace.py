"""A start becomes a tree: processes, what they did, all within what it is in."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.start.record import load_startup
from bench.start.trace import trace_of
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from made_starts import LOADED, every, failed, named, process, span, startup, told, two_ranks


def test_a_start_lasts_to_its_first_token():
    """Its name is the start's, and when it was ready is marked."""
    tree = trace_of(startup(two_ranks(LOADED)))

    assert (tree.name, tree.kind, tree.started_s, tree.ended_s) == ("auto #2", "start", 0.0, 30.0)
    assert tree.marks == {"ready": 29.0}
    assert tree.attributes == {"ready_s": 29.0, "first_token_s": 30.0}


def test_a_process_is_below_the_one_that_started_it():
    """By the parent's pid; each is there to the end."""
    tree = trace_of(startup(two_ranks(LOADED)))
    core = named(tree, "API server", "Engine core")

    assert [child.name for child in tree.children] == ["API server"]
    assert [child.name for child in core.children] == ["imports", "Worker TP0", "Worker TP1"]
    assert {found.ended_s for found in every(tree) if found.kind == "process"} == {30.0}
    assert named(core, "Worker TP1").attributes == {"pid": 11, "rank": "TP1", "process": "worker"}


def test_a_process_of_an_unknown_parent_is_below_the_one_of_the_kind_that_starts_it():
    """A fork server's child, say, or Ray's."""
    report = two_ranks(LOADED)
    strays = tuple(replace(each, parent=77) for each in report.processes)

    assert trace_of(startup(ProbeReport(strays))) == trace_of(startup(report))


def test_a_process_of_which_nobody_knows_who_started_it_is_below_the_start():
    """Two engine cores may both have done so, and there is no API server to be their parent."""
    cores = [process(2, 99, "engine_core"), process(3, 99, "engine_core")]
    tree = trace_of(startup(ProbeReport((*cores, process(4, 99, "worker", rank="DP0_TP0")))))

    assert [child.name for child in tree.children] == ["Engine core", "Engine core", "Worker DP0_TP0"]


def test_the_look_at_the_model_ends_with_what_is_known_of_it():
    """Its process is gone long before the first token."""
    report = ProbeReport((process(1, 99, "api_server"), process(3, 1, "model_inspection")))

    assert named(trace_of(startup(report)), "Model inspection").ended_s == 3.5


def test_imports_are_from_the_process_start_to_the_probe():
    """Without a known start there are none."""
    known, unknown = process(4, 1, "worker", rank="TP0"), process(6, 1, "worker", rank="TP1")
    tree = trace_of(startup(ProbeReport((known, replace(unknown, started_s=None)))))
    imports = named(tree, "Worker TP0", "imports")

    assert (imports.started_s, imports.ended_s) == (4.0, 4.5)
    assert (named(tree, "Worker TP1").started_s, named(tree, "Worker TP1").children) == (6.5, ())


def test_a_call_is_in_the_call_around_it():
    """The probe writes them one after the other."""
    rank = named(trace_of(startup(two_ranks(LOADED))), "Worker TP0")

    assert [child.name for child in rank.children] == ["imports", "load model"]
    assert [child.name for child in named(rank, "load model").children] == ["load weights"]


def test_a_call_has_what_it_moved_and_the_memory_at_both_ends():
    """What was not measured is absent; what was measured as none is 0."""
    assert named(trace_of(startup(two_ranks())), "load weights").attributes == {
        "phase": "load_weights",
        "of": "Loader",
        "read_bytes": 5,
        "delivered_bytes": 7,
        "delivered_tensors": 3,
        "blocked_s": 0.5,
        "rss_anon_before_gib": 1.0,
        "rss_file_before_gib": 0.25,
        "rss_shmem_before_gib": 0.0,
        "rss_anon_after_gib": 2.0,
        "rss_file_after_gib": 0.25,
        "rss_shmem_after_gib": 0.0,
        "gpu_allocated_after_gib": 8.0,
    }


@pytest.mark.parametrize(("name", "title"), [("kv_cache", "KV cache"), ("brand_new_thing", "brand new thing")])
def test_a_call_that_nobody_has_heard_of_has_a_name_too(name, title):
    """The probe may learn more than is known here."""
    assert named(trace_of(startup(two_ranks(span(name, 20, 21)))), "Worker TP1", title).attributes["phase"] == name


def test_a_call_that_did_not_end_ends_with_what_it_was_in():
    """The rank was killed while it loaded; the start was over at 35 s."""
    report = two_ranks(span("load_model", 20, None), span("load_weights", 21, None))
    tree = trace_of(failed(report))
    model = named(tree, "Worker TP1", "load model")
    weights = named(model, "load weights")

    assert (tree.ended_s, model.ended_s, weights.started_s, weights.ended_s) == (35.0, 35.0, 21.0, 35.0)
    assert weights.attributes["unfinished"] is True
    assert "clipped_s" not in weights.attributes


def test_a_call_of_which_the_end_was_lost_ends_with_the_call_around_it():
    """What comes behind that call is not swallowed."""
    report = two_ranks(span("load_model", 20, 24), span("load_weights", 21, None), span("kv_cache", 25, 26))
    rank = named(trace_of(startup(report)), "Worker TP1")

    assert [child.name for child in rank.children] == ["imports", "load model", "KV cache"]
    assert named(rank, "load weights").ended_s == 24.0


def test_a_failed_start_says_why():
    """And so does a call that raised."""
    tree = trace_of(failed(two_ranks(span("load_weights", 20, 21, failed="OSError"))))

    assert tree.attributes["failed"] == "a worker was killed"
    assert named(tree, "Worker TP1", "load weights").attributes["failed"] == "OSError"


def test_what_reaches_out_is_cut_and_says_so():
    """A call that went on behind the first token."""
    found = named(trace_of(startup(two_ranks(span("warm_up", 29.5, 32)))), "warm up")

    assert (found.started_s, found.ended_s, found.attributes["clipped_s"]) == (29.5, 30.0, 2.0)


def test_the_grain_of_the_kernels_clock_is_not_called_cut():
    """vLLM's own process begins up to 10 ms before exec, as the kernel tells it."""
    report = ProbeReport((replace(process(1, 99, "api_server"), started_s=-0.008),))
    found = named(trace_of(startup(report)), "API server")

    assert found.started_s == 0.0
    assert "clipped_s" not in found.attributes


def test_what_only_the_log_tells_is_in_the_process_that_said_it():
    """torch.compile of a rank, the engine's own, the first token; not what the probe has seen itself."""
    said = [
        told("start_worker", None, 5, 10),
        told("load_weights", "TP0", 20, 22),
        told("torch_compile", "TP1", 24, 26),
        told("init_engine", None, 23, 28),
        told("first_token", None, 29, 30),
    ]
    tree = trace_of(startup(two_ranks(LOADED), said))

    assert [child.name for child in tree.children] == ["API server", "first token"]
    assert [child.name for child in named(tree, "Engine core").children][-1] == "init engine"
    assert named(tree, "Worker TP1", "torch.compile").attributes == {
        "phase": "torch_compile", "rank": "TP1", "from": "the log"
    }  # fmt: skip
    assert len([found for found in every(tree) if found.name == "load weights"]) == 2


def test_what_the_log_tells_is_in_the_call_that_it_was_said_in():
    """Its duration is rounded, and its line was stamped a moment later."""
    said = [told("stream", "TP0", 19.993, 22.004)]
    found = named(trace_of(startup(two_ranks(), said)), "load weights", "stream")

    assert (found.started_s, found.ended_s) == (20.0, 22.0)


def test_what_the_log_tells_of_a_moment_behind_a_call_is_not_in_it():
    """However short it is."""
    said = [told("stream", "TP0", 22.005, 22.010)]
    found = named(trace_of(startup(two_ranks(), said)), "load model", "stream")

    assert (found.started_s, found.ended_s) == (22.005, 22.010)
    assert named(trace_of(startup(two_ranks(), said)), "load weights").children == ()


def test_ranks_are_told_apart_where_only_the_log_tells_of_them():
    """The probe reported nothing: a recorded log, or a vLLM that it could not look into."""
    said = [told("load_model", rank, 10, 20) for rank in ("TP0", "TP1")] + [told("load_weights", "TP1", 11, 19)]
    tree = trace_of(startup(told=said))

    assert [child.name for child in tree.children] == ["Worker TP0", "Worker TP1"]
    assert [found.name for found in every(tree.children[1])] == ["Worker TP1", "load model", "load weights"]


def test_a_start_in_which_nothing_can_be_placed_has_no_trace():
    """A log without stamps."""
    assert trace_of(startup(ProbeReport())) is None


def test_a_start_of_an_earlier_bench_has_what_its_log_tells(tmp_path):
    """Its startup.json does not say when exec was on the probe's clock."""
    startup().save(tmp_path)
    path = tmp_path / "startup.json"
    tree = json.loads(path.read_text())
    del tree["exec_at_s"], tree["spans"]
    phase = {"name": "load_weights", "rank": None, "started_at_s": 10.0, "ended_at_s": 20.0}
    path.write_text(json.dumps(tree | {"phases": [phase], "chain": [], "lanes": []}))
    loaded = load_startup(tmp_path)

    assert loaded.exec_at_s is None
    assert [found.name for found in every(trace_of(loaded))] == ["auto #2", "load weights"]


moments = some.floats(-1, 40)
calls = some.builds(span, some.sampled_from("abc"), moments, some.none() | moments).map(
    lambda each: replace(each, end_s=None if each.end_s is None else max(each.start_s, each.end_s))
)
processes = some.builds(
    ProbeProcess,
    pid=some.integers(1, 6),
    parent=some.integers(1, 6),
    kind=some.sampled_from(["api_server", "engine_core", "worker", "model_inspection"]),
    rank=some.none() | some.sampled_from(["TP0", "TP1"]),
    started_s=some.none() | moments,
    imported_s=moments,
    spans=some.lists(calls, max_size=5).map(tuple),
)
phases = some.builds(
    told, some.sampled_from("cd"), some.none() | some.sampled_from(["TP0", "TP2"]), moments, moments
).filter(lambda each: each.start_s <= each.until_s)
reports = some.lists(processes, max_size=6, unique_by=lambda each: each.pid).map(tuple).map(ProbeReport)


@given(reports, some.lists(phases, max_size=4), some.booleans())
def test_whatever_was_reported_is_in_the_tree_and_within_what_it_is_in(report, said, did_fail):
    """Each process and each call once, also where clocks, pids and order make no sense."""
    tree = trace_of((failed if did_fail else startup)(report, said))
    spans = every(tree) if tree else []

    assert len([found for found in spans if "pid" in found.attributes]) == len(report.processes)
    assert len([found for found in spans if "of" in found.attributes]) == sum(
        len(each.spans) for each in report.processes
    )
    for outer in spans:
        for inner in outer.children:
            assert outer.started_s <= inner.started_s <= inner.ended_s <= outer.ended_s
