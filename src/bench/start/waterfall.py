"""The critical chain of a start: exec -> API server -> engine core -> slowest worker -> ready -> first token. Pure.

Each moment belongs to one phase, the innermost that is known to go on then in the process that the start waits for: the
engine core works within the API server's wait for it, the worker within the engine core's. So the phases add up to the
wall time exactly, and a moment that none explains is `unattributed`. Of parallel ranks the one that was last to hold its
weights is the chain's; the others stand beside it and are never added.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from bench.start.metrics import WATERFALL
from bench.start.timeline import (
    FIRST_TOKEN,
    IMPORTS,
    IN_THE_LOG,
    Process,
    log_and_clock_spans,
    process_title,
    processes_of,
)
from bench.start.warning import ResultWarning, WarningKind
from bench.vllm.span import Facts, Source, Span

DOUBTFUL = 0.05  # of a start: more that nothing explains is a warning


class Phase(NamedTuple):
    """A phase of the critical chain, and how tables and figures show it."""

    name: str
    title: str
    colour: str
    hatch: str | None = None


# In the order of a start. A family of colours for each process, from dark to light; the weights stand out.
CHAIN = (
    Phase("api_server_imports", "API server: imports", "#08519C"),  # from exec to the probe's turn in the API server
    Phase("config", "API server: config", "#4292C6"),  # arguments to configuration; the model's class is inspected
    Phase("engine_client", "API server: engine client", "#9ECAE1"),  # tokenizer; waiting for the engine core's process
    Phase("engine_core_imports", "Engine core: imports", "#54278F"),  # from its process's start to the probe's turn
    Phase("engine_core_init", "Engine core: init", "#9E9AC8"),  # without its workers': executor, scheduler, messages
    Phase("worker_imports", "Worker: imports", "#00664B"),  # from the process's start to init_device
    Phase("init_device", "Worker: device", "#009E73"),  # device and process groups
    Phase("build_model", "Build the model", "#8FD3BC"),  # load_model without the next two
    Phase("load_weights", "Load weights", "#D55E00"),
    Phase("process_weights", "Process weights", "#FDAE6B"),  # after loading: quantisation, layouts
    Phase("profile", "Profile", "#7A0177"),  # the memory that a full batch takes; what is compiled for it is the next
    Phase("compile", "Compile", "#C51B8A"),
    Phase("kv_cache", "KV cache", "#F4A6C0"),
    Phase("warm_up", "Warm up", "#8C6D1F"),
    Phase("capture", "Graph capture", "#E6C229"),
    Phase("server", "Server", "#5C4033"),  # routes and their state, from the engine's end to /health
    Phase(FIRST_TOKEN, "Ready to first token", "#222222"),
)
UNATTRIBUTED = Phase("unattributed", "Unattributed", "#DDDDDD", "////")
PHASES = {phase.name: phase for phase in (*CHAIN, UNATTRIBUTED)}
UNKNOWN_PLACE, UNATTRIBUTED_PLACE = 98, 99  # behind the chain


@dataclass(frozen=True, order=True)
class Step:
    """The place of a phase in the chain, and its name, which may be one that only a later bench has."""

    number: int
    name: str

    @property
    def before_ready(self) -> bool:
        return self.name != FIRST_TOKEN  # the only phase that is no part of the time to ready

    @property
    def metric(self) -> str:
        """Numbered, so that MLflow, which sorts by name, shows the phases in their order."""
        return WATERFALL.name(f"{self.number:02}_{self.name}")


STEPS = {
    phase.name: Step(place, phase.name) for place, phase in [*enumerate(CHAIN, 1), (UNATTRIBUTED_PLACE, UNATTRIBUTED)]
}


@lru_cache(1000)  # asked for every start
def step_of(metric: str) -> Step | None:
    """The phase that a metric of this name is about; one that only a later bench has comes behind the others. None: it is about none."""
    if (part := WATERFALL.part_of(metric)) is None:
        return None
    phase = part.partition("_")[2]
    return STEPS.get(phase) or Step(UNKNOWN_PLACE, phase)


class Lane(NamedTuple):
    """What one process did, as far as it is known."""

    name: str  # API server, engine core, TP0
    spans: tuple[Span, ...]


def waterfall(spans: Sequence[Span], ready_s: float, first_token_s: float | None) -> list[Span]:
    """The chain without a gap, from exec to the first token, or to ready where there was none, of the merged spans. Empty where no
    process has reported.
    """
    processes = processes_of(spans)
    if not processes:
        return []
    end_s = ready_s if first_token_s is None else first_token_s
    layers = [
        *_known(processes, log_and_clock_spans(spans), ready_s),
        _part(FIRST_TOKEN, ready_s, end_s, "clock"),
    ]
    return list(_joined(_painted(layers, end_s)))


def lanes(spans: Sequence[Span], ready_s: float | None) -> list[Lane]:
    """Every process beside the others, also of a start that failed: parallel ranks are never added."""
    logged, found, processes = log_and_clock_spans(spans), [], processes_of(spans)
    for process in processes:
        layers: list[Span] = []
        if process.kind == "api_server" and ready_s is not None:
            layers += _of_server(process, ready_s, is_executed=_is_executed(process, processes))
        if process.kind == "engine_core":
            layers += _of_core(process)
        if process.rank:
            layers += _of_worker(process, logged, apart=process.kind != "engine_core")
        end_s = max((each.until_s for each in layers), default=0.0)
        parts = [each for each in _joined(_painted(layers, end_s)) if each.name != UNATTRIBUTED.name]
        found.append(Lane(_title(process), tuple(parts)))
    return [lane for lane in found if lane.spans]


def _title(process: Process) -> str:
    if process.rank and process.kind == "worker":
        return process.rank
    return " ".join(filter(None, [process_title(process.kind), process.rank]))


def waterfall_metrics(chain: Iterable[Span]) -> dict[str, float]:
    """`waterfall/<nn>_<phase>_s`, which MLflow sorts into the chain's order. They add up to first_token_s.

    A phase that did not come to pass is absent, but what is unattributed is there with every chain, also if it is 0.
    """
    totals: dict[str, float] = {}
    for span in chain:
        totals[span.name] = totals.get(span.name, 0.0) + span.duration_s
    if totals:
        totals.setdefault(UNATTRIBUTED.name, 0.0)
    return {step.metric: totals[name] for name, step in STEPS.items() if name in totals}


def unattributed_warnings(metrics: Mapping[str, float]) -> list[ResultWarning]:
    """A warning where too much of a start belongs to no phase."""
    parts = {step.name: value for name, value in metrics.items() if (step := step_of(name))}
    lost_s, total_s = parts.get(UNATTRIBUTED.name, 0.0), sum(parts.values())
    if lost_s <= DOUBTFUL * total_s:
        return []
    text = f"{lost_s:.2f} s of {total_s:.2f} s ({lost_s / total_s:.0%}) belong to no phase: they are unattributed"
    return [ResultWarning(WarningKind.UNATTRIBUTED, text)]


def slowest(processes: Sequence[Process]) -> Process | None:
    """The rank that was last to hold its weights, or has them still to come."""
    ranks = {each.rank: each for each in processes if each.rank}.values()
    held_s = {
        id(rank): max((span.until_s for span in rank.ended("load_model")), default=rank.imported_s) for rank in ranks
    }
    return max(ranks, key=lambda rank: held_s[id(rank)], default=None)


def _known(processes: Sequence[Process], logged: Sequence[Span], ready_s: float) -> Iterator[Span]:
    """Every stretch of which both ends are known, the outer before those that go on inside it."""
    worker = slowest(processes)
    core = _engine_core(processes, worker)
    servers = [each for each in processes if each.kind == "api_server"]
    for server in servers:
        yield from _of_server(server, ready_s, is_executed=_is_executed(server, processes))
        yield from _launching(server, servers)
    if core:
        yield from _of_core(core)
    if worker:
        yield from _of_worker(worker, logged, apart=core is None or worker.own.process != core.own.process)


def _is_executed(server: Process, processes: Sequence[Process]) -> bool:
    """What bench started, and no child of another server."""
    return server.own.facts.parent not in {each.own.process for each in processes if each.kind == server.kind}


def _of_server(server: Process, ready_s: float, *, is_executed: bool) -> Iterator[Span]:
    began_s = 0.0 if is_executed else server.own.start_s
    yield replace(server.own, name="api_server_imports", start_s=began_s, end_s=server.imported_s)
    yield from server.ended("config")
    yield from server.ended("engine_client")
    if engine_up_s := [span.until_s for span in server.ended("engine_client")]:
        yield replace(server.own, name="server", start_s=max(engine_up_s), end_s=ready_s)


def _launching(parent: Process, servers: Sequence[Process]) -> Iterator[Span]:
    """What starts engines and several servers, and has no client of its own, is at that until the first of them has one."""
    clients = [span.start_s for each in servers for span in each.ended("engine_client")]
    if clients and not parent.ended("engine_client"):
        began_s = max((span.until_s for span in parent.ended("config")), default=parent.imported_s)
        yield replace(parent.own, name="engine_client", start_s=began_s, end_s=min(clients))


def _of_core(core: Process) -> Iterator[Span]:
    yield from _named("engine_core_imports", core.ended(IMPORTS))
    yield from core.ended("engine_core_init")


def _of_worker(worker: Process, logged: Iterable[Span], *, apart: bool) -> Iterator[Span]:
    """`apart`: in a process of its own, which has imports of its own."""
    if apart:
        devices = [call.start_s for call in worker.calls if call.name == "init_device"]
        for imports in worker.ended(IMPORTS):
            yield replace(imports, name="worker_imports", end_s=min(devices, default=worker.imported_s))
    yield from worker.ended("init_device")
    yield from _named("build_model", worker.ended("load_model"))
    for name in ("load_weights", "process_weights", "profile", "kv_cache", "warm_up"):
        yield from worker.ended(name)
    for name, in_the_log in IN_THE_LOG.items():
        of_the_log = (span for span in logged if span.name == in_the_log and span.rank in {None, worker.rank})
        yield from worker.ended(name) or _named(name, of_the_log)


def _engine_core(processes: Sequence[Process], worker: Process | None) -> Process | None:
    """The one that the worker belongs to: with data parallelism there are several."""
    cores = [each for each in processes if each.kind == "engine_core"]
    of_worker = {worker.own.process, worker.own.facts.parent} if worker else set()
    return next(iter([each for each in cores if each.own.process in of_worker] or cores), None)


def _named(name: str, spans: Iterable[Span]) -> list[Span]:
    return [replace(span, name=name) for span in spans]


def _part(name: str, start_s: float, end_s: float, source: Source) -> Span:
    return Span(None, None, name, start_s, end_s, source)


def _painted(layers: Sequence[Span], end_s: float) -> Iterator[Span]:
    """Each moment in the colour that was painted last, like bars laid over one another."""
    inside = [(max(0.0, each.start_s), min(end_s, each.until_s), each) for each in layers]
    edges = sorted({0.0, end_s, *(edge for start, end, _ in inside if start < end for edge in (start, end))})
    for started_s, ended_s in pairwise(edges):
        over = [each for start, end, each in inside if start <= started_s and ended_s <= end]
        top = over[-1] if over else _part(UNATTRIBUTED.name, started_s, ended_s, "none")
        yield replace(top, start_s=started_s, end_s=ended_s, facts=Facts())


def _joined(parts: Iterable[Span]) -> Iterator[Span]:
    """Neighbours of one name as one."""
    last: Span | None = None
    for each in parts:
        if last and last.name == each.name:
            last = replace(last, end_s=each.end_s)
            continue
        if last:
            yield last
        last = each
    if last:
        yield last
