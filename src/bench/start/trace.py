"""A start -> the tree of its processes, their ranks and what each did, on one clock. Pure.

The probe's spans are the tree. What only the log has (a profiling run, a stream) is put in at the process that printed it; where a rank did not
report, what the log has of it stands in a process without a pid.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from bench.start.metrics import FIRST_TOKEN, READY
from bench.start.record import Startup
from bench.start.timeline import (
    IMPORTS,
    Process,
    log_and_clock_spans,
    process_title,
    processes_of,
    span_title,
    spans_not_probed,
)
from bench.vllm.span import Memory, Span

TICK_S = 0.01  # of the kernel's start times of processes; less than that is not called cut off

Attributes = Mapping[str, str | int | float]
SLACK_S = 0.02  # by which a phase of the log may seem to reach out of the call that it was printed in

ABOVE = {"worker": "engine_core", "engine_core": "api_server", "model_inspection": "api_server"}
SOURCES = {"log": "the log", "clock": "bench"}


@dataclass(frozen=True)
class TraceSpan:
    """A stretch of a start, with all that happened within it. `ended_s` is inf while its end is not known."""

    name: str  # for people
    kind: str  # start, process, phase
    started_s: float
    ended_s: float
    attributes: Attributes = field(default_factory=dict)
    children: tuple["TraceSpan", ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)  # moments, by name

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.started_s


def trace_of(startup: Startup) -> TraceSpan | None:
    """The start, from exec to its first token; one that failed, to its end. None: nothing in it can be placed in time.

    A process is there to the end: the probe does not see it leave. A span that did not end is `unfinished`, and ends with
    what it was in. What reaches out of what it was in is cut, and `clipped_s` is by how much.
    """
    processes, logged = processes_of(startup.spans), spans_not_probed(startup.spans)
    children = (*_processes(None, processes, logged), *_ranks_of_the_log(logged), *_of_the_start(logged))
    if not children:
        return None
    numbers = {READY.name: startup.ready_s, FIRST_TOKEN.name: startup.first_token_s, "failed": startup.reason}
    root = TraceSpan(
        name=startup.name,
        kind="start",
        started_s=0.0,
        ended_s=_ended_s(startup, processes),
        attributes=_known(numbers),
        children=in_order(children),
        marks={} if startup.ready_s is None else {"ready": startup.ready_s},
    )
    return fitted(root, 0.0, root.ended_s)


def _ended_s(startup: Startup, processes: Iterable[Process]) -> float:
    """A start without a first token lasts until it was over: whatever was unfinished ended by then."""
    if startup.first_token_s is not None:
        return startup.first_token_s
    lasted_s = startup.ended_at - startup.started_at if startup.failed else 0.0
    seen = [span.until_s for span in log_and_clock_spans(startup.spans)] + [_last_s(process) for process in processes]
    return max([lasted_s, startup.ready_s or 0.0, *seen])


def _last_s(process: Process) -> float:
    """The last time of it that is known."""
    return max([process.imported_s, *(call.start_s if call.end_s is None else call.end_s for call in process.calls)])


# Processes.


def _processes(above: Process | None, processes: Sequence[Process], logged: Sequence[Span]) -> list[TraceSpan]:
    """Those right below one, or below none, each with those below it."""
    found = []
    for process in processes:
        if _above(process, processes) is above:
            imports = [_span(call) for call in process.calls if call.name == IMPORTS]
            calls = [_span(call) for call in process.calls if call.name != IMPORTS]
            of_the_log = [_logged(span, calls) for span in logged if span.process == process.own.process]
            own = (*imports, *nested([*calls, *of_the_log]))
            found.append(replace(_process(process), children=in_order((*own, *_processes(process, processes, logged)))))
    return found


def _above(process: Process, processes: Sequence[Process]) -> Process | None:
    """Its parent; where that did not report (a fork server's, Ray's), the only one of the kind that starts its kind.

    Looked for among those that reported earlier, so that a number that the kernel has given twice makes no circle.
    """
    earlier = processes[: processes.index(process)]
    found, kind = [each for each in earlier if each.own.process == process.own.facts.parent], process.kind
    while len(found) != 1 and (kind := ABOVE.get(kind, "")):
        found = [each for each in earlier if each.kind == kind]
    return found[0] if len(found) == 1 else None


def _process(process: Process) -> TraceSpan:
    own = process.own
    facts = {"pid": own.process, "rank": own.rank, "process": process.kind, "warnings": own.facts.warnings}
    return TraceSpan(
        name=" ".join(filter(None, [_heading(process.kind), own.rank])),
        kind="process",
        started_s=own.start_s,
        ended_s=_last_s(process) if process.kind == "model_inspection" else math.inf,
        attributes=_known(facts),
    )


def _heading(kind: str) -> str:
    title = process_title(kind)
    return title[:1].upper() + title[1:]


# What they did.


def _span(call: Span) -> TraceSpan:
    facts = {
        "phase": call.name,
        "of": call.facts.of,
        "failed": call.facts.failed,
        "unfinished": True if call.end_s is None else None,
        "delivered_bytes": call.facts.delivered_bytes,
        "delivered_tensors": call.facts.delivered_tensors,
        "blocked_s": call.facts.blocked_s,
        "read_bytes": call.facts.read_bytes,
    }
    memory = _memory("before", call.facts.before) | _memory("after", call.facts.after)
    return TraceSpan(span_title(call.name), "phase", call.start_s, call.until_s, _known(facts | memory))


def _memory(when: str, memory: Memory | None) -> dict[str, float | None]:
    """rss_anon_before_gib and so on."""
    sizes: dict[str, float | None] = asdict(memory) if memory else {}
    return {f"{name.removesuffix('_gib')}_{when}_gib": size for name, size in sizes.items()}


def _logged(span: Span, calls: Iterable[TraceSpan] = ()) -> TraceSpan:
    """The log's durations are rounded, and its lines stamped when they arrive: what is nearly in a call is in it."""
    facts = {"phase": span.name, "rank": span.rank, "from": SOURCES[span.source]}
    logged = TraceSpan(span_title(span.name), "phase", span.start_s, span.until_s, _known(facts))
    around = [call for call in calls if _nearly_in(logged, call)]
    closest = min(around, key=lambda call: call.duration_s, default=logged)
    return replace(
        logged, started_s=max(logged.started_s, closest.started_s), ended_s=min(logged.ended_s, closest.ended_s)
    )


def _nearly_in(logged: TraceSpan, span: TraceSpan) -> bool:
    near = span.started_s - SLACK_S <= logged.started_s and logged.ended_s <= span.ended_s + SLACK_S
    return near and logged.started_s < span.ended_s and span.started_s < logged.ended_s


def _known(facts: Mapping[str, str | float | None]) -> Attributes:
    """To a millionth, which is a KiB or a microsecond."""
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}
    return {name: value for name, value in rounded.items() if value is not None and value != ""}


# What only the log has.


def _ranks_of_the_log(logged: Iterable[Span]) -> list[TraceSpan]:
    """A process for each rank that did not report, as long as what the log has of it."""
    ranks: dict[str, list[TraceSpan]] = {}
    for span in logged:
        if span.rank and span.process is None:
            ranks.setdefault(span.rank, []).append(_logged(span))
    return [
        TraceSpan(
            f"{_heading('worker')} {rank}",
            "process",
            min(span.started_s for span in found),
            max(span.ended_s for span in found),
            {"rank": rank, "from": "the log"},
            nested(found),
        )
        for rank, found in sorted(ranks.items())
    ]


def _of_the_start(logged: Iterable[Span]) -> tuple[TraceSpan, ...]:
    return nested(_logged(span) for span in logged if span.process is None and not span.rank)


# The tree.


def in_order(spans: Iterable[TraceSpan]) -> tuple[TraceSpan, ...]:
    """By their begin; ranks that began at once by name."""
    return tuple(sorted(spans, key=lambda span: (round(span.started_s / TICK_S), span.name)))


def nested(spans: Iterable[TraceSpan]) -> tuple[TraceSpan, ...]:
    """Each below the longest that contains it, and so on within. One that did not end is in whatever it began in."""
    rest = sorted(spans, key=lambda span: (span.started_s, -span.ended_s))
    found = []
    while rest:
        outer, *later = rest
        inner = [span for span in later if _contains(outer, span)]
        rest = [span for span in later if not _contains(outer, span)]
        found.append(replace(outer, children=nested(inner)))
    return tuple(found)


def _contains(outer: TraceSpan, later: TraceSpan) -> bool:
    return later.ended_s <= outer.ended_s or (math.isinf(later.ended_s) and later.started_s < outer.ended_s)


def fitted(span: TraceSpan, began_s: float, over_s: float) -> TraceSpan:
    """The span within these bounds, and all that is in it within its own. What was cut off is its `clipped_s`."""
    started_s = min(max(span.started_s, began_s), over_s)
    ended_s = min(max(span.ended_s, started_s), over_s)
    clipped_s = abs(started_s - span.started_s) + (0.0 if math.isinf(span.ended_s) else abs(ended_s - span.ended_s))
    clipped = {"clipped_s": round(clipped_s, 3)} if clipped_s > TICK_S else {}
    return replace(
        span,
        started_s=started_s,
        ended_s=ended_s,
        attributes={**span.attributes, **clipped},
        children=tuple(fitted(child, started_s, ended_s) for child in span.children),
        marks={name: at_s for name, at_s in span.marks.items() if started_s <= at_s <= ended_s},
    )
