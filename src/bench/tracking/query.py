"""Reading: sweeps and their starts, as plain records."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.analysis.records import RunRecord, SweepRecord, read_record
from bench.errors import TrackingError
from bench.masking import masked
from bench.start import tags as t
from bench.tracking import sqlite_file
from bench.tracking.evidence import held
from bench.tracking.page import CURVES
from bench.tracking.runs import PARENT, each_once, is_complete
from bench.tracking.store import Store, connect, errors_translated, search

if TYPE_CHECKING:
    from mlflow.entities import Run

T = TypeVar("T")

LATEST = "latest"
IS_SWEEP = t.KIND.equals(t.Kind.SWEEP)
INCOMPLETE = "its upload to MLflow is not complete; `python -m bench.replay FOLDER` brings in the rest"


def find_sweep(uri: str, sweep: str = LATEST) -> SweepRecord:
    """A sweep by its id, its run's id or name, or the latest of the store, whatever experiment it is in; its starts held against
    their own records.

    Raises:
        TrackingError: there is none.
        EvidenceError: MLflow has other values of a start than the start itself.
    """
    if not is_there(uri):
        raise TrackingError(
            f"tracking.uri={uri}: there is no such file, and so no sweep. Is this the folder where you ran it?"
        )
    store = connect(uri)
    with errors_translated(uri):
        parent = _latest(store) if sweep == LATEST else _named(store, sweep)
        sweep_id = parent.data.tags[t.SWEEP.name]
        runs, doubts = held(store, sweep_id, _uploads(store, parent))
    if not runs:
        raise TrackingError(f"sweep={sweep}: sweep {sweep_id} has no start yet.")
    return replace(_sweep_record(parent, runs), doubts=tuple(doubts))


def _sweep_record(parent: "Run", starts: "Sequence[Run]") -> SweepRecord:
    return SweepRecord(
        run_id=parent.info.run_id,
        sweep_id=parent.data.tags[t.SWEEP.name],
        started_at=parent.info.start_time / 1000,
        experiment_id=parent.info.experiment_id,
        replayed=any(t.KIND.in_(run.data.tags) is t.Kind.REPLAY for run in starts),
        starts=tuple(map(_record, starts)),
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


def _latest(store: Store) -> "Run":
    found = next(search(store, IS_SWEEP), None)
    if found is None:
        raise TrackingError(
            f"tracking.uri={masked(store.uri)}: there is no sweep yet. Make one:  python -m bench -m load_format=auto,safetensors"
        )
    return found


def _named(store: Store, sweep: str) -> "Run":
    name = sweep.replace("'", "")
    for condition in (
        t.SWEEP.equals(name),
        f"attributes.run_id = '{name}'",
        f"attributes.run_name = '{name}'",
    ):
        for found in search(store, f"{condition} AND {IS_SWEEP}"):
            return found
    raise TrackingError(f"sweep={sweep}: there is none of this id or name in {masked(store.uri)}.")


def _children(store: Store, parent: "Run") -> list["Run"]:
    """The runs of its starts, each start once by its key."""
    return each_once(_uploads(store, parent))


def _uploads(store: Store, parent: "Run") -> list["Run"]:
    """All runs of its starts, in the order in which they were started."""
    runs = search(store, f"tags.`{PARENT}` = '{parent.info.run_id}'", [parent.info.experiment_id])
    starts = (run for run in runs if t.KIND.in_(run.data.tags) in {t.Kind.START, t.Kind.REPLAY})
    return sorted(starts, key=_begun)


def _begun(run: "Run") -> int:
    """When it was made here: a recorded start begins its time to ready before it was read."""
    is_recorded = t.KIND.in_(run.data.tags) is t.Kind.REPLAY
    moment_ms: int = (run.info.end_time if is_recorded else None) or run.info.start_time
    return moment_ms


def _record(run: "Run") -> RunRecord:
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


def download(uri: str, run_id: str, name: str, folder: Path) -> Path | None:
    """One of a run's artifacts, or None if it has no such file."""
    store = connect(uri)
    with errors_translated(uri):
        if name not in {each.path for each in store.client.list_artifacts(run_id)}:
            return None
        return Path(store.client.download_artifacts(run_id, name, str(folder)))


def download_all(uri: str, run_id: str, folder: Path) -> None:
    """All of a run's artifacts, with their folders."""
    store = connect(uri)
    with errors_translated(uri):
        store.client.download_artifacts(run_id, "", str(folder))
