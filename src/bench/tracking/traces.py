"""Writing: the tree of a start becomes an MLflow trace, tied to its run."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.masking import masked_tree
from bench.start.metrics import FIRST_TOKEN, READY
from bench.start.trace import TraceSpan
from bench.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Span, TraceInfo

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8  # OpenTelemetry's


def log_trace(store: Store, experiment: str, run_id: str, tree: TraceSpan, started_at: float) -> str:
    """The tree with its real times; exec was at `started_at`, in UNIX time. Returns the trace's id, which follows from the
    run's: written again, it is the same trace.

    Everything is stored when this returns, and whatever MLflow raises is raised: its fluent API would export from a thread,
    to the process's one tracking URI, and turn a failure into a line of its own log.

    Raises:
        NotImplementedError: a server that keeps no spans (before 3.4). Nothing was written.
    """
    from mlflow.tracing.client import TracingClient

    tree = masked_tree(tree)
    number = hashlib.sha256(run_id.encode()).digest()[:TRACE_ID_BYTES]
    client, trace_id = TracingClient(store.uri), f"tr-{number.hex()}"
    client.log_spans(experiment, [*_spans(tree, number, started_at)])
    client.start_trace(_info(tree, experiment, run_id, trace_id, started_at))
    return trace_id


def _info(tree: TraceSpan, experiment: str, run_id: str, trace_id: str, started_at: float) -> "TraceInfo":
    """MLflow calls start_trace what is called when a trace is over."""
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=round(started_at * 1000),
        execution_duration=round(tree.duration_s * 1000),
        state=TraceState.ERROR if "failed" in tree.attributes else TraceState.OK,
        request_preview=tree.name,
        response_preview=_outcome(tree),
        trace_metadata={"mlflow.sourceRun": run_id},
        tags={"mlflow.traceName": tree.name},
    )


def _outcome(tree: TraceSpan) -> str:
    """For the list of traces."""
    if failed := tree.attributes.get("failed"):
        return f"failed: {failed}"
    words = {"ready": tree.attributes.get(READY.name), "first token": tree.attributes.get(FIRST_TOKEN.name)}
    return ", ".join(f"{name} {value:.2f} s" for name, value in words.items() if value is not None)


def _spans(tree: TraceSpan, trace: bytes, started_at: float) -> "Iterator[Span]":
    """In the form in which MLflow keeps them; parents first."""
    from mlflow.entities import Span

    exec_ns = round(started_at * 1e9)
    for number, parent, span in _numbered(tree):
        yield Span.from_dict(
            {
                "trace_id": _encoded(trace),
                "span_id": _encoded(number.to_bytes(SPAN_ID_BYTES)),
                "parent_span_id": _encoded(parent.to_bytes(SPAN_ID_BYTES)) if parent else None,
                "name": span.name,
                "start_time_unix_nano": exec_ns + round(span.started_s * 1e9),
                "end_time_unix_nano": exec_ns + round(span.ended_s * 1e9),
                "status": _status(span, tree),
                "attributes": _attributes(span, trace),
                "events": [
                    {"name": name, "time_unix_nano": exec_ns + round(at_s * 1e9), "attributes": {}}
                    for name, at_s in span.marks.items()
                ],
            }
        )


def _numbered(tree: TraceSpan) -> Iterator[tuple[int, int, TraceSpan]]:
    """Each with its number, from 1, and its parent's; 0: none."""
    waiting, number = [(0, tree)], 0
    while waiting:
        parent, span = waiting.pop(0)
        number += 1
        yield number, parent, span
        waiting += [(number, child) for child in span.children]


def _encoded(number: bytes) -> str:
    return b64encode(number).decode()


def _status(span: TraceSpan, tree: TraceSpan) -> dict[str, str]:
    """What raised has failed, and so has what a start that failed was in the middle of."""
    failed = "failed" in span.attributes or ("unfinished" in span.attributes and "failed" in tree.attributes)
    return {"code": f"STATUS_CODE_{'ERROR' if failed else 'OK'}", "message": str(span.attributes.get("failed", ""))}


def _attributes(span: TraceSpan, trace: bytes) -> dict[str, Any]:
    """MLflow requires each as JSON, the trace's id and the type of span among them."""
    own = {"mlflow.traceRequestId": f"tr-{trace.hex()}", "mlflow.spanType": span.kind.upper()}
    return {name: json.dumps(value) for name, value in (own | dict(span.attributes)).items()}
