"""Writing: sweeps, starts and preparations become MLflow runs."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.config import Tracking
from bench.errors import TrackingError
from bench.masking import masked, masked_tree
from bench.startup.plugin import PROBE
from bench.startup.record import OUTPUTS, Startup
from bench.startup.trace import read_trace
from bench.tracking.store import Store, connect, experiment_id, log, log_files, talking_to
from bench.tracking.traces import log_trace
from bench.weights.prepare import Made

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
PREPARATIONS = "-prepare"  # an experiment of their own: a start is never listed beside what was made for it


def open_sweep(  # noqa: PLR0913  # each is a fact of one run
    tracking: Tracking,
    sweep_id: str,
    *,
    adopted: str | None,
    params: dict[str, str],
    tags: dict[str, str],
    started_at: float | None = None,
) -> str:
    """The sweep's run, RUNNING: a new one, or the run that `mlflow run` has opened for this process. `started_at` is UNIX
    time, where it was not now.
    """
    store = connect(tracking.uri)
    with talking_to(tracking.uri):
        run_id = adopted or _create(
            store, experiment_id(store, tracking.experiment), sweep_id, started_at or time.time(), {}
        )
        kind = {"bench.kind": "sweep", "bench.sweep": sweep_id, NAME: sweep_id}
        log(store, run_id, params=params, metrics={}, tags=tags | kind)
    return run_id


def close_sweep(tracking: Tracking, run_id: str, *, failed: bool, ended_by: str | None, adopted: bool) -> None:
    """End the sweep's run, and write down what ended it, where that is known. An adopted run is ended by the one that opened it."""
    client = connect(tracking.uri).client
    with talking_to(tracking.uri):
        if ended_by:
            client.set_tag(run_id, "bench.ended_by", ended_by)
        if not adopted:
            client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


def log_start(tracking: Tracking, startup: Startup, folder: Path) -> str:
    """One start as a run and a trace with their real times, all of `folder` as its artifacts. Returns the run's id."""
    store, parent = connect(tracking.uri), startup.parent_run_id
    tags = startup.tags | ({PARENT: parent} if parent else {})
    with talking_to(tracking.uri):
        if parent:  # a child goes where its parent is
            experiment = str(store.client.get_run(parent).info.experiment_id)
        else:
            priming = startup.tags.get("bench.kind") == "prime"
            experiment = experiment_id(store, tracking.experiment + (PREPARATIONS if priming else ""))
        run_id = _create(store, experiment, startup.name, startup.started_at, tags)
        status = "KILLED"  # should somebody interrupt the upload
        try:
            log(store, run_id, params=startup.params, metrics=startup.metrics, tags=_doubts(startup))
            log_files(store, run_id, (path for path in _files(folder) if path.name in OUTPUTS))
            log_files(store, run_id, _files(folder / PROBE), PROBE)
            if refused := _refused_trace(store, experiment, run_id, startup, folder):
                doubting = replace(startup, warnings=[*startup.warnings, refused])
                log(store, run_id, params={}, metrics={}, tags=_doubts(doubting))
            status = "FAILED" if startup.failed else "FINISHED"
        finally:
            store.client.set_terminated(run_id, status, int(startup.ended_at * 1000))
    return run_id


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.is_file() and not path.is_symlink())


def _refused_trace(store: Store, experiment: str, run_id: str, startup: Startup, folder: Path) -> str | None:
    """Writes the trace, last of all. None: MLflow took it, or there is nothing to draw; else a warning.

    A server that cannot keep traces must not cost the run, whose artifacts hold the same tree as trace.json. One that is
    away is noticed by what follows.
    """
    try:
        with talking_to(store.uri):
            if tree := read_trace(startup, folder):
                log_trace(store, experiment, run_id, tree, startup.started_at)
    except (TrackingError, NotImplementedError) as error:
        return f"MLflow has no trace of this start: {error}"
    return None


def _doubts(startup: Startup) -> dict[str, str]:
    """Reason and warnings: as tags, to be searched for, and as the run's description, to be seen."""
    tags = {"bench.reason": startup.reason} if startup.reason else {}
    if startup.warnings:
        tags["bench.warnings"] = "\n".join(startup.warnings)
    lines = [f"**Failed:** {startup.reason}"] if startup.reason else []
    lines += [f"**Does not count:** {problem}" for problem in startup.problems]
    lines += [f"- Warning: {warning}" for warning in startup.warnings]
    return tags | ({NOTE: "\n".join(lines)} if lines else {})


def log_preparation(
    tracking: Tracking, params: dict[str, str], made: Made, files: Iterable[Path], tags: Mapping[str, str]
) -> str:
    """A checkpoint that was made, as a FINISHED run of the preparations' own experiment."""
    store, began_at = connect(tracking.uri), time.time() - made.duration_s
    metrics = {"prepare_s": made.duration_s, "checkpoint/size_gib": made.size_gib}
    with talking_to(tracking.uri):
        experiment = experiment_id(store, tracking.experiment + PREPARATIONS)
        run_id = _create(store, experiment, made.folder.name, began_at, {"bench.kind": "prepare"} | dict(tags))
        log(store, run_id, params=params, metrics=metrics, tags={})
        log_files(store, run_id, files)
        store.client.set_terminated(run_id, "FINISHED")
    return run_id


def _create(store: Store, experiment: str, name: str, started_at: float, tags: dict[str, str]) -> str:
    run = store.client.create_run(
        experiment, start_time=int(started_at * 1000), tags=masked_tree(tags), run_name=masked(name)
    )
    return str(run.info.run_id)


def log_report(tracking: Tracking, run_id: str, *, metrics: dict[str, float], note: str, files: Iterable[Path]) -> None:
    """The report of a sweep, in the sweep's own run: its files, its summary, and its table as the run's description."""
    store = connect(tracking.uri)
    with talking_to(tracking.uri):
        log(store, run_id, params={}, metrics=metrics, tags={NOTE: note})
        log_files(store, run_id, files, "report")
