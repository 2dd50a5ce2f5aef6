"""What an OpenTelemetry exporter sends, made by hand."""

from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

EXEC_AT = 1_700_000_000.0  # UNIX time
TRACE_ID = bytes(range(16))


@dataclass(frozen=True)
class Sent:
    """One span, by seconds since EXEC_AT."""

    name: str
    started_s: float
    ended_s: float
    span_id: int = 1
    parent_id: bytes = b""
    failed: str | None = None
    attributes: list[KeyValue] = field(default_factory=list)


def text(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))


def message(pid: int, *spans: Sent, exec_at: float = EXEC_AT) -> bytes:
    """An export of one process, as vLLM's workers send them."""

    def made(sent: Sent) -> Span:
        times: dict[str, Any] = {
            "start_time_unix_nano": int((exec_at + sent.started_s) * 1e9),
            "end_time_unix_nano": int((exec_at + sent.ended_s) * 1e9),
        }
        return Span(
            name=sent.name,
            trace_id=TRACE_ID,
            span_id=sent.span_id.to_bytes(8, "big"),
            parent_span_id=sent.parent_id,
            status=Status(code=Status.STATUS_CODE_ERROR, message=sent.failed) if sent.failed else None,
            attributes=sent.attributes,
            **times,
        )

    process = [
        text("telemetry.sdk.name", "opentelemetry"),
        text("vllm.process_id", str(pid)),
        text("vllm.process_kind", "worker"),
    ]
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=process), scope_spans=[ScopeSpans(spans=[made(sent) for sent in spans])]
            )
        ]
    ).SerializeToString()
