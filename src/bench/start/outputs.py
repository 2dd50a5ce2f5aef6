"""What a start left behind, read once: its log and the probe's events; and warnings about what should be there and is not."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.host.host import Host
from bench.log.coverage import expected_phases, missing_phases
from bench.log.start_log import StartLog, read_start
from bench.start.evidence import asked_of
from bench.start.execution import Execution, PreparedStart
from bench.start.files import LOG, PROBE
from bench.start.steps import Steps
from bench.start.timeline import log_spans, merged, process_title
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.start.waterfall import waterfall
from bench.system.regular_files import open_regular
from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeReport
from bench.vllm.span import Span

READING_PROBE = "reading the probe's events"


@dataclass(frozen=True)
class StartOutputs:
    """`spans` are those of all sources, merged; `chain` is their waterfall."""

    log: StartLog
    probe: ProbeReport
    spans: list[Span]
    chain: list[Span]


def read_outputs(folder: Path, execution: Execution, steps: Steps) -> StartOutputs:
    """Everything in the start's `folder`. What is not there is empty: a start may end before it printed a word. What cannot be read is
    empty too, and a failure among `steps`.
    """
    log = steps.run(f"reading {LOG}", partial(_read_log, folder / LOG), StartLog())
    probe = ProbeReport() if execution.exec_at_s is None else _read_probe(folder / PROBE, execution.exec_at_s, steps)
    ready_s, first_token_s = execution.ready_s, execution.first_token_s
    placing = partial(log_spans, log.milestones, log.readings, ready_s, first_token_s)
    of_log = steps.run("placing the log's phases", placing, list[Span]())
    spans = steps.run("merging the spans", partial(merged, probe, of_log), of_log)
    chain: list[Span] = []
    if ready_s is not None and execution.measured_s is not None:
        chain = steps.run("the waterfall", partial(waterfall, spans, ready_s, first_token_s), chain)
    return StartOutputs(log, probe, spans, chain)


def _read_log(path: Path) -> StartLog:
    try:
        with open_regular(path) as log:
            return read_start(log)
    except FileNotFoundError:
        return StartLog()


def _read_probe(folder: Path, exec_at_s: float, steps: Steps) -> ProbeReport:
    reading = partial(read_events, folder, exec_at_s, time.monotonic() - exec_at_s)
    report = steps.run(READING_PROBE, reading, ProbeReport())
    for reason in report.unreadable:
        steps.fail(READING_PROBE, reason)
    return report


def missing_outputs(prepared: PreparedStart, execution: Execution, outputs: StartOutputs) -> list[ResultWarning]:
    """A warning for everything that a start of this kind should have left and this one did not."""
    settings, found = prepared.settings, list[ResultWarning]()
    if execution.stop is None:
        found += warnings_of(WarningKind.MISSING_PHASE, _missing_phases(settings, prepared.host, outputs.log))
    if settings.probe and execution.exec_at_s is not None:  # also of a failed start: they show how far each rank came
        texts = [
            *missing_processes(outputs.probe, asked_of(settings, prepared.host).ranks),
            *probe_warnings(outputs.probe),
        ]
        found += warnings_of(WarningKind.PROBE, texts)
    return found


def _missing_phases(settings: Settings, host: Host, log: StartLog) -> list[str]:
    """What bench knows of the start takes precedence over what its log prints."""
    arguments: dict[str, Any] = host.needs.arguments | settings.arguments
    info = replace(
        log.info,
        version=host.versions["vllm"],
        device=host.device.kind,
        load_format=settings.load_format.name,
        enforce_eager=bool(arguments.get("enforce_eager")),
    )
    return missing_phases(log.readings, expected_phases(info, streamer_logs=settings.probe), info.version)


def missing_processes(report: ProbeReport, ranks: Sequence[str]) -> list[str]:
    """Processes of a start of this kind that did not report, and ranks that did not report their loading: a sentence each."""
    kinds = {process.kind for process in report.processes}
    absent = [
        f"the probe has nothing of the {process_title(kind)}"
        for kind in ("api_server", "engine_core")
        if kind not in kinds
    ]
    return [*absent, *(text for rank in ranks for text in _missing_of_rank(report, rank))]


def _missing_of_rank(report: ProbeReport, rank: str) -> Iterator[str]:
    process = report.ranks.get(rank)
    if process is None:
        yield f"the probe has nothing of rank {rank}"
    elif not process.loads:
        yield f"the probe has not seen rank {rank} load weights"
    elif any(span.end_s is None for span in process.loads):
        yield f"rank {rank} ended while it was loading weights"


def probe_warnings(report: ProbeReport) -> list[str]:
    """What the probe could not measure, each once, with the processes that it concerns."""
    processes: dict[str, list[str]] = {}
    for process in report.processes:
        for text in dict.fromkeys(process.warnings):
            processes.setdefault(text, []).append(process.rank or process.kind)
    return [*report.warnings, *(f"the probe in {', '.join(names)}: {text}" for text, names in processes.items())]
