"""All that a start left behind, read: its log and what the probe wrote; and what should be there and is not."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.host.host import Host
from bench.log.coverage import expected_phases, missing_phases
from bench.log.start_log import StartLog, read_start
from bench.start.probe import missing, probe_warnings, rank_names
from bench.start.record import LOG
from bench.start.steps import Steps
from bench.start.timeline import log_spans, merged
from bench.start.values import Attempt, Reached
from bench.start.waterfall import waterfall
from bench.system.regular_files import open_regular
from bench.vllm.command import PROBE
from bench.vllm.probe_events import ProbeReport, read_events
from bench.vllm.span import Span

PROBED = "reading the probe's events"


@dataclass(frozen=True)
class Evidence:
    """`spans` are those of all sources, merged; `chain` is their waterfall."""

    log: StartLog
    probed: ProbeReport
    spans: list[Span]
    chain: list[Span]


def gather(attempt: Attempt, reached: Reached, steps: Steps) -> Evidence:
    """Read everything. What is not there is empty: a start may end before it has said a word. What cannot be read is empty too, and
    a failure among `steps`.
    """
    log = steps.take(f"reading {LOG}", partial(_read, attempt.folder / LOG), StartLog())
    ready_s, first_token_s = reached.ready_s, reached.answer.first_token_s if reached.answer else None
    probed, executed_s = ProbeReport(), reached.exec_at_s
    if executed_s is not None:
        probed = steps.take(
            PROBED, partial(read_events, attempt.folder / PROBE, executed_s, time.monotonic() - executed_s), probed
        )
        for sentence in probed.unreadable:
            steps.fail(PROBED, sentence)
    placing = partial(log_spans, log.milestones, log.readings, ready_s, first_token_s)
    told = steps.take("placing what the log tells", placing, list[Span]())
    spans = steps.take("merging the spans", partial(merged, probed, told), told)
    chain: list[Span] = []
    if ready_s is not None and first_token_s is not None:
        chain = steps.take("the waterfall", partial(waterfall, spans, ready_s, first_token_s), chain)
    return Evidence(log, probed, spans, chain)


def _read(path: Path) -> StartLog:
    try:
        with open_regular(path) as log:
            return read_start(log)
    except FileNotFoundError:
        return StartLog()


def doubts(attempt: Attempt, reached: Reached, evidence: Evidence) -> list[str]:
    """A warning for everything that a start of this kind should have left and this one did not."""
    settings, host = attempt.settings, attempt.host
    found = [] if reached.reason else unprinted(settings, host, evidence.log)
    if reached.exec_at_s is not None:
        found += unprobed(settings, evidence.probed) if settings.probe else []
    return found


def unprinted(settings: Settings, host: Host, log: StartLog) -> list[str]:
    """A warning for each phase that the log should have and has not. What bench knows of the start goes before what its log prints."""
    arguments: dict[str, Any] = host.needs.arguments | settings.arguments
    info = replace(
        log.info,
        version=host.versions["vllm"],
        device=host.device.kind,
        load_format=settings.load_format.name,
        enforce_eager=bool(arguments.get("enforce_eager")),
    )
    return missing_phases(log.readings, expected_phases(info, streamer_logs=settings.probe), info.version)


def unprobed(settings: Settings, probed: ProbeReport) -> list[str]:
    """What the probe did not see: also of a failed start, since it says how far each rank came."""
    arguments = settings.arguments
    ranks = rank_names(
        tensor=settings.tensor_parallel_size,
        pipeline=int(arguments.get("pipeline_parallel_size") or 1),
        data=int(arguments.get("data_parallel_size") or 1),
    )
    return [*missing(probed, ranks), *probe_warnings(probed)]
