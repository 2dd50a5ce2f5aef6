"""Writing: the run of a sweep, below which its starts are, and what a run of any kind is made with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from bench.config import Tracking
from bench.errors import StoreError
from bench.masking import masked, masked_tree
from bench.start import tags as t
from bench.system.process_identity import this_process
from bench.system.whole_files import write_whole
from bench.tracking.log_run import log, text_of
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.owner import this_owner
from bench.tracking.page import COMMIT, origin_tags, sweep_name
from bench.tracking.store import Store, connect, experiment_id, search

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
NAME = "mlflow.runName"
SOURCE_TYPE = "mlflow.source.type"  # PROJECT: opened by `mlflow run`
SWEEP_FILE = "sweep_run.json"
LATE = {t.BLOCKS.name, t.STORAGE_LIMIT.name}  # tags of a sweep that are known at its end


@dataclass(frozen=True)
class SweepRun:
    """The data of a sweep's run; also saved beside its starts, for a store that is away when the sweep begins or ends."""

    sweep_id: str
    started_at: float  # UNIX time
    params: dict[str, str]
    tags: dict[str, str]
    run_id: str | None = None  # None: the store was away
    adopted: bool = False
    ended_by: str | None = None  # in words; None: it is running, or was killed
    failed: bool = True
    below: str | None = None  # the user's run whose child it is

    def save(self, folder: Path) -> None:
        write_whole(folder / SWEEP_FILE, json.dumps(asdict(self), indent=2), is_private=True)

    @staticmethod
    def load(folder: Path) -> "SweepRun | None":
        """None: there is none, or none that can be read."""
        try:
            return TypeAdapter(SweepRun).validate_json((folder / SWEEP_FILE).read_bytes())
        except (OSError, ValueError):
            return None


def log_sweep(tracking: Tracking, sweep: SweepRun) -> str:
    """The sweep's run, made where the store has none, and ended where the sweep has. Returns its id."""
    with errors_translated(tracking.uri):
        store = connect(tracking.uri)
        found = run_if_there(store, sweep.run_id) or sweep_of(store, sweep.sweep_id)
    run_id = str(found.info.run_id) if found else None
    if run_id is None or sweep.adopted:
        run_id = open_sweep(tracking, sweep, adopted=run_id)
    if sweep.ended_by:
        close_sweep(
            tracking, run_id, failed=sweep.failed, ended_by=sweep.ended_by, adopted=sweep.adopted, tags=sweep.tags
        )
    return run_id


def reopen_sweep(tracking: Tracking, run_id: str, sweep: SweepRun) -> None:
    """An interrupted sweep goes on: its run is RUNNING again, this process its driver, and how many blocks it will have is open."""
    with errors_translated(tracking.uri):
        client = connect(tracking.uri).client
        if t.BLOCKS.name in client.get_run(run_id).data.tags:
            client.delete_tag(run_id, t.BLOCKS.name)
        set_tags(client, run_id, t.DRIVER.of(this_process().as_text()) | t.PLANNED.of(t.PLANNED.in_(sweep.tags)))
        client.update_run(run_id, status="RUNNING")


def open_sweep(tracking: Tracking, sweep: SweepRun, *, adopted: str | None = None) -> str:
    """The sweep's run, RUNNING: a new one, or `adopted`, which `mlflow run` has opened for this process. Returns its id."""
    store = connect(tracking.uri)
    with errors_translated(tracking.uri):
        name = sweep_name(sweep.sweep_id, sweep.tags)
        above = {PARENT: sweep.below} if sweep.below else {}
        place = (
            store.client.get_run(sweep.below).info.experiment_id  # MLflow shows no child of another experiment
            if sweep.below
            else experiment_id(store, tracking.experiment)
        )
        run_id = adopted or create_run(store, str(place), name, sweep.started_at, above)
        kind = t.KIND.of(t.Kind.SWEEP) | t.SWEEP.of(sweep.sweep_id) | t.DRIVER.of(this_process().as_text())
        origin = {} if adopted else origin_tags(sweep.tags.get(COMMIT))  # `mlflow run` has written its own
        origin |= this_owner().tags
        tags = origin | sweep.tags | kind | {NAME: text_of(masked(name))}
        log(store, run_id, params=sweep.params, metrics={}, tags=tags)
    return run_id


def given_run(tracking: Tracking, run_id: str | None) -> tuple[str | None, str | None]:
    """What MLFLOW_RUN_ID is for a sweep: the run that `mlflow run` has opened for it, which it becomes, or one of the user's, below
    which it goes. Returns the one, and the other.

    Raises:
        StoreError: the store has no such run.
    """
    if run_id is None:
        return None, None
    with errors_translated(tracking.uri):
        run = run_if_there(connect(tracking.uri), run_id)
    if run is None or run.info.lifecycle_stage == "deleted":
        raise StoreError(
            f"MLFLOW_RUN_ID={run_id}: there is no such run at tracking.uri={masked(tracking.uri)}. Unset it, or set tracking.uri to its store."
        )
    if run.data.tags.get(SOURCE_TYPE) == "PROJECT" and t.SWEEP.in_(run.data.tags) is None:
        return run_id, None
    return None, run_id


def close_sweep(  # noqa: PLR0913  # each is a fact of its end
    tracking: Tracking,
    run_id: str,
    *,
    failed: bool,
    ended_by: str | None,
    adopted: bool = False,
    tags: Mapping[str, str] | None = None,
) -> None:
    """End the sweep's run, and record what ended it, and of its tags those that are known only then: after how many blocks, and what its storage
    can do. An adopted run is ended by the one that opened it.
    """
    with errors_translated(tracking.uri):
        client = connect(tracking.uri).client
        late = {name: value for name, value in (tags or {}).items() if name in LATE}
        set_tags(client, run_id, t.ENDED_BY.of(ended_by) | late)
        if not adopted:
            client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


def run_if_there(store: Store, run_id: str | None) -> "Run | None":
    """None: the store has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def sweep_of(store: Store, sweep_id: str | None) -> "Run | None":
    """The run of the sweep with this id; None: the store has none."""
    if sweep_id is None:
        return None
    return next(search(store, f"{t.SWEEP.equals(sweep_id)} AND {t.KIND.equals(t.Kind.SWEEP)}"), None)


def create_run(store: Store, experiment: str, name: str, started_at: float, tags: dict[str, str]) -> str:
    """A new run that began at this UNIX time. Returns its id."""
    run = store.client.create_run(
        experiment, start_time=int(started_at * 1000), tags=masked_tree(tags), run_name=text_of(masked(name))
    )
    return str(run.info.run_id)


def set_tags(client: "MlflowClient", run_id: str, tags: dict[str, str]) -> None:
    """One by one, as MLflow sets tags."""
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
