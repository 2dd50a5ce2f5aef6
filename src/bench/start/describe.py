"""A start that is over -> its Startup: all that the log, the clocks and the host tell about it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import Settings, blocks_at_most
from bench.host.device import describe_host, describe_source
from bench.host.host import Host, identity
from bench.host.state import state_doubts
from bench.host.storage import describe_storage
from bench.log.outcome import Ending
from bench.log.start_log import StartLog
from bench.log.texts.failure_classes import classify
from bench.masking import masked, masked_tree
from bench.start.log_metrics import summarise, with_checkpoint
from bench.start.measured import clock_metrics, memory_metrics, rig_metrics, state_metrics
from bench.start.prepare import conclude
from bench.start.probe import probe_metrics, read_while_loading
from bench.start.record import Startup, write_excerpts
from bench.start.sources import Evidence, doubts, gather
from bench.start.steps import Steps
from bench.start.tagging import host_tags, outcome_tags, place_tags, rig_tags, state_tags, validity_tags, weights_tags
from bench.start.tags import IDENTITY, STORAGE, TOKENS
from bench.start.values import Attempt, Reached
from bench.start.waterfall import unexplained, waterfall_metrics
from bench.system.output import visible
from bench.vllm.command import Command
from bench.vllm.completion import Answer
from bench.weights.checkpoint import size_gib
from bench.weights.fingerprint_store import FILE as FINGERPRINT
from bench.weights.fingerprint_store import fingerprint_of, keep, verifies
from bench.weights.loaded import StartWeights, weights_of

HUNG_UP = ("BrokenPipeError", "ConnectionResetError")


def describe(attempt: Attempt, reached: Reached, steps: Steps) -> Startup:
    """Everything about one start, in the values that MLflow and the report need. What fails here is in `steps`, and absent."""
    settings, host, answer, folder = attempt.settings, attempt.host, reached.answer, attempt.folder
    evidence = gather(attempt, reached, steps)
    steps.take("writing the log's excerpts", partial(write_excerpts, evidence.log.readings, folder), None)
    condition = steps.take("judging the state", partial(condition_of, reached, evidence), Described())
    of_chain = steps.take("the waterfall's metrics", partial(waterfall_metrics, evidence.chain), dict[str, float]())
    of_memory = steps.take("the memory's metrics", partial(memory_metrics, reached.memory.samples), dict[str, float]())
    metrics = steps.take("the metrics", partial(metrics_of, settings, evidence, reached), clock_metrics(reached))
    tags = steps.take("the tags", partial(tags_of, settings, host, answer), place_tags(settings))
    doubtful = steps.take("looking for what is missing", partial(doubts, attempt, reached, evidence), list[str]())
    weights = steps.take("comparing the weights", partial(loaded_weights, attempt, reached, evidence), StartWeights())
    reason = steps.take("finding the reason", partial(reason_of, reached, evidence.log), reached.reason)
    ending = steps.take("classifying the end", partial(outcome_of, reason, evidence.log), Ending("failed", reason))
    startup = Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=steps.take("the params", partial(params_of, settings, host, attempt.command), settings.flat()),
        tags=tags | validity(condition, weights) | outcome_tags(ending),
        started_at=reached.started_at,
        ended_at=reached.ended_at(),
        ready_s=reached.ready_s,
        first_token_s=answer.first_token_s if answer else None,
        completion_ended_s=answer.ended_s if answer else None,
        text=answer.text if answer else None,
        token_ids=answer.token_ids if answer else None,
        reason=reason,
        metrics=metrics | condition.metrics | of_chain | of_memory,
        spans=evidence.spans,
        warnings=[
            *host.needs.notes,
            *condition.warnings,
            *doubtful,
            *reached.process_warnings(),
            *unexplained(of_chain),
            *([reached.memory.failure] if reached.memory.failure else []),
        ],
        problems=[*condition.problems, *weights.problems],
        host_state=condition.state,
        exec_at_s=reached.exec_at_s,
    )
    return masked_tree(startup)


def loaded_weights(attempt: Attempt, reached: Reached, evidence: Evidence) -> StartWeights:
    """What is known of the weights of a start that answered; a verification start's fingerprint is kept for those to come."""
    settings, host, report = attempt.settings, attempt.host, evidence.probed
    if reached.answer is None or reached.reason:
        return StartWeights()
    if verifies(settings):
        found = keep(
            settings.caches_dir, fingerprint_of(settings, host, reached.files, report, reached.rounds), reached.files
        )
        (attempt.folder / FINGERPRINT).write_text(json.dumps(found.as_json()), encoding="utf-8")
        return StartWeights()
    if settings.sweep.kind != "start":
        return StartWeights()
    weights = weights_of(settings, host, reached.files, report)
    if weights.document:
        (attempt.folder / FINGERPRINT).write_text(json.dumps(weights.document), encoding="utf-8")
    return weights


def undescribed(settings: Settings, reached: Reached) -> Startup:
    """A start of which nothing is known but what was asked for: it could not even be prepared, or describing it failed."""
    return Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=settings.flat(),
        tags=place_tags(settings),
        started_at=reached.started_at,
        ended_at=reached.ended_at(),
        ready_s=reached.ready_s,
        reason=reached.reason,
        metrics=clock_metrics(reached),
        exec_at_s=reached.exec_at_s,
    )


def concluded(startup: Startup, steps: Steps) -> Startup:
    """The same start, FAILED where one of its steps was. vLLM's own reason, if there is one, stays the reason."""
    sentences = [visible(masked(each)) for each in steps.sentences]
    if not sentences:
        return startup
    reason = startup.reason or sentences[0]
    known = {reason, *startup.warnings}
    ending = outcome_tags(Ending("failed", reason, classify(reason, None)))
    return replace(
        startup,
        reason=reason,
        tags=startup.tags if startup.reason else startup.tags | ending,
        warnings=[*startup.warnings, *(each for each in sentences if each not in known)],
    )


@dataclass(frozen=True)
class Described:
    """What the condition of a start adds to its record. All empty: it did not come to that."""

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    state: dict[str, Any] | None = None


def condition_of(reached: Reached, evidence: Evidence) -> Described:
    """The state that was asked for and found, and the noise."""
    condition = reached.condition
    if condition is None:
        return Described()
    state = conclude(condition, evidence.log.compile_cache, read_while_loading(evidence.probed))
    tags, verdict = state_tags(state)
    problems = [*verdict.problems, *reached.clock_problems()]
    if problems:
        tags |= validity_tags(problems)
    metrics = state_metrics(state)
    if condition.rig:
        tags |= rig_tags(condition.rig, condition.noise)
        metrics |= rig_metrics(condition.rig)
    warnings = [*(f"noise before the start: {sentence}" for sentence in condition.noise), *state_doubts(state)]
    return Described(tags, metrics, warnings, problems, asdict(state))


def validity(condition: Described, weights: StartWeights) -> dict[str, str]:
    """The tags of both; a start that read other files than those that were verified does not count."""
    tags = condition.tags | weights_tags(weights)
    return tags | (validity_tags([*condition.problems, *weights.problems]) if weights.problems else {})


def reason_of(reached: Reached, log: StartLog) -> str | None:
    """vLLM's own words where it died of something; what bench saw where vLLM did not say, was too slow or was interrupted."""
    words = log.reason if reached.log_knows_better else None
    if words and reached.ready_s is not None and words.startswith(HUNG_UP):
        words = None  # of the connection that bench closed when it had seen what was wrong
    words = words or (" ".join(reached.reason.split()) if reached.reason else None)
    return visible(words) if words else None


def outcome_of(reason: str | None, log: StartLog) -> Ending:
    """bench knows how a start of its own ended; what it was doing then, the log says."""
    if reason is None:
        return Ending("ready")
    stage = log.ending.stage
    return Ending("failed", reason, classify(reason, stage), stage)


def metrics_of(settings: Settings, evidence: Evidence, reached: Reached) -> dict[str, float]:
    """The log's numbers, the clock's, the checkpoint's and the probe's. What was not found is absent."""
    measured = clock_metrics(reached)
    return (
        measured
        | with_checkpoint(summarise(evidence.log.readings), size_gib(settings))
        | probe_metrics(evidence.probed)
    )


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
    reads = settings.load_format.checkpoint != "config_only"
    return (
        place_tags(settings)
        | IDENTITY.of(identity(settings, host))
        | TOKENS.of(digest(answer) if answer else None)
        | host_tags(host.versions, describe_host(host.device), describe_source())
        | STORAGE.of(describe_storage(Path(settings.checkpoint_path)) if reads else {})
    )


def digest(answer: Answer) -> str:
    """A short name for the greedy tokens: equal weights and settings give equal ones."""
    return hashlib.sha256(json.dumps(answer.token_ids or answer.text).encode()).hexdigest()[:12]
