"""A start that is over -> its Startup: all that the log, the clocks and the host tell about it."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.attempt import INTERRUPTED, Attempt, Reached
from bench.condition import conclude, state_metrics, state_tags
from bench.config import Settings
from bench.host.environment import describe_host, describe_source
from bench.host.measured import Host
from bench.host.rig import rig_metrics, rig_tags
from bench.plan import blocks_at_most, identity
from bench.startup.command import Command
from bench.startup.failure import reason_in
from bench.startup.log import LogLine, read_log
from bench.startup.memory_samples import memory_metrics
from bench.startup.metrics import expected_phases, missing_phases, summarise, with_checkpoint
from bench.startup.phases import Reading, read_phases, timeline
from bench.startup.probe_doubts import missing, probe_warnings, rank_names
from bench.startup.probe_events import ProbeReport, read_events
from bench.startup.probe_metrics import probe_metrics
from bench.startup.record import LOG, Startup, write_excerpts
from bench.startup.server import PROBE, Answer
from bench.weights.checkpoint import size_gib


def describe(attempt: Attempt, reached: Reached) -> Startup:
    """Everything about one start, in the values that MLflow and the report need."""
    settings, host, answer = attempt.settings, attempt.host, reached.answer
    lines = _read(attempt.folder / LOG)
    readings = read_phases(lines)
    write_excerpts(readings, attempt.folder)
    first_token_s = answer.first_token_s if answer else None
    state = conclude(reached.condition, (line.text for line in lines)) if reached.condition else None
    tags = tags_of(settings, host, answer)
    problems: tuple[str, ...] = ()
    metrics = metrics_of(settings, readings, reached.ready_s, first_token_s)
    if state:
        more, verdict = state_tags(state)
        tags, metrics, problems = tags | more, metrics | state_metrics(state), verdict.problems
    noise = reached.condition.noise if reached.condition else []
    if reached.condition and (rig := reached.condition.rig):
        tags, metrics = tags | rig_tags(rig, noise), metrics | rig_metrics(rig)
    probed = _probed(attempt, reached)
    return Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=params_of(settings, host, attempt.command),
        tags=tags,
        started_at=reached.started_at,
        ended_at=time.time(),
        ready_s=reached.ready_s,
        first_token_s=first_token_s,
        completion_ended_s=answer.ended_s if answer else None,
        text=answer.text if answer else None,
        token_ids=answer.token_ids if answer else None,
        reason=reason_of(reached, lines),
        metrics=metrics | probe_metrics(probed) | memory_metrics(reached.memory.samples),
        phases=timeline(lines, readings, reached.ready_s, first_token_s),
        warnings=[
            *host.needs.notes,
            *(f"noise before the start: {sentence}" for sentence in noise),
            *([] if reached.reason else doubts(settings, host, readings)),
            *(unprobed(settings, probed) if reached.exec_at_s is not None else []),
            *([reached.memory.failure] if reached.memory.failure else []),
        ],
        problems=list(problems),
        host_state=asdict(state) if state else None,
    )


def _read(path: Path) -> list[LogLine]:
    if not path.exists():
        return []
    with path.open("rb") as log:
        return read_log(log)


def _probed(attempt: Attempt, reached: Reached) -> ProbeReport:
    return ProbeReport() if reached.exec_at_s is None else read_events(attempt.folder / PROBE, reached.exec_at_s)


def unprobed(settings: Settings, probed: ProbeReport) -> list[str]:
    """What the probe did not see, of a start that was executed: also a failed one's, since it says how far each rank came."""
    arguments = settings.arguments
    ranks = rank_names(
        tensor=settings.tensor_parallel_size,
        pipeline=int(arguments.get("pipeline_parallel_size") or 1),
        data=int(arguments.get("data_parallel_size") or 1),
    )
    return [*missing(probed, ranks), *probe_warnings(probed)]


def reason_of(reached: Reached, lines: list[LogLine]) -> str | None:
    """vLLM's own words where it died of something; what bench saw where vLLM did not say, was too slow or was interrupted."""
    words = reason_in(lines) if reached.log_knows_better else None
    return words or (" ".join(reached.reason.split()) if reached.reason else None)


def metrics_of(
    settings: Settings, readings: list[Reading], ready_s: float | None, first_token_s: float | None
) -> dict[str, float]:
    """The log's numbers, the clock's and the checkpoint's. What was not found is absent."""
    clock = {"ready_s": ready_s, "first_token_s": first_token_s}
    measured = {name: value for name, value in clock.items() if value is not None}
    return measured | with_checkpoint(summarise(readings), size_gib(settings))


def doubts(settings: Settings, host: Host, readings: list[Reading]) -> list[str]:
    """A warning for each phase that a start of this kind prints and this one did not."""
    arguments: dict[str, Any] = host.needs.arguments | settings.arguments
    expected = expected_phases(
        device=host.device.kind,
        load_format=settings.load_format.name,
        enforce_eager=bool(arguments.get("enforce_eager")),
    )
    return missing_phases(readings, expected, host.versions["vllm"])


def params_of(settings: Settings, host: Host, command: Command) -> dict[str, str]:
    """Every setting, with what this host decided where the settings left it open, and the command as it was executed."""
    decided = {f"vllm.args.{name}": value for name, value in host.needs.arguments.items()}
    decided |= {f"vllm.env.{name}": value for name, value in host.needs.environment.items()}
    decided["gpu_memory_utilization"] = decided.pop("vllm.args.gpu_memory_utilization")
    decided["vllm.python"] = host.python
    asked = settings.flat()
    resolved = {name: str(value) for name, value in decided.items() if asked.get(name, "None") == "None"}
    return asked | resolved | {"vllm_command": command.shown()}


def name_of(settings: Settings) -> str:
    """What differs comes first: MLflow cuts names at about 20 characters."""
    point = settings.sweep.point or settings.load_format.name
    return f"{point} #{settings.sweep.repeat + 1}" if blocks_at_most(settings) > 1 else point


def tags_of(settings: Settings, host: Host, answer: Answer | None) -> dict[str, str]:
    """What identifies a start and what it ran on."""
    place = settings.sweep
    tags = {
        "bench.kind": place.kind,
        "bench.point": place.point or settings.load_format.name,
        "bench.repeat": str(place.repeat),
        "bench.block": str(place.repeat),  # every point is started once a block
        "bench.order": str(place.position),
        "bench.identity": identity(settings, host),
    }
    if place.id:
        tags["bench.sweep"] = place.id
    if answer:
        tags["bench.tokens"] = digest(answer)
    tags |= {f"version.{name}": version for name, version in host.versions.items()}
    tags |= {f"host.{name}": value for name, value in describe_host(host.device).items()}
    return tags | {f"source.{name}": value for name, value in describe_source().items()}


def digest(answer: Answer) -> str:
    """A short name for the greedy tokens: equal weights and settings give equal ones."""
    return hashlib.sha256(json.dumps(answer.token_ids or answer.text).encode()).hexdigest()[:12]


def interrupted(startup: Startup) -> bool:
    """Whether a person or a scheduler ended this start."""
    return startup.reason == INTERRUPTED
