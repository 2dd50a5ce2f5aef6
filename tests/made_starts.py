"""Starts that never were, for tests of their traces: two ranks, as the probe reports them."""

from collections.abc import Iterable

from bench.start.record import Startup
from bench.start.timeline import merged
from bench.start.trace import TraceSpan
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.span import Facts, Memory, Span

STARTED_AT = 1_700_000_000.25


def startup(report: ProbeReport | None = None, told: Iterable[Span] = (), **known: object) -> Startup:
    """It was ready after 29 s and gave its first token after 30, unless told otherwise."""
    facts: dict[str, object] = {
        "name": "auto #2",
        "parent_run_id": None,
        "params": {},
        "tags": {"bench.kind": "start"},
        "started_at": STARTED_AT,
        "ended_at": STARTED_AT + 35,
        "ready_s": 29.0,
        "first_token_s": 30.0,
        "spans": merged(report or ProbeReport(), told),
    }
    return Startup(**facts | known)


def failed(report: ProbeReport | None = None, told: Iterable[Span] = (), **known: object) -> Startup:
    """It was over after 35 s."""
    return startup(report, told, ready_s=None, first_token_s=None, reason="a worker was killed", **known)


def process(pid: int, parent: int, kind: str, *spans: Span, rank: str | None = None) -> ProbeProcess:
    """It started at as many seconds as its number says, and was 0.5 s in its imports."""
    return ProbeProcess(pid, parent, kind, rank, float(pid), pid + 0.5, spans)


def span(name: str, began_s: float, ended_s: float | None, **known: object) -> Span:
    return Span(None, None, name, began_s, ended_s, "probe", Facts("Loader", **known))


def told(name: str, rank: str | None, began_s: float, ended_s: float) -> Span:
    """By the log; the first token by the driver's clock."""
    return Span(None, rank, name, began_s, ended_s, "clock" if name == "first_token" else "log")


LOADED = span(
    "load_weights",
    20.0,
    22.0,
    read_bytes=5,
    delivered_bytes=7,
    delivered_tensors=3,
    blocked_s=0.5,
    before=Memory(1.0, 0.25, 0.0, None, None, None),
    after=Memory(2.0, 0.25, 0.0, 8.0, None, None),
)


def two_ranks(*second: Span) -> ProbeReport:
    """What the second rank does is the test's to say."""
    return ProbeReport(
        (
            process(2, 99, "api_server"),
            process(5, 2, "engine_core"),
            process(10, 5, "worker", span("load_model", 19.0, 23.0), LOADED, rank="TP0"),
            process(11, 5, "worker", *second, rank="TP1"),
        )
    )


def every(tree: TraceSpan) -> list[TraceSpan]:
    """The tree's spans, parents first."""
    return [tree, *(found for child in tree.children for found in every(child))]


def named(tree: TraceSpan, *path: str) -> TraceSpan:
    """The only one of this name below the root, and below that the next."""
    for name in path:
        (tree,) = (found for found in every(tree)[1:] if found.name == name)
    return tree
