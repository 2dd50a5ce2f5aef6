"""Writing: starts, preparations and reports become MLflow runs, or part of them; and runs that nobody will end are ended."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.analysis.records import REPORT
from bench.config import Tracking
from bench.errors import LockError, TrackingError
from bench.masking import masked_tree
from bench.start import tags as t
from bench.start.files import OUTPUTS, PROBE
from bench.start.metric_types import named
from bench.start.metrics import CHECKPOINT_SIZE, PREPARE
from bench.start.record import Startup
from bench.start.trace import trace_of
from bench.start.warning import ResultWarning, WarningKind
from bench.system.locks import locked
from bench.system.process_identity import parse, this_process
from bench.tracking.log_run import log, log_files
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.page import COMMIT, decorate, origin_tags, start_note
from bench.tracking.store import Store, connect, experiment_id, search
from bench.tracking.sweeps import PARENT, SweepRun, create_run, log_sweep, run_if_there, set_tags, sweep_of
from bench.tracking.traces import log_trace
from bench.tracking.views import NOTE
from bench.weights.make import Made

if TYPE_CHECKING:
    from mlflow.entities import Run

Columns = Mapping[str, list[Any]]  # of a table, by their names; a value a row

UPLOAD_LOCK = ".upload.lock"
UPLOAD_WAIT_S = 60.0  # for another process that uploads the same start
LOGGED = "mlflow.loggedArtifacts"  # which of a run's files are tables
PREPARATIONS = "-prepare"  # an experiment of their own: a start is never listed beside what was made for it


def log_start(tracking: Tracking, startup: Startup, folder: Path) -> str:
    """One start as a run and a trace with their real times, the files of a start in `folder` as its artifacts. Returns the
    run's id.

    What an earlier call has done, wherever and however it ended, is not done again: the start's key names its run. The run
    is KILLED until all of it is there.
    """
    with _uploaded_by_us_alone(folder), errors_translated(tracking.uri):
        store = connect(tracking.uri)
        found = run_of(store, startup.key)
        if found and is_complete(found):
            return str(found.info.run_id)
        parent = _parent_of(store, tracking, startup, folder)
        experiment = str(parent.info.experiment_id) if parent else _own_experiment(store, tracking, startup)
        run_id = str(found.info.run_id) if found else _create_start(store, experiment, startup)
        tags = (
            origin_tags(startup.tags.get(COMMIT))
            | start_note(startup)
            | ({PARENT: str(parent.info.run_id)} if parent else {})
        )
        log(store, run_id, params=startup.params, metrics=startup.metrics, tags=startup.run_tags | tags)
        log_files(store, run_id, (path for path in _files(folder) if path.name in OUTPUTS))
        log_files(store, run_id, _files(folder / PROBE), PROBE)
        decorate(store, run_id, startup, folder)
        if refused := _refused_trace(store, experiment, run_id, startup):
            doubting = replace(startup, warnings=[*startup.warnings, ResultWarning(WarningKind.TRACE, refused)])
            log(
                store,
                run_id,
                params={},
                metrics={},
                tags=t.WARNINGS.of(tuple(doubting.warnings)) | start_note(doubting),
            )
        store.client.set_terminated(run_id, "FAILED" if startup.failed else "FINISHED", int(startup.ended_at * 1000))
        set_tags(store.client, run_id, t.UPLOADED.of(value=True))
    return run_id


@contextmanager
def _uploaded_by_us_alone(folder: Path) -> Iterator[None]:
    """Another process may be bringing in the same start. Where the folder takes no lock, readers count its key once."""
    if not os.access(folder, os.W_OK):
        yield
        return
    try:
        with locked(folder / UPLOAD_LOCK, lambda _: None, timeout_s=UPLOAD_WAIT_S):
            yield
    except LockError as error:
        raise TrackingError(f"another process is uploading this start: {error}") from error


def run_of(store: Store, key: str) -> "Run | None":
    """The run of the start with this key, in whatever experiment; the complete one, if there are several."""
    found = search(store, t.KEY.equals(key))
    return next(iter(each_once(found)), None)


def each_once(runs: "Iterable[Run]") -> "list[Run]":
    """One run for each start: a complete one where there is one. Runs of a bench that wrote no keys are each their own."""
    best: dict[str, Run] = {}
    for run in runs:
        key = t.KEY.in_(run.data.tags) or run.info.run_id
        if key not in best or (is_complete(run) and not is_complete(best[key])):
            best[key] = run
    return list(best.values())


def is_complete(run: "Run") -> bool:
    """Whether all of its start was uploaded. Runs of a bench that wrote no keys are taken as they are."""
    return t.KEY.in_(run.data.tags) is None or t.UPLOADED.in_(run.data.tags) is True


def _create_start(store: Store, experiment: str, startup: Startup) -> str:
    """Never left RUNNING: that start is over."""
    run_id = create_run(store, experiment, startup.name, startup.started_at, t.KEY.of(startup.key))
    store.client.set_terminated(run_id, "KILLED", int(startup.ended_at * 1000))
    return run_id


def _own_experiment(store: Store, tracking: Tracking, startup: Startup) -> str:
    priming = t.KIND.in_(startup.tags) is t.Kind.PRIME
    return experiment_id(store, tracking.experiment + (PREPARATIONS if priming else ""))


def _parent_of(store: Store, tracking: Tracking, startup: Startup, folder: Path) -> "Run | None":
    """The sweep's run, whose experiment is the start's too, even if it was renamed. Where the store lost it, or was away
    when the sweep began, it is made from what the sweep wrote beside its starts.
    """
    if t.KIND.in_(startup.tags) is t.Kind.PRIME:
        return None
    sweep_id = t.SWEEP.in_(startup.tags)
    if found := run_if_there(store, startup.parent_run_id) or sweep_of(store, sweep_id):
        return found
    if sweep_id is None:
        return None
    sweep = SweepRun.load(folder.parent) or SweepRun(sweep_id, startup.started_at, {}, {})
    return store.client.get_run(log_sweep(tracking, sweep))


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.is_file() and not path.is_symlink()]


def _refused_trace(store: Store, experiment: str, run_id: str, startup: Startup) -> str | None:
    """Writes the trace, last of all. None: MLflow took it, or there is nothing to draw; else a warning.

    A server that cannot keep traces must not cost the run, whose artifacts hold the same tree as trace.json. One that is
    away is noticed by what follows.
    """
    try:
        with errors_translated(store.uri):
            if tree := trace_of(startup):
                log_trace(store, experiment, run_id, tree, startup.started_at)
    except (TrackingError, NotImplementedError) as error:
        return f"MLflow has no trace of this start: {error}"
    return None


def log_preparation(
    tracking: Tracking, params: dict[str, str], made: Made, files: Iterable[Path], tags: Mapping[str, str]
) -> str:
    """A checkpoint that was made, as a FINISHED run of the preparations' own experiment."""
    store, began_at = connect(tracking.uri), time.time() - made.duration_s
    metrics = named({PREPARE: made.duration_s, CHECKPOINT_SIZE: made.size_gib})
    with errors_translated(tracking.uri):
        experiment = experiment_id(store, tracking.experiment + PREPARATIONS)
        own = t.KIND.of(t.Kind.PREPARE) | t.DRIVER.of(this_process().as_text())
        run_id = create_run(store, experiment, made.folder.name, began_at, own | dict(tags))
        log(store, run_id, params=params, metrics=metrics, tags={})
        log_files(store, run_id, files)
        store.client.set_terminated(run_id, "FINISHED")
    return run_id


def log_report(  # noqa: PLR0913  # each is a part of it
    tracking: Tracking,
    run_id: str,
    *,
    metrics: dict[str, float],
    note: str,
    files: Iterable[Path],
    tables: Mapping[str, Columns],
) -> None:
    """The report of a sweep, in the sweep's own run: its files, its summary, its text as the run's description, and its tables as MLflow's
    pages and `mlflow.load_table` find them. An earlier report is replaced.
    """
    store = connect(tracking.uri)
    with errors_translated(tracking.uri):
        log(store, run_id, params={}, metrics=metrics, tags={NOTE: note}, replaces=True)
        log_files(store, run_id, files, REPORT)
        _log_tables(store, run_id, tables)


def _log_tables(store: Store, run_id: str, tables: Mapping[str, Columns]) -> None:
    """As `log_table` of MLflow writes them, which would add a second report's rows to those of the first."""
    with TemporaryDirectory() as place:
        for name, columns in tables.items():
            path, rows = Path(place) / name, zip(*columns.values(), strict=True)
            path.write_text(json.dumps(masked_tree({"columns": [*columns], "data": [*map(list, rows)]})))
            log_files(store, run_id, [path], REPORT)
    logged = json.loads(store.client.get_run(run_id).data.tags.get(LOGGED, "[]"))
    ours = [{"path": f"{REPORT}/{name}", "type": "table"} for name in tables]
    set_tags(store.client, run_id, {LOGGED: json.dumps([*logged, *(each for each in ours if each not in logged)])})


def end_abandoned(tracking: Tracking) -> list[str]:
    """Ends runs that are RUNNING although the process that should end them is gone (killed, or its host was restarted) as KILLED, in all
    experiments, and returns a sentence for each. Runs of other hosts, of other containers and of
    living processes stay as they are.

    Raises:
        TrackingError: the store is away, or cannot be written.
    """
    host, sentences = this_process().host.replace("'", ""), []
    with errors_translated(tracking.uri):
        store = connect(tracking.uri)
        for run in [*search(store, f"attributes.status = 'RUNNING' AND tags.`{t.DRIVER.name}` LIKE '{host} %'")]:
            driver = parse(run.data.tags[t.DRIVER.name])
            if driver is None or not driver.is_gone:
                continue
            reason = f"its driver, {driver}, is gone"
            store.client.set_tag(run.info.run_id, t.ENDED_BY.name, reason)
            store.client.set_terminated(run.info.run_id, "KILLED")
            sentences.append(f"run {run.info.run_name} is KILLED: {reason}")
    return sentences
