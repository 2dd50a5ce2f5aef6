"""A start that is over -> its Startup: what its log, the probe, the clocks and the host show of it."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.host.compile_cache import caches_of, written_elsewhere
from bench.host.disk_use import disk_use_between
from bench.log.outcome import Ending
from bench.log.start_log import StartLog
from bench.log.texts.failure_classes import classify
from bench.masking import masked, masked_tree
from bench.start import measured_metrics
from bench.start import tags as t
from bench.start.checks import doubts_in, problems_in
from bench.start.evidence import asked_of, evidence_of
from bench.start.execution import Execution, PreparedStart, StopKind
from bench.start.files import FINGERPRINT
from bench.start.identification import name_of, params_of, tags_of
from bench.start.log_metrics import summarise, with_checkpoint
from bench.start.outputs import StartOutputs, missing_outputs, read_outputs
from bench.start.ran import RanRecord, ran_record
from bench.start.record import Startup, write_excerpts
from bench.start.state_record import StateRecord, loading, state_record
from bench.start.steps import Steps
from bench.start.storage_use import StorageUse, storage_use
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.start.waterfall import unattributed_warnings, waterfall_metrics
from bench.system.output import visible
from bench.weights.checkpoint import size_gib
from bench.weights.fingerprint_store import fingerprint_of, keep, verifies
from bench.weights.loaded import StartWeights, weights_of

NONE_FOUND: tuple[list[str], list[ResultWarning]] = ([], [])
HUNG_UP = ("BrokenPipeError", "ConnectionResetError")


def describe(prepared: PreparedStart, execution: Execution, steps: Steps) -> Startup:
    """Everything about one start, in the values that MLflow and the report need. What fails here is in `steps`, and absent."""
    settings, host, answer, folder = prepared.settings, prepared.host, execution.answer, prepared.folder
    outputs = read_outputs(folder, execution, steps)
    steps.run("writing the log's excerpts", partial(write_excerpts, outputs.log.readings, folder), None)
    state = steps.run("judging the state", partial(state_record, execution, outputs), StateRecord())
    of_chain = steps.run("the waterfall's metrics", partial(waterfall_metrics, outputs.chain), dict[str, float]())
    of_memory = steps.run(
        "the memory's metrics", partial(measured_metrics.memory_metrics, execution.timed_samples), dict[str, float]()
    )
    metrics = steps.run(
        "the metrics", partial(metrics_of, settings, outputs, execution), measured_metrics.clock_metrics(execution)
    )
    tags = steps.run("the tags", partial(tags_of, settings, host, execution), t.place_tags(settings))
    looking = partial(missing_outputs, prepared, execution, outputs)
    missing = steps.run("looking for what is missing", looking, list[ResultWarning]())
    judging = partial(ran_record, prepared, execution, outputs.probe)
    ran = steps.run("judging what ran", judging, RanRecord())
    weights = steps.run("comparing the weights", partial(loaded_weights, prepared, execution, outputs), StartWeights())
    read_gib = state.measured.read_gib if state.measured else None
    using = partial(storage_use, settings, folder, loading(outputs.probe), read_gib)
    storage = steps.run("comparing with the storage", using, StorageUse())
    holding = partial(contradictions, prepared, execution, outputs, (state, ran, weights, storage))
    problems, doubts = steps.run("holding the sources against each other", holding, NONE_FOUND)
    ending = steps.run("classifying the end", partial(ending_of, execution, outputs.log), _observed(execution))
    startup = Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=steps.run("the params", partial(params_of, settings, host, prepared.command), settings.flat()),
        tags=tags
        | state.tags
        | ran.tags
        | t.weights_tags(weights)
        | t.STORAGE_LIMIT.of(storage.profiles or None)
        | (t.validity_tags(problems) if problems else {})
        | t.outcome_tags(ending),
        started_at=execution.started_at,
        ended_at=execution.ended_at(),
        ready_s=execution.ready_s,
        first_token_s=execution.first_token_s,
        completion_ended_s=answer.ended_s if answer else None,
        text=answer.text if answer else None,
        token_ids=answer.token_ids if answer else None,
        reason=ending.reason,
        metrics=metrics | state.metrics | measured_metrics.limit_metrics(storage) | of_chain | of_memory,
        spans=outputs.spans,
        warnings=[
            *warnings_of(WarningKind.HOST, host.needs.notes),
            *state.warnings,
            *doubts,
            *steps.run(
                "looking for caches elsewhere", partial(caches_elsewhere, prepared, execution), list[ResultWarning]()
            ),
            *missing,
            *ran.warnings,
            *execution.warnings(),
            *unattributed_warnings(of_chain),
        ],
        problems=problems,
        host_state=asdict(state.measured) if state.measured else None,
        ran=ran.ran,
        exec_at_s=execution.exec_at_s,
    )
    return masked_tree(startup)


def caches_elsewhere(prepared: PreparedStart, execution: Execution) -> list[ResultWarning]:
    """JIT caches that this start may have filled, or read, where no setting reaches. Those of a container are not on this host."""
    if execution.exec_at_s is None or prepared.settings.vllm.command:
        return []
    caches = caches_of(prepared.settings, prepared.host)
    return warnings_of(WarningKind.STATE, written_elsewhere(caches, execution.started_at))


def loaded_weights(prepared: PreparedStart, execution: Execution, outputs: StartOutputs) -> StartWeights:
    """What is known of the weights of a start that came to its end; a verification start's fingerprint is kept for those to come."""
    settings, host, files, report = prepared.settings, prepared.host, execution.files, outputs.probe
    if not execution.is_asked or execution.stop:
        return StartWeights()
    if verifies(settings):
        found = keep(settings.caches_dir, fingerprint_of(settings, host, files, report, execution.rounds), files)
        _write_fingerprint(prepared.folder, found.as_json())
        return StartWeights()
    if settings.sweep.kind != "start":
        return StartWeights()
    weights = weights_of(settings, host, files, report)
    if weights.document:
        _write_fingerprint(prepared.folder, weights.document)
    return weights


def _write_fingerprint(folder: Path, document: dict[str, Any]) -> None:
    (folder / FINGERPRINT).write_text(json.dumps(document), encoding="utf-8")


def minimal_startup(settings: Settings, execution: Execution) -> Startup:
    """A start of which nothing is known but what was requested: it could not even be prepared, or describing it failed."""
    return Startup(
        name=name_of(settings),
        parent_run_id=settings.sweep.parent_run_id,
        params=settings.flat(),
        tags=t.place_tags(settings) | t.outcome_tags(_observed(execution)),
        started_at=execution.started_at,
        ended_at=execution.ended_at(),
        ready_s=execution.ready_s,
        reason=execution.stop.text if execution.stop else None,
        metrics=measured_metrics.clock_metrics(execution),
        exec_at_s=execution.exec_at_s,
    )


def with_failures(startup: Startup, steps: Steps) -> Startup:
    """The same start, FAILED where one of its steps was. vLLM's own reason, if there is one, stays the reason."""
    failures = warnings_of(WarningKind.STEP, (visible(masked(each)) for each in steps.sentences))
    if not failures:
        return startup
    reason = startup.reason or failures[0].text
    known = {*startup.warnings, ResultWarning(WarningKind.STEP, reason)}
    ending = t.outcome_tags(Ending("failed", reason, classify(reason, None)))
    return replace(
        startup,
        reason=reason,
        tags=startup.tags if startup.reason else startup.tags | ending,
        warnings=[*startup.warnings, *(each for each in failures if each not in known)],
    )


def contradictions(
    prepared: PreparedStart,
    execution: Execution,
    outputs: StartOutputs,
    judged: tuple[StateRecord, RanRecord, StartWeights, StorageUse],
) -> tuple[list[str], list[ResultWarning]]:
    """Why the start does not count, and what is doubtful, by all sources together."""
    if execution.stop:
        return NONE_FOUND  # it does not count anyway
    asked = asked_of(prepared.settings, prepared.host, prepared.command)
    evidence = evidence_of(asked, outputs.log, outputs.probe, execution)
    state, ran, weights, storage = judged
    evidence = replace(
        evidence, state=state.measured, ran_problems=tuple(ran.problems), weights=weights, storage_use=storage
    )
    return problems_in(evidence), doubts_in(evidence)


def ending_of(execution: Execution, log: StartLog) -> Ending:
    """The reason is vLLM's own where it died of something, else what bench observed; the stage that it was in is the log's."""
    stop = execution.stop
    if stop is None:
        return Ending("ready")
    reason, stage = _reason_in(log, execution) or visible(" ".join(stop.text.split())), log.ending.stage
    return Ending("failed", reason, stop.failure_class or classify(reason, stage), stage)


def _reason_in(log: StartLog, execution: Execution) -> str | None:
    """None: vLLM did not end by itself, or printed nothing but that bench closed the connection when it had seen what was wrong."""
    if log.reason is None or execution.stop is None or execution.stop.kind is not StopKind.VLLM_ENDED:
        return None
    is_hang_up = execution.ready_s is not None and log.reason.startswith(HUNG_UP)
    return None if is_hang_up else visible(log.reason)


def _observed(execution: Execution) -> Ending:
    """What is known of the end without the log."""
    stop = execution.stop
    return Ending("failed", stop.text, stop.failure_class) if stop else Ending("ready")


def metrics_of(settings: Settings, outputs: StartOutputs, execution: Execution) -> dict[str, float]:
    """The log's numbers, the clock's, the checkpoint's and the probe's. What was not found is absent."""
    of_log = with_checkpoint(summarise(outputs.log.readings), size_gib(settings))
    load = loading(outputs.probe)
    of_storage = measured_metrics.storage_metrics(execution.storage, execution.exec_at_s, load)
    if load:
        of_storage |= measured_metrics.disk_metrics(disk_use_between(*load, execution.memory.host.counters))
    of_service = measured_metrics.service_metrics(execution, settings.steady.within)
    of_probe = measured_metrics.probe_metrics(outputs.probe)
    return measured_metrics.clock_metrics(execution) | of_log | of_probe | of_storage | of_service
