"""What vLLM's own OpenTelemetry told -> OtelReport, and the stretches that the probe does not see. Pure, but for the file.

vLLM's spans carry UNIX time. Time since exec is the difference to the UNIX time of exec, which the driver takes at exec from
both clocks at once: CLOCK_REALTIME and CLOCK_MONOTONIC run alike (NTP slews both) until somebody sets the first; then
the receiver says so.

A span is sent when it has ended, so what a dying process was in the middle of is not here.
Source: vllm/tracing/otel.py for the resource's attributes; opentelemetry-proto's trace.proto for the rest.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.masking import private

SPANS = "otel_spans.json"
FAILED = 2  # Status.StatusCode.STATUS_CODE_ERROR
PID = "vllm.process_id"
NS_PER_S = 1e9
UNPACKED_BYTES_AT_MOST = 64 << 20
GZIP_HEADER = 16  # added to the window's bits: zlib(3), inflateInit2

# stretch, spans of vLLM; where two overlap, the earlier row has it: a graph is captured inside the warm-up
STRETCHES: tuple[tuple[str, frozenset[str]], ...] = (
    ("compile", frozenset({"Dynamo bytecode transform", "Inductor compilation", "Compile graph"})),
    ("capture", frozenset({"Capture model"})),
    ("kv_cache", frozenset({"Allocate KV cache"})),
    ("warm_up", frozenset({"Warmup (GPU)", "Warmup (CPU)"})),
)


@dataclass(frozen=True)
class Body:
    """What one process sent at once, as it came: an ExportTraceServiceRequest, compressed as `encoding` says."""

    data: bytes
    encoding: str = ""


@dataclass(frozen=True)
class OtelSpan:
    """One span. Times are seconds since exec.

    `span_id` is unique within `trace_id` and `pid`, at best: vLLM seeds the random numbers that ids are drawn from, so two
    ranks draw the same. `parent_id` may be a span of another process. A worker that is forked instead of spawned, as
    VLLM_WORKER_MULTIPROC_METHOD=fork asks, sends under the engine core's pid.
    """

    name: str
    pid: int | None  # None: the sender did not say
    started_s: float
    ended_s: float
    trace_id: str
    span_id: str
    parent_id: str | None
    failed: str | None  # the exception that left it
    attributes: dict[str, Any]  # the span's own, and those of its process that begin with vllm.


@dataclass(frozen=True)
class OtelReport:
    """All spans that came, by their start."""

    spans: tuple[OtelSpan, ...] = ()
    warnings: tuple[str, ...] = ()


class Stretch(NamedTuple):
    """A piece of time in which one process did one thing. Times are seconds since exec."""

    name: str
    pid: int
    started_s: float
    ended_s: float


def read_spans(bodies: Iterable[Body], exec_at: float) -> OtelReport:
    """Every span once. `exec_at` is the UNIX time of exec. A body that is no such message is left out, with a warning."""
    from google.protobuf.message import DecodeError

    spans: dict[tuple[Any, ...], OtelSpan] = {}
    unreadable = 0
    for body in bodies:
        try:
            for span in _decode(_plain(body), exec_at):
                # An exporter that was not sure of an answer sends again. The ids alone would make one of two ranks' spans.
                spans[span.trace_id, span.pid, span.span_id, span.name, span.started_s] = span
        except (DecodeError, zlib.error, ValueError, RecursionError, OverflowError):
            unreadable += 1
    warnings = (f"{unreadable} messages with vLLM's spans could not be read",) if unreadable else ()
    return OtelReport(tuple(sorted(spans.values(), key=lambda span: span.started_s)), warnings)


def _plain(body: Body) -> bytes:
    match body.encoding:
        case "gzip":
            return _unpacked(body.data, zlib.MAX_WBITS | GZIP_HEADER)
        case "deflate":
            return _unpacked(body.data, zlib.MAX_WBITS)
    return body.data


def _unpacked(data: bytes, window_bits: int) -> bytes:
    """Not more than `UNPACKED_BYTES_AT_MOST`: a small body may unpack to any size.

    Raises:
        zlib.error: it is damaged, or larger.
    """
    unpacking = zlib.decompressobj(window_bits)
    plain = unpacking.decompress(data, UNPACKED_BYTES_AT_MOST)
    if not unpacking.eof:
        raise zlib.error("it is cut, or too large")
    return plain


def _decode(data: bytes, exec_at: float) -> Iterator[OtelSpan]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for of_process in ExportTraceServiceRequest.FromString(data).resource_spans:
        resource = _attributes(of_process.resource.attributes)
        pid = _whole(resource.get(PID, resource.get("process.pid")))
        told = {name: value for name, value in resource.items() if name.startswith("vllm.") and name != PID}
        for scope in of_process.scope_spans:
            for span in scope.spans:
                yield OtelSpan(
                    name=span.name,
                    pid=pid,
                    started_s=span.start_time_unix_nano / NS_PER_S - exec_at,
                    ended_s=span.end_time_unix_nano / NS_PER_S - exec_at,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex() or None,
                    failed=(span.status.message or "error") if span.status.code == FAILED else None,
                    attributes=told | _attributes(span.attributes),
                )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(each) for each in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case kind:
            return getattr(value, kind)


def _whole(value: Any) -> int | None:
    return int(value) if str(value).isdecimal() else None


def write_spans(spans: Sequence[OtelSpan], folder: Path) -> None:
    """To otel_spans.json in the start's folder; no file where none came."""
    if spans:
        private(folder / SPANS).write_text(json.dumps([asdict(span) for span in spans], indent=1), encoding="utf-8")


def stretches(spans: Iterable[OtelSpan]) -> list[Stretch]:
    """When each process compiled, captured graphs, made its KV cache and warmed up, by their start.

    Those of one process never overlap. What vLLM has no span for is absent: no capture with Model Runner V2, no compiling
    where a whole graph is loaded from the cache.
    """
    by_pid: dict[int, list[OtelSpan]] = {}
    for span in spans:
        if span.pid is not None:
            by_pid.setdefault(span.pid, []).append(span)
    found: list[Stretch] = []
    for pid, own in by_pid.items():
        taken: list[Interval] = []
        for name, texts in STRETCHES:
            asked = _union((span.started_s, span.ended_s) for span in own if span.name in texts)
            free = [piece for interval in asked for piece in _outside(interval, taken)]
            found += [Stretch(name, pid, *piece) for piece in free]
            taken = _union([*taken, *free])
    return sorted(found, key=lambda stretch: (stretch.started_s, stretch.pid))


Interval = tuple[float, float]


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time, in intervals that do not touch, by their start."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _outside(interval: Interval, taken: Sequence[Interval]) -> Iterator[Interval]:
    """What of an interval lies in none of those that are taken, which come by their start."""
    start, end = interval
    for taken_start, taken_end in taken:
        if start < min(taken_start, end):
            yield start, min(taken_start, end)
        start = max(start, taken_end)
    if start < end:
        yield start, end
