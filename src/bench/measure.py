"""One start of vLLM, from settings to a Startup that is whole and on disk."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.errors import BenchError, StartError, StartTimeout
from bench.host.environment import describe_host, describe_source
from bench.host.measured import Host, look_at_host
from bench.processes.kept import OnLine
from bench.startup.command import Command, command_for
from bench.startup.failure import reason_in
from bench.startup.log import LogLine, read_log
from bench.startup.metrics import expected_phases, missing_phases, summarise, with_checkpoint
from bench.startup.phases import Reading, read_phases, timeline
from bench.startup.record import LOG, Startup, write_excerpts
from bench.startup.server import Answer, free_port, serve
from bench.weights.checkpoint import size_gib
from bench.weights.prepare import ensure_checkpoint

INTERRUPTED = "interrupted"
SETTINGS = "settings.json"


@dataclass
class Reached:
    """How far a start came. Times are seconds since exec; `started_at` is its UNIX time, or when it was tried."""

    started_at: float
    ready_s: float | None = None
    answer: Answer | None = None
    reason: str | None = None
    log_knows_better: bool = False  # the reason is only how vLLM ended; its log may say why


def measure(settings: Settings, folder: Path, on_line: OnLine) -> Startup:
    """Start vLLM once and write down everything about it: in `folder`, whole, before anybody else hears of it.

    Whatever goes wrong with vLLM is part of the Startup, as its `reason`; an interruption is too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = look_at_host(settings)
    command = command_for(settings, host, free_port())
    (folder / SETTINGS).write_text(json.dumps(settings.flat(), indent=2))
    reached = run(settings, host, command, folder, on_line)
    startup = describe(settings, host, command, folder, reached)
    startup.save(folder)
    return startup


def run(settings: Settings, host: Host, command: Command, folder: Path, on_line: OnLine) -> Reached:
    """vLLM from exec to its completion, and to the end of its last process."""
    reached = Reached(time.time())
    try:
        ensure_checkpoint(settings, host, folder, on_line)
        with serve(
            command,
            api_key=secrets.token_hex(16),
            log_path=folder / LOG,
            stop_timeout_s=settings.vllm.stop_timeout_s,
            on_line=on_line,
        ) as vllm:
            reached.started_at = vllm.process.started_at
            reached.ready_s = vllm.wait_until_ready(settings.vllm.ready_timeout_s)
            reached.answer = vllm.complete(settings.checkpoint_path, settings.completion)
    except StartTimeout as error:
        reached.reason = str(error)
    except StartError as error:
        reached.reason, reached.log_knows_better = str(error), True
    except BenchError as error:
        reached.reason = str(error)
    except KeyboardInterrupt:
        reached.reason = INTERRUPTED
    return reached


def describe(settings: Settings, host: Host, command: Command, folder: Path, reached: Reached) -> Startup:
    """All that the log, the clock and this host tell about a start."""
    lines = _read(folder / LOG)
    readings = read_phases(lines)
    write_excerpts(readings, folder)
    answer = reached.answer
    first_token_s = answer.first_token_s if answer else None
    return Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=params_of(settings, host, command),
        tags=tags_of(settings, host, answer),
        started_at=reached.started_at,
        ended_at=time.time(),
        ready_s=reached.ready_s,
        first_token_s=first_token_s,
        completion_ended_s=answer.ended_s if answer else None,
        text=answer.text if answer else None,
        token_ids=answer.token_ids if answer else None,
        reason=reason_of(reached, lines),
        metrics=metrics_of(settings, readings, reached.ready_s, first_token_s),
        phases=timeline(lines, readings, reached.ready_s, first_token_s),
        warnings=list(host.needs.notes) if reached.reason else [*host.needs.notes, *doubts(settings, host, readings)],
    )


def _read(path: Path) -> list[LogLine]:
    if not path.exists():
        return []
    with path.open("rb") as log:
        return read_log(log)


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
    return f"{point} #{settings.sweep.repeat + 1}" if settings.repeats > 1 else point


def tags_of(settings: Settings, host: Host, answer: Answer | None) -> dict[str, str]:
    """What identifies a start and what it ran on."""
    place = settings.sweep
    tags = {
        "bench.kind": "start",
        "bench.repeat": str(place.repeat),
        "bench.point": place.point or settings.load_format.name,
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
