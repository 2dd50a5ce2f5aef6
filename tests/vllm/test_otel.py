"""What vLLM's processes sent becomes spans in seconds since exec, each once, and the stretches that nobody else measures."""

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from bench.vllm.otel import Body, OtelSpan, Stretch, read_spans, stretches, write_spans
from otel_messages import EXEC_AT, TRACE_ID, Sent, message, text

COMPILE = Sent("Compile graph", 20.0, 24.5)
US = 1e-6  # a double keeps UNIX time to a quarter of a microsecond


def span(name: str, started_s: float, ended_s: float, pid: int | None = 7) -> OtelSpan:
    return OtelSpan(name, pid, started_s, ended_s, "0" * 32, "0" * 16, None, None, {})


def test_a_span_is_in_seconds_since_exec():
    """Whatever the year: vLLM's spans carry nanoseconds since 1970."""
    (found,) = read_spans([Body(message(7, COMPILE))], EXEC_AT).spans

    assert (found.name, found.pid, found.trace_id, found.parent_id) == ("Compile graph", 7, TRACE_ID.hex(), None)
    assert (found.started_s, found.ended_s) == pytest.approx((20.0, 24.5), abs=US)


def test_two_ranks_with_the_same_ids_are_two_spans():
    """Both ranks seed their random numbers alike, and draw the ids of their spans from them."""
    bodies = [Body(message(pid, COMPILE)) for pid in (7, 8)]
    spans = read_spans(bodies, EXEC_AT).spans

    assert {each.span_id for each in spans} == {spans[0].span_id}
    assert sorted(each.pid for each in spans if each.pid) == [7, 8]


def test_one_rank_that_draws_the_same_id_again_has_two_spans():
    """vLLM seeds more than once in a process."""
    later = replace(COMPILE, started_s=30.0, ended_s=31.0)
    spans = read_spans([Body(message(7, COMPILE)), Body(message(7, later))], EXEC_AT).spans

    assert [each.started_s for each in spans] == pytest.approx([20.0, 30.0], abs=US)


def test_what_was_sent_twice_counts_once():
    """An exporter whose answer got lost sends its spans again."""
    assert len(read_spans([Body(message(7, COMPILE))] * 2, EXEC_AT).spans) == 1


def test_spans_come_by_their_start():
    """They were sent by their end."""
    outer = Sent("Warmup (GPU)", 10.0, 40.0, span_id=2)

    assert [each.name for each in read_spans([Body(message(7, COMPILE, outer))], EXEC_AT).spans] == [
        "Warmup (GPU)",
        "Compile graph",
    ]


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_is_read_as_its_encoding_says(encoding, pack):
    """OTEL_EXPORTER_OTLP_COMPRESSION is the user's to set."""
    assert len(read_spans([Body(pack(message(7, COMPILE)), encoding)], EXEC_AT).spans) == 1


@pytest.mark.parametrize(
    "bad",
    [
        Body(b"\xff\xff garbage"),
        Body(message(7, COMPILE)[:-5]),
        Body(b"no gzip", "gzip"),
        Body(gzip.compress(message(7, COMPILE))[:-9], "gzip"),
        Body(b"no zlib", "deflate"),
        Body(gzip.compress(message(7, COMPILE))),
    ],
    ids=["garbage", "cut", "no gzip", "cut gzip", "no zlib", "gzip unsaid"],
)
def test_a_body_that_cannot_be_read_is_said_and_costs_only_itself(bad):
    """The other processes' spans are as good as before."""
    report = read_spans([bad, Body(message(8, COMPILE))], EXEC_AT)

    assert [each.pid for each in report.spans] == [8]
    assert report.warnings == ("1 messages with vLLM's spans could not be read",)


def test_a_span_has_its_attributes_and_vllms_of_its_process():
    """Not those of the SDK that sent it."""
    sizes = AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(int_value=2)]))
    sent = replace(COMPILE, attributes=[text("code.function", "f"), KeyValue(key="sizes", value=sizes)])
    (found,) = read_spans([Body(message(7, sent))], EXEC_AT).spans

    assert found.attributes == {"vllm.process_kind": "worker", "code.function": "f", "sizes": [1, 2]}


def test_a_span_that_an_exception_left_says_so():
    """And the others do not."""
    died = Sent("Load model", 1.0, 2.0, span_id=2, parent_id=b"parent!!", failed="OutOfMemoryError: no room")
    failed, whole = read_spans([Body(message(7, died, COMPILE))], EXEC_AT).spans

    assert (failed.failed, failed.parent_id) == ("OutOfMemoryError: no room", b"parent!!".hex())
    assert whole.failed is None


def test_spans_are_written_whole(tmp_path: Path):
    """As a plain file, which MLflow takes as an artifact; none where nothing came."""
    write_spans((), tmp_path)
    assert not list(tmp_path.iterdir())

    write_spans(read_spans([Body(message(7, COMPILE))], EXEC_AT).spans, tmp_path)
    (found,) = json.loads((tmp_path / "otel_spans.json").read_text())

    assert (found["name"], found["pid"], found["trace_id"]) == ("Compile graph", 7, TRACE_ID.hex())


def test_compiling_is_the_time_in_any_of_its_spans():
    """Graphs are compiled within one another's spans, and side by side: no second counts twice."""
    spans = [
        span("Dynamo bytecode transform", 1, 3),
        span("Inductor compilation", 3, 8),
        span("Compile graph", 4, 6),
        span("Compile graph", 5, 9),
        span("Compile graph", 20, 21),
    ]

    assert stretches(spans) == [Stretch("compile", 7, 1, 9), Stretch("compile", 7, 20, 21)]


def test_stretches_of_one_process_do_not_overlap():
    """Graphs are captured inside the warm-up, which is what is left of it."""
    spans = [span("Warmup (GPU)", 10, 20), span("Capture model", 12, 17), span("Compile graph", 11, 13)]

    assert stretches(spans) == [
        Stretch("warm_up", 7, 10, 11),
        Stretch("compile", 7, 11, 13),
        Stretch("capture", 7, 13, 17),
        Stretch("warm_up", 7, 17, 20),
    ]


def test_ranks_are_kept_apart():
    """They work at the same time, and one of them may be slower."""
    spans = [span("Allocate KV cache", 1, 2, pid=7), span("Allocate KV cache", 1, 3, pid=8)]

    assert stretches(spans) == [Stretch("kv_cache", 7, 1, 2), Stretch("kv_cache", 8, 1, 3)]


def test_other_spans_make_no_stretch():
    """Loading is the probe's; and a span whose process is unknown can be laid beside none."""
    assert stretches([span("Load weights", 1, 2), span("Compile graph", 1, 2, pid=None)]) == []
