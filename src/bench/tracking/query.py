"""Reading: sweeps and their starts, as plain records."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from bench.analysis.records import Doubt, RunRecord, SweepRecord, read_record
from bench.config import Tracking
from bench.errors import TrackingError
from bench.masking import masked
from bench.start import tags as t
from bench.tracking import sqlite_file
from bench.tracking.executions import Held
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.owner import Owner, owner_of, this_owner
from bench.tracking.page import CURVES
from bench.tracking.runs import each_once, is_complete
from bench.tracking.store import Store, connect, search
from bench.tracking.sweeps import PARENT

if TYPE_CHECKING:
    from mlflow.entities import Run

T = TypeVar("T")

LATEST, PREVIOUS = "latest", "previous"
RECENT = (LATEST, PREVIOUS)  # of one's own sweeps
EXPERIMENTS_SHOWN = 5
IS_SWEEP = t.KIND.equals(t.Kind.SWEEP)
INCOMPLETE = "its upload to MLflow is not complete; `python -m bench.replay FOLDER` brings in the rest"


def connect_to_read(uri: str) -> Store:
    """The store, which is not made where it is missing.

    Raises:
        TrackingError: it is missing.
    """
    if not is_there(uri):
        raise TrackingError(
            f"tracking.uri={uri}: there is no such file, and so no sweep. Is this the folder where you ran it?"
        )
    return connect(uri)


def sweep_run(store: Store, tracking: Tracking, sweep: str) -> "Run":
    """The run of the sweep that is called so.

    Raises:
        TrackingError: there is none.
    """
    if found := _own(store, tracking, sweep) if sweep in RECENT else run_called(store, sweep):
        return found
    raise TrackingError(f"sweep={sweep}: there is none of this id or name in {masked(store.uri)}.")


def sweep_record(parent: "Run", found: Sequence[Held], doubts: Sequence[Doubt]) -> SweepRecord:
    """A sweep that has starts.

    Raises:
        TrackingError: it has none yet.
    """
    if not found:
        raise TrackingError(f"sweep {parent.data.tags[t.SWEEP.name]} has no start yet.")
    record = _sweep_record(parent, [each.run for each in found])
    return replace(record, starts=tuple(map(as_recorded, found)), doubts=tuple(doubts))


def as_recorded(held: Held) -> RunRecord:
    """A start under its own name, and without the params that users have added to its run: no setting was another."""
    record = record_of(held.run)
    if held.startup is None:
        return record
    recorded = held.recorded_names
    own = {name: value for name, value in record.params.items() if name in recorded}
    return replace(record, name=held.own_name, params=own)


def _sweep_record(parent: "Run", starts: "Sequence[Run]") -> SweepRecord:
    return SweepRecord(
        run_id=parent.info.run_id,
        sweep_id=parent.data.tags[t.SWEEP.name],
        started_at=parent.info.start_time / 1000,
        experiment_id=parent.info.experiment_id,
        replayed=any(t.KIND.in_(run.data.tags) is t.Kind.REPLAY for run in starts),
        starts=tuple(map(record_of, starts)),
        order=t.POINTS.in_(parent.data.tags) or (),
        ended_by=t.ENDED_BY.in_(parent.data.tags),
        params=dict(parent.data.params),
        tags=dict(parent.data.tags),
    )


def is_there(uri: str) -> bool:
    """Whether the store exists, as far as it is a SQLite file: reading must not create one."""
    path = sqlite_file.path_of(uri)
    return path is None or path.exists()


def unfinished_sweep(uri: str, signature: str) -> SweepRecord | None:
    """The latest sweep of this signature, with all that it has done: what `resume=true` goes on with."""
    store = connect(uri)
    condition = f"{t.SIGNATURE.equals(signature)} AND {IS_SWEEP}"
    with errors_translated(uri):
        parent = next(search(store, condition), None)
        return _sweep_record(parent, _children(store, parent)) if parent else None


def sweep_if_known(uri: str, sweep_id: str) -> SweepRecord | None:
    """The sweep of exactly this id, with what it has so far; None: the store has none."""
    if not is_there(uri):
        return None
    store = connect(uri)
    with errors_translated(uri):
        parent = next(search(store, f"{t.SWEEP.equals(sweep_id)} AND {IS_SWEEP}"), None)
        return _sweep_record(parent, _children(store, parent)) if parent else None


def _own(store: Store, tracking: Tracking, which: str) -> "Run":
    """The latest of one's own in this experiment, or the one before it."""
    places = _places(store, tracking)
    us, count = this_owner(), RECENT.index(which) + 1
    found = {
        run.info.run_id: run
        for condition in us.conditions
        for run in islice(search(store, f"{condition} AND {IS_SWEEP}", places, page=count) if places else (), count)
    }
    newest_first = sorted(found.values(), key=lambda run: run.info.start_time, reverse=True)
    if len(newest_first) >= count:
        return newest_first[count - 1]
    if not places and next(search(store, IS_SWEEP, page=1), None):
        raise TrackingError(
            f"tracking.experiment={tracking.experiment}: there is no such experiment in {masked(store.uri)}.{_others(store)}"
        )
    raise TrackingError(_none_of_ours(store, which, us, len(newest_first)))


def _places(store: Store, tracking: Tracking) -> list[str]:
    """The experiment that `mlflow run` works in, by its environment; else that of the settings. Empty: it is not there."""
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return [given]
    experiment = store.client.get_experiment_by_name(tracking.experiment)
    return [str(experiment.experiment_id)] if experiment else []


def _others(store: Store) -> str:
    """The experiments that there are, in a sentence."""
    names = [each.name for each in store.client.search_experiments(max_results=EXPERIMENTS_SHOWN)]
    return f" There are {', '.join(map(masked, names))}."


def _none_of_ours(store: Store, which: str, us: Owner, count: int) -> str:
    """Why there is no such sweep, with that of another, if there is one: its reader may want that one."""
    other = next(search(store, IS_SWEEP, page=1), None)
    if count:
        return f"sweep={which}: in this experiment there is but one sweep of this user or in this folder ({us})."
    if other is None:
        return f"tracking.uri={masked(store.uri)}: there is no sweep yet. Make one:  python -m bench -m load_format=auto,safetensors"
    sweep_id = other.data.tags.get(t.SWEEP.name, other.info.run_id)
    return (
        f"sweep={which}: no sweep in this experiment was made by this user or in this folder ({us}). "
        f"The latest of all experiments was made {owner_of(other.data.tags)}: sweep={sweep_id}"
    )


def run_called(store: Store, sweep: str) -> "Run | None":
    """The run of the sweep that has this id, or whose run has this id or name. None: there is none."""
    name = sweep.replace("'", "")
    for condition in (
        t.SWEEP.equals(name),
        f"attributes.run_id = '{name}'",
        f"attributes.run_name = '{name}'",
    ):
        for found in search(store, f"{condition} AND {IS_SWEEP}"):
            return found
    return None


def _children(store: Store, parent: "Run") -> list["Run"]:
    """The runs of its starts, each start once by its key."""
    return each_once(uploads_of(store, parent))


def uploads_of(store: Store, parent: "Run") -> list["Run"]:
    """All runs of its starts, in the order in which they were started."""
    runs = search(store, f"tags.`{PARENT}` = '{parent.info.run_id}'", [parent.info.experiment_id])
    starts = (run for run in runs if t.KIND.in_(run.data.tags) in {t.Kind.START, t.Kind.REPLAY})
    return sorted(starts, key=_begun)


def _begun(run: "Run") -> int:
    """When it was made here: a recorded start begins its time to ready before it was read."""
    is_recorded = t.KIND.in_(run.data.tags) is t.Kind.REPLAY
    moment_ms: int = (run.info.end_time if is_recorded else None) or run.info.start_time
    return moment_ms


def record_of(run: "Run") -> RunRecord:
    """A start as a plain record; one whose upload is not complete has failed."""
    complete, info, data = is_complete(run), run.info, run.data
    record = read_record(
        info.run_id,
        info.run_name,
        failed=info.status != "FINISHED" or not complete,
        params=dict(data.params),
        metrics={name: value for name, value in data.metrics.items() if not name.startswith(CURVES)},
        tags=dict(data.tags),
    )
    return record if complete else replace(record, reason=INCOMPLETE)
