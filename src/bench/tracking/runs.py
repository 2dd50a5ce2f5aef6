"""Writing: sweeps, starts and preparations become MLflow runs."""

import time
from collections.abc import Mapping
from pathlib import Path

from bench.config import Tracking
from bench.startup.record import Startup
from bench.tracking.store import Store, connect, experiment_id, log, log_files

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
PREPARATIONS = "-prepare"  # an experiment of their own: a start is never listed beside what was made for it


def open_sweep(tracking: Tracking, sweep_id: str, *, adopted: str | None, params: dict[str, str], tags: dict[str, str]) -> str:
    """The sweep's run, RUNNING: a new one, or the run that `mlflow run` has opened for this process."""
    store = connect(tracking.uri)
    run_id = adopted or _create(store, experiment_id(store, tracking.experiment), sweep_id, time.time(), {})
    kind = {"bench.kind": "sweep", "bench.sweep": sweep_id, NAME: sweep_id}
    log(store, run_id, params=params, metrics={}, tags=tags | kind)
    return run_id


def close_sweep(tracking: Tracking, run_id: str, *, failed: bool) -> None:
    connect(tracking.uri).client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


def log_start(tracking: Tracking, startup: Startup, folder: Path) -> str:
    """One start as a run with its real times, all of `folder` as its artifacts. Returns the run's id."""
    store, parent = connect(tracking.uri), startup.parent_run_id
    if parent:  # a child goes where its parent is
        experiment = str(store.client.get_run(parent).info.experiment_id)
    else:
        experiment = experiment_id(store, tracking.experiment)
    tags = startup.tags | ({PARENT: parent} if parent else {})
    run_id = _create(store, experiment, startup.name, startup.started_at, tags)
    extra = {"bench.reason": startup.reason} if startup.reason else {}
    if startup.warnings:
        extra["bench.warnings"] = "\n".join(startup.warnings)
    log(store, run_id, params=startup.params, metrics=startup.metrics, tags=extra | _note(startup))
    log_files(store, run_id, (path for path in sorted(folder.iterdir()) if path.is_file()))
    store.client.set_terminated(run_id, "FAILED" if startup.failed else "FINISHED", int(startup.ended_at * 1000))
    return run_id


def _note(startup: Startup) -> dict[str, str]:
    lines = [f"**Failed:** {startup.reason}"] if startup.reason else []
    lines += [f"- Warning: {warning}" for warning in startup.warnings]
    return {NOTE: "\n".join(lines)} if lines else {}


def log_preparation(
    tracking: Tracking, name: str, *, params: dict[str, str], metrics: dict[str, float], tags: Mapping[str, str], files: list[Path]
) -> str:
    """A checkpoint that was made, as a FINISHED run of the preparations' own experiment."""
    store = connect(tracking.uri)
    experiment = experiment_id(store, tracking.experiment + PREPARATIONS)
    run_id = _create(store, experiment, name, time.time() - metrics.get("prepare_s", 0.0), {"bench.kind": "prepare"} | dict(tags))
    log(store, run_id, params=params, metrics=metrics, tags={})
    log_files(store, run_id, files)
    store.client.set_terminated(run_id, "FINISHED")
    return run_id


def _create(store: Store, experiment: str, name: str, started_at: float, tags: dict[str, str]) -> str:
    run = store.client.create_run(experiment, start_time=int(started_at * 1000), tags=tags, run_name=name)
    return str(run.info.run_id)
