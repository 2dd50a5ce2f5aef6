"""When a start did what: the spans of log, probe and clock, merged once into one list. Pure.

Waterfall, lanes, trace and figures are views of this list. Its rules:

- First the probe's, process by process in the order of their start: the process itself, its imports, its calls.
- Then those of the log and the driver's clock, by their begin. What a rank printed is its process's; what no rank printed is the engine
  core's, if there is one; the first token is the driver's.
- Where log and probe both have one thing, both are in the list, and a view that shows it once shows the probe's: the log's durations are
  rounded, and its lines are stamped when they arrive.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.log.lines import LogLine
from bench.log.readings import Reading
from bench.log.texts import has_any
from bench.log.texts.phases import MILESTONES
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.span import Facts, Span

PROCESS, IMPORTS, FIRST_TOKEN = "process", "imports", "first_token"
IN_THE_LOG = {"compile": "torch_compile", "capture": "graph_capture"}  # the probe's name: the log's, where they differ
STARTS_OF_PROCESSES = tuple(f"start_{kind}" for kind, _ in MILESTONES)  # the log's, for what processes show themselves

# For people. Spans that are not here are called by their names with blanks.
PROCESS_TITLES = {
    "api_server": "API server", "engine_core": "engine core", "worker": "worker", "model_inspection": "model inspection",
}  # fmt: skip
SPAN_TITLES = {
    "start_api_server": "API server: imports",
    "start_engine_core": "config, engine core: imports",
    "start_worker": "workers: imports, device",
    "prefetch": "prefetch (beside)",
    "dynamo": "Dynamo",
    "compile": "torch.compile",
    "torch_compile": "torch.compile",
    "kv_cache": "KV cache",
}


def process_title(kind: str) -> str:
    """What a process of this kind is called in figures and sentences."""
    return PROCESS_TITLES.get(kind, kind)


def span_title(name: str) -> str:
    """What a span of log, probe or clock is called in figures and traces."""
    return SPAN_TITLES.get(name, name.replace("_", " "))


def log_spans(
    milestones: Iterable[LogLine], readings: Iterable[Reading], ready_s: float | None, first_token_s: float | None
) -> list[Span]:
    """What a stamped log can place in time, and the first token, by their begin. Without stamps: nothing of the log.

    A phase ends where its line was printed and began its duration earlier. The imports of the API server, the engine core
    and the workers run one after the other, and end at the first line that each prints of its own.
    """
    spans = [span for reading in readings if (span := _placed(reading))]
    spans += _starts_of_processes(list(milestones))
    if ready_s is not None and first_token_s is not None:
        spans.append(Span(None, None, FIRST_TOKEN, ready_s, first_token_s, "clock"))
    return sorted(spans, key=lambda span: (span.start_s, span.name, span.rank or ""))


def _placed(reading: Reading) -> Span | None:
    ended_s, duration_s = reading.line.elapsed_s, reading.values.get("duration_s")
    if ended_s is None or duration_s is None or reading.phase == "ready":
        return None
    return Span(None, reading.rank, reading.phase, max(0.0, ended_s - duration_s), ended_s, "log")


def _starts_of_processes(lines: Sequence[LogLine]) -> list[Span]:
    spans = []
    began_s = 0.0
    for name, (_, texts) in zip(STARTS_OF_PROCESSES, MILESTONES, strict=True):
        ended_s = next((line.elapsed_s for line in lines if has_any(line.text, texts)), None)
        if ended_s is not None and ended_s >= began_s:
            spans.append(Span(None, None, name, began_s, ended_s, "log"))
            began_s = ended_s
    return spans


def merged(report: ProbeReport, logged: Iterable[Span]) -> list[Span]:
    """The one list. `logged` is what `log_spans` returned."""
    probed = [span for process in report.processes for span in _of_process(process)]
    return [*probed, *(replace(span, process=_owner(span, report)) for span in logged)]


def _of_process(process: ProbeProcess) -> list[Span]:
    began_s = process.imported_s if process.started_s is None else process.started_s
    facts = Facts(
        kind=process.kind,
        parent=process.parent,
        imported_s=process.imported_s,
        warnings="\n".join(process.warnings) or None,
    )
    own = Span(process.pid, process.rank, PROCESS, began_s, None, "probe", facts)
    imports = [] if process.started_s is None else [replace(own, name=IMPORTS, end_s=process.imported_s, facts=Facts())]
    return [own, *imports, *(replace(span, process=process.pid, rank=process.rank) for span in process.spans)]


def _owner(span: Span, report: ProbeReport) -> int | None:
    if span.rank or span.name == FIRST_TOKEN:
        found = report.ranks.get(span.rank or "")
        return found.pid if found else None
    cores = [process.pid for process in report.processes if process.kind == "engine_core"]
    return cores[0] if len(cores) == 1 else None


@dataclass(frozen=True)
class Process:
    """A process that has reported: itself, and what it did, its imports first."""

    own: Span
    calls: tuple[Span, ...]

    @property
    def kind(self) -> str:
        return self.own.facts.kind or ""

    @property
    def rank(self) -> str | None:
        return self.own.rank

    @property
    def imported_s(self) -> float:
        return self.own.start_s if self.own.facts.imported_s is None else self.own.facts.imported_s

    def ended(self, name: str) -> list[Span]:
        """Its calls of this name that came to their end."""
        return [call for call in self.calls if call.name == name and call.end_s is not None]


def processes_of(spans: Iterable[Span]) -> list[Process]:
    """Those that have reported, in the order of their start."""
    groups: list[list[Span]] = []
    for span in spans:
        if span.source == "probe":
            groups += [] if span.facts.kind is None else [[]]
            groups[-1].append(span)
    return [Process(own, tuple(calls)) for own, *calls in groups]


def log_and_clock_spans(spans: Iterable[Span]) -> list[Span]:
    """Those of the log and the clock."""
    return [span for span in spans if span.source != "probe"]


def spans_not_probed(spans: Sequence[Span]) -> list[Span]:
    """Those of the log and the clock that the probe does not have too."""
    probed = {span.name for span in spans if span.source == "probe"}
    seen = probed | {log for name, log in IN_THE_LOG.items() if name in probed}
    seen |= set(STARTS_OF_PROCESSES) if probed else set()
    return [span for span in log_and_clock_spans(spans) if span.name not in seen]
