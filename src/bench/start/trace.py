"""A start -> the tree of its processes, their ranks and what each did, on one clock. Pure, but for reading the probe's files.

The probe's spans are the tree. What only the log tells (torch.compile, graph capture) is put in at the process that said
it; where a rank did not report, what the log says of it stands in a process without a pid.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench.log.readings import Phase
from bench.start.metrics import FIRST_TOKEN, READY
from bench.start.record import Startup
from bench.start.trace_tree import Attributes, TraceSpan, fitted, in_order, nested
from bench.vllm.plugin import PROBE
from bench.vllm.probe_events import ProbeMemory, ProbeProcess, ProbeReport, ProbeSpan, read_events

SLACK_S = 0.02  # by which a phase of the log may seem to reach out of the call that it was said in

KINDS = {
    "api_server": "API server",
    "engine_core": "Engine core",
    "worker": "Worker",
    "model_inspection": "Model inspection",
}
ABOVE = {"worker": "engine_core", "engine_core": "api_server", "model_inspection": "api_server"}
TITLES = {  # of those that are not their names with blanks
    "kv_cache": "KV cache",
    "torch_compile": "torch.compile",
}
BY_PROCESS = {"start_api_server", "start_engine_core", "start_worker"}  # the log's, for what processes show themselves

Placed = tuple[ProbeProcess | None, Phase]  # what the log tells, and of which process; None: of none that reported


def read_trace(startup: Startup, folder: Path) -> TraceSpan | None:
    """`trace_of` the start that lies in `folder`."""
    report = ProbeReport() if startup.exec_at_s is None else read_events(folder / PROBE, startup.exec_at_s)
    return trace_of(startup, report)


def trace_of(startup: Startup, report: ProbeReport) -> TraceSpan | None:
    """The start, from exec to its first token; one that failed, to its end. None: nothing in it can be placed in time.

    A process is there to the end: the probe does not see it leave. A span that did not end is `unfinished`, and ends with
    what it was in. What reaches out of what it was in is cut, and `clipped_s` says by how much.
    """
    phases = _only_in_the_log(startup.phases, report)
    children = (*_processes(None, report, phases), *_ranks_of_the_log(phases), *_of_the_start(phases))
    if not children:
        return None
    numbers = {READY.name: startup.ready_s, FIRST_TOKEN.name: startup.first_token_s, "failed": startup.reason}
    root = TraceSpan(
        name=startup.name,
        kind="start",
        started_s=0.0,
        ended_s=_ended_s(startup, report),
        attributes=_known(numbers),
        children=in_order(children),
        marks={} if startup.ready_s is None else {"ready": startup.ready_s},
    )
    return fitted(root, 0.0, root.ended_s)


def _ended_s(startup: Startup, report: ProbeReport) -> float:
    """A start without a first token lasts until it was over: whatever was unfinished ended by then."""
    if startup.first_token_s is not None:
        return startup.first_token_s
    lasted_s = startup.ended_at - startup.started_at if startup.failed else 0.0
    seen = [phase.ended_at_s for phase in startup.phases] + [_last_s(process) for process in report.processes]
    return max([lasted_s, startup.ready_s or 0.0, *seen])


def _last_s(process: ProbeProcess) -> float:
    """When it was last heard of."""
    return max([process.imported_s, *(span.ended_s or span.started_s for span in process.spans)])


# Processes.


def _processes(above: ProbeProcess | None, report: ProbeReport, phases: Sequence[Placed]) -> list[TraceSpan]:
    """Those right below one, or below none, each with those below it."""
    found = []
    for process in report.processes:
        if _above(process, report) is above:
            spans = [*map(_span, process.spans)]
            told = [_told(phase, spans) for owner, phase in phases if owner is process]
            own = (*_imports(process), *nested([*spans, *told]))
            below = _processes(process, report, phases)
            found.append(replace(_process(process), children=in_order((*own, *below))))
    return found


def _above(process: ProbeProcess, report: ProbeReport) -> ProbeProcess | None:
    """Its parent; where that did not report (a fork server's, Ray's), the only one of the kind that starts its kind.

    Looked for among those that reported earlier, so that a number that the kernel has given twice makes no circle.
    """
    earlier = report.processes[: report.processes.index(process)]
    found, kind = [each for each in earlier if each.pid == process.parent], process.kind
    while len(found) != 1 and (kind := ABOVE.get(kind, "")):
        found = [each for each in earlier if each.kind == kind]
    return found[0] if len(found) == 1 else None


def _process(process: ProbeProcess) -> TraceSpan:
    facts = {"pid": process.pid, "rank": process.rank, "process": process.kind, "warnings": "\n".join(process.warnings)}
    return TraceSpan(
        name=" ".join(filter(None, [KINDS.get(process.kind, process.kind), process.rank])),
        kind="process",
        started_s=_began_s(process),
        ended_s=_last_s(process) if process.kind == "model_inspection" else math.inf,
        attributes=_known(facts),
    )


def _began_s(process: ProbeProcess) -> float:
    return process.imported_s if process.started_s is None else process.started_s


def _imports(process: ProbeProcess) -> list[TraceSpan]:
    """From the process's start to the probe's turn, behind most of what it imports."""
    if process.started_s is None:
        return []
    return [TraceSpan("imports", "phase", process.started_s, process.imported_s, {"phase": "imports"})]


# What they did.


def _span(span: ProbeSpan) -> TraceSpan:
    facts = {
        "phase": span.name,
        "of": span.of,
        "failed": span.failed,
        "unfinished": True if span.ended_s is None else None,
        "delivered_bytes": span.delivered_bytes,
        "delivered_tensors": span.delivered_tensors,
        "blocked_s": span.blocked_s,
        "read_bytes": span.read_bytes,
    }
    ended_s = math.inf if span.ended_s is None else span.ended_s
    memory = _memory("before", span.before) | _memory("after", span.after)
    return TraceSpan(_title(span.name), "phase", span.started_s, ended_s, _known(facts | memory))


def _memory(when: str, memory: ProbeMemory | None) -> dict[str, float | None]:
    """rss_anon_before_gib and so on."""
    sizes: dict[str, float | None] = asdict(memory) if memory else {}
    return {f"{name.removesuffix('_gib')}_{when}_gib": size for name, size in sizes.items()}


def _told(phase: Phase, spans: Iterable[TraceSpan] = ()) -> TraceSpan:
    """The log's durations are rounded, and its lines stamped when they arrive: what is nearly in a span is in it."""
    facts = {"phase": phase.name, "rank": phase.rank, "from": "the log"}
    told = TraceSpan(_title(phase.name), "phase", phase.started_at_s, phase.ended_at_s, _known(facts))
    around = [span for span in spans if _nearly_in(told, span)]
    closest = min(around, key=lambda span: span.duration_s, default=told)
    return replace(told, started_s=max(told.started_s, closest.started_s), ended_s=min(told.ended_s, closest.ended_s))


def _nearly_in(told: TraceSpan, span: TraceSpan) -> bool:
    near = span.started_s - SLACK_S <= told.started_s and told.ended_s <= span.ended_s + SLACK_S
    return near and told.started_s < span.ended_s and span.started_s < told.ended_s


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def _known(facts: Mapping[str, str | float | None]) -> Attributes:
    """To a millionth, which is a KiB or a microsecond."""
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}
    return {name: value for name, value in rounded.items() if value is not None and value != ""}


# What only the log tells.


def _only_in_the_log(phases: Iterable[Phase], report: ProbeReport) -> list[Placed]:
    probed = {span.name for process in report.processes for span in process.spans}
    probed |= BY_PROCESS if report.processes else set()
    return [(_owner(phase, report), phase) for phase in phases if phase.name not in probed]


def _owner(phase: Phase, report: ProbeReport) -> ProbeProcess | None:
    """What no rank says for itself is the engine core's, but for the first token, which is the driver's."""
    if phase.rank or phase.name == "first_token":
        return report.ranks.get(phase.rank or "")
    cores = [process for process in report.processes if process.kind == "engine_core"]
    return cores[0] if len(cores) == 1 else None


def _ranks_of_the_log(phases: Iterable[Placed]) -> list[TraceSpan]:
    """A process for each rank that did not report, as long as what the log says of it."""
    spans: dict[str, list[TraceSpan]] = {}
    for owner, phase in phases:
        if phase.rank and owner is None:
            spans.setdefault(phase.rank, []).append(_told(phase))
    return [
        TraceSpan(
            f"{KINDS['worker']} {rank}",
            "process",
            min(span.started_s for span in told),
            max(span.ended_s for span in told),
            {"rank": rank, "from": "the log"},
            nested(told),
        )
        for rank, told in sorted(spans.items())
    ]


def _of_the_start(phases: Iterable[Placed]) -> tuple[TraceSpan, ...]:
    return nested(_told(phase) for owner, phase in phases if owner is None and not phase.rank)
