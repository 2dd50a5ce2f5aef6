"""The critical chain of a start: exec -> API server -> engine core -> slowest worker -> ready -> first token. Pure.

Each moment belongs to one phase, the innermost that is known to go on then in the process that the start waits for: the
engine core works within the API server's wait for it, the worker within the engine core's. So the phases add up to the
wall time exactly, and a moment that none explains is `unattributed`. Of parallel ranks the one that was last to hold its
weights is the chain's; the others stand beside it and are never added.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from bench.log.readings import Phase
from bench.start.metrics import Step, step_of
from bench.vllm.probe_events import ProbeProcess, ProbeReport, ProbeSpan

UNATTRIBUTED = "unattributed"
DOUBTFUL = 0.05  # of a start: more that nothing explains is a warning

# In the order of a start, which is that of the metrics' numbers.
CHAIN = (
    "api_server_imports",  # from exec to the probe's turn in the API server
    "config",  # arguments to configuration; the model's class is inspected
    "engine_client",  # tokenizer, and whatever the engine core's process waits for before it starts
    "engine_core_imports",  # from the process's start to the probe's turn
    "engine_core_init",  # what its init does beside its workers': executor, scheduler, waiting for their messages
    "worker_imports",  # from the process's start to init_device
    "init_device",  # device and process groups
    "build_model",  # load_model without the next two
    "load_weights",
    "process_weights",  # after loading: quantisation, layouts
    "profile",  # the memory that a full batch takes; what is compiled for it is the next
    "compile",
    "kv_cache",
    "warm_up",
    "capture",
    "server",  # routes and their state, from the engine's end to /health
    "first_token",
)
NUMBERS = {name: number for number, name in enumerate(CHAIN, 1)} | {UNATTRIBUTED: 99}


@dataclass(frozen=True)
class Segment:
    """A stretch of a start, in seconds since exec."""

    name: str
    started_s: float
    ended_s: float

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.started_s


@dataclass(frozen=True)
class Lane:
    """What one process did, as far as it is known."""

    name: str  # API server, engine core, TP0
    segments: tuple[Segment, ...]


def waterfall(report: ProbeReport, said: Iterable[Phase], ready_s: float, first_token_s: float) -> list[Segment]:
    """The chain without a gap, from exec to the first token. Empty where no process has reported.

    `said` are the stretches that vLLM's log tells of: compiling and capturing count from there where the probe saw none.
    """
    if not report.processes:
        return []
    layers = [*_known(report, list(said), ready_s), Segment("first_token", ready_s, first_token_s)]
    return list(_joined(_painted(layers, first_token_s)))


def lanes(report: ProbeReport, said: Iterable[Phase], ready_s: float | None) -> list[Lane]:
    """Every process beside the others, also of a start that failed: parallel ranks are never added."""
    told, found = list(said), []
    for process in report.processes:
        layers: list[Segment] = []
        if process.kind == "api_server" and ready_s is not None:
            layers += _of_server(process, ready_s)
        if process.kind == "engine_core":
            layers += _of_core(process)
        if process.rank:
            layers += _of_worker(process, told, apart=process.kind != "engine_core")
        end_s = max((each.ended_s for each in layers), default=0.0)
        segments = [each for each in _joined(_painted(layers, end_s)) if each.name != UNATTRIBUTED]
        found.append(Lane(_title(process), tuple(segments)))
    return [lane for lane in found if lane.segments]


def _title(process: ProbeProcess) -> str:
    kind = process.kind.replace("api_server", "API server").replace("_", " ")
    return process.rank if process.rank and process.kind == "worker" else " ".join(filter(None, [kind, process.rank]))


def waterfall_metrics(segments: Iterable[Segment]) -> dict[str, float]:
    """`waterfall/<nn>_<phase>_s`, which MLflow sorts into the chain's order. They add up to first_token_s.

    A phase that did not come to pass is absent, but what is unattributed is told where there is a chain, also if it is 0.
    """
    totals: dict[str, float] = {}
    for segment in segments:
        totals[segment.name] = totals.get(segment.name, 0.0) + segment.duration_s
    if totals:
        totals.setdefault(UNATTRIBUTED, 0.0)
    return {Step(number, name).metric: totals[name] for name, number in NUMBERS.items() if name in totals}


def unexplained(metrics: Mapping[str, float]) -> list[str]:
    """A warning where too much of a start belongs to no phase."""
    parts = {step.name: value for name, value in metrics.items() if (step := step_of(name))}
    lost_s, total_s = parts.get(UNATTRIBUTED, 0.0), sum(parts.values())
    if lost_s <= DOUBTFUL * total_s:
        return []
    return [f"{lost_s:.2f} s of {total_s:.2f} s ({lost_s / total_s:.0%}) belong to no phase: they are unattributed"]


def slowest(report: ProbeReport) -> ProbeProcess | None:
    """The rank that was last to hold its weights, or has them still to come."""
    ranks = report.ranks.values()
    return max(ranks, key=lambda rank: max(_ends(rank.spans, "load_model"), default=rank.imported_s), default=None)


def _ends(spans: Iterable[ProbeSpan], name: str) -> list[float]:
    return [span.ended_s for span in spans if span.name == name and span.ended_s is not None]


def _known(report: ProbeReport, said: list[Phase], ready_s: float) -> Iterator[Segment]:
    """Every stretch of which both ends are known, the outer before those that go on inside it."""
    worker = slowest(report)
    core = _engine_core(report, worker)
    for server in report.processes:
        if server.kind == "api_server":
            yield from _of_server(server, ready_s)
    if core:
        yield from _of_core(core)
    if worker:
        yield from _of_worker(worker, said, apart=core is None or worker.pid != core.pid)


def _of_server(server: ProbeProcess, ready_s: float) -> Iterator[Segment]:
    yield Segment("api_server_imports", 0.0, server.imported_s)  # it is what was executed
    yield from _spans(server, "config")
    yield from _spans(server, "engine_client")
    if engine_up_s := _ends(server.spans, "engine_client"):
        yield Segment("server", max(engine_up_s), ready_s)


def _of_core(core: ProbeProcess) -> Iterator[Segment]:
    yield from _imports("engine_core_imports", core, core.imported_s)
    yield from _spans(core, "engine_core_init")


def _of_worker(worker: ProbeProcess, said: list[Phase], *, apart: bool) -> Iterator[Segment]:
    """`apart`: in a process of its own, which has imports of its own."""
    if apart:
        devices = [span.started_s for span in worker.spans if span.name == "init_device"]
        yield from _imports("worker_imports", worker, min(devices, default=worker.imported_s))
    yield from _spans(worker, "init_device")
    yield from _spans(worker, "load_model", named="build_model")
    for name in ("load_weights", "process_weights", "profile", "kv_cache", "warm_up"):
        yield from _spans(worker, name)
    for name, in_the_log in (("compile", "torch_compile"), ("capture", "graph_capture")):
        if _ends(worker.spans, name):
            yield from _spans(worker, name)
        else:
            yield from _said(said, name, in_the_log, worker)


def _engine_core(report: ProbeReport, worker: ProbeProcess | None) -> ProbeProcess | None:
    """The one that the worker belongs to: with data parallelism there are several."""
    cores = [each for each in report.processes if each.kind == "engine_core"]
    mine = [each for each in cores if worker and each.pid in {worker.pid, worker.parent}]
    return next(iter(mine or cores), None)


def _imports(name: str, process: ProbeProcess, until_s: float) -> Iterator[Segment]:
    if process.started_s is not None:
        yield Segment(name, process.started_s, until_s)


def _spans(process: ProbeProcess, name: str, *, named: str | None = None) -> Iterator[Segment]:
    for span in process.spans:
        if span.name == name and span.ended_s is not None:
            yield Segment(named or name, span.started_s, span.ended_s)


def _said(said: Iterable[Phase], name: str, in_the_log: str, worker: ProbeProcess) -> Iterator[Segment]:
    for phase in said:
        if phase.name == in_the_log and phase.rank in {None, worker.rank}:
            yield Segment(name, phase.started_at_s, phase.ended_at_s)


def _painted(layers: list[Segment], end_s: float) -> Iterator[Segment]:
    """Each moment in the colour that was painted last, like bars laid over one another."""
    inside = [Segment(each.name, max(0.0, each.started_s), min(end_s, each.ended_s)) for each in layers]
    edges = sorted(
        {0.0, end_s, *(edge for each in inside if each.duration_s > 0 for edge in (each.started_s, each.ended_s))}
    )
    for started_s, ended_s in pairwise(edges):
        over = [each.name for each in inside if each.started_s <= started_s and each.ended_s >= ended_s]
        yield Segment(over[-1] if over else UNATTRIBUTED, started_s, ended_s)


def _joined(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Neighbours of one name as one."""
    last: Segment | None = None
    for each in segments:
        if last and last.name == each.name:
            last = Segment(last.name, last.started_s, each.ended_s)
            continue
        if last:
            yield last
        last = each
    if last:
        yield last
