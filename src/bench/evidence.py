"""All that a start left behind, read: its log, what the probe wrote, vLLM's own spans; and what should be there and is not."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.attempt import Attempt, Reached
from bench.config import Settings
from bench.evidence_files import open_regular
from bench.host.measured import Host
from bench.log.lines import LogLine, read_log
from bench.log.metrics import expected_phases, missing_phases
from bench.log.phases import Phase, Reading, read_phases, timeline
from bench.startup.otel import OtelReport, read_spans, stretches
from bench.startup.otel_receiver import missed
from bench.startup.plugin import PROBE
from bench.startup.probe_doubts import missing, probe_warnings, rank_names
from bench.startup.probe_events import ProbeReport, read_events
from bench.startup.record import LOG
from bench.startup.waterfall import Lane, Segment, lanes, waterfall
from bench.steps import Steps

PROBED = "reading the probe's events"


@dataclass(frozen=True)
class Evidence:
    """`phases` are what the log can place in time, `chain` and `lanes` what the probe can, with the others' help."""

    lines: list[LogLine]
    readings: list[Reading]
    probed: ProbeReport
    spans: OtelReport
    phases: list[Phase]
    chain: list[Segment]
    lanes: list[Lane]


def gather(attempt: Attempt, reached: Reached, steps: Steps) -> Evidence:
    """Read everything. What is not there is empty: a start may end before it has said a word. What cannot be read is empty too, and
    a failure among `steps`.
    """
    lines = steps.take(f"reading {LOG}", partial(_read, attempt.folder / LOG), list[LogLine]())
    readings = steps.take(f"reading the numbers of {LOG}", partial(read_phases, lines), list[Reading]())
    ready_s, first_token_s = reached.ready_s, reached.answer.first_token_s if reached.answer else None
    probed, executed_s = ProbeReport(), reached.exec_at_s
    if executed_s is not None:
        probed = steps.take(
            PROBED, partial(read_events, attempt.folder / PROBE, executed_s, time.monotonic() - executed_s), probed
        )
        for sentence in probed.unreadable:
            steps.fail(PROBED, sentence)
    of_vllm = partial(read_spans, reached.received.bodies, reached.started_at)
    spans = steps.take("reading vLLM's spans", of_vllm, OtelReport())
    phases = steps.take("placing phases", partial(timeline, lines, readings, ready_s, first_token_s), list[Phase]())
    said = [*phases, *steps.take("placing vLLM's spans", partial(_of_ranks, probed, spans), list[Phase]())]
    chain: list[Segment] = []
    if ready_s is not None and first_token_s is not None:
        chain = steps.take("the waterfall", partial(waterfall, probed, said, ready_s, first_token_s), chain)
    return Evidence(
        lines=lines,
        readings=readings,
        probed=probed,
        spans=spans,
        phases=phases,
        chain=chain,
        lanes=steps.take("the processes' lanes", partial(lanes, probed, said, ready_s), list[Lane]()),
    )


def _read(path: Path) -> list[LogLine]:
    try:
        with open_regular(path) as log:
            return read_log(log)
    except FileNotFoundError:
        return []


def _of_ranks(probed: ProbeReport, spans: OtelReport) -> list[Phase]:
    """vLLM's own stretches. Whose a process is, the probe knows."""
    ranks = {process.pid: process.rank for process in probed.processes if process.rank}
    return [
        Phase(each.name, ranks[each.pid], each.started_s, each.ended_s)
        for each in stretches(spans.spans)
        if each.pid in ranks
    ]


def doubts(attempt: Attempt, reached: Reached, evidence: Evidence) -> list[str]:
    """A warning for everything that a start of this kind should have left and this one did not."""
    settings, host = attempt.settings, attempt.host
    found = [] if reached.reason else unsaid(settings, host, evidence.readings)
    if reached.exec_at_s is not None:
        found += unprobed(settings, evidence.probed) if settings.probe else []
        found += [*evidence.spans.warnings, *reached.received.warnings]
        found += missed(settings, host, came=bool(evidence.spans.spans))
    return found


def unsaid(settings: Settings, host: Host, readings: list[Reading]) -> list[str]:
    """Each phase that the log should tell of and does not."""
    arguments: dict[str, Any] = host.needs.arguments | settings.arguments
    expected = expected_phases(
        device=host.device.kind,
        load_format=settings.load_format.name,
        enforce_eager=bool(arguments.get("enforce_eager")),
    )
    return missing_phases(readings, expected, host.versions["vllm"])


def unprobed(settings: Settings, probed: ProbeReport) -> list[str]:
    """What the probe did not see: also of a failed start, since it says how far each rank came."""
    arguments = settings.arguments
    ranks = rank_names(
        tensor=settings.tensor_parallel_size,
        pipeline=int(arguments.get("pipeline_parallel_size") or 1),
        data=int(arguments.get("data_parallel_size") or 1),
    )
    return [*missing(probed, ranks), *probe_warnings(probed)]
