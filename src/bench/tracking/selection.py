"""What the command line names to be compared: a sweep, several, points of them, or single starts; with all their starts, read and checked."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.analysis.between import Side
from bench.analysis.records import Doubt, SweepRecord
from bench.config import Tracking
from bench.errors import TrackingError
from bench.masking import masked
from bench.start import tags as t
from bench.start.files import FINGERPRINT
from bench.system.regular_files import read_at_most
from bench.tracking.artifacts import download
from bench.tracking.evidence import held
from bench.tracking.executions import Held, in_one_sweep_only
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.query import (
    PREVIOUS,
    RECENT,
    as_recorded,
    connect_to_read,
    run_called,
    sweep_record,
    sweep_run,
    uploads_of,
)
from bench.tracking.store import Store
from bench.tracking.sweeps import run_if_there
from bench.weights.fingerprint import Fingerprint, from_json

if TYPE_CHECKING:
    from mlflow.entities import Run

BYTES_AT_MOST = 256 << 20  # of a fingerprint
DIGITS = 4  # of a run's id, behind the time of its start

Find = Callable[[str], "Run | None"]  # a sweep's run, by what it is called
Part = tuple[str, "Run", str | None]  # what it is called, its run, one of its points


def selected(tracking: Tracking, sweep: str, runs: str = "") -> tuple[list[Side], list[Doubt]]:
    """`sweep` is one, or several separated by commas, each with a point behind a colon if one is wanted; `runs` are ids of starts,
    and come first. The baseline's is the first; of the latest and the previous sweep the previous. With doubts about all of them together.

    Raises:
        TrackingError: there is none of that name, it has no start yet, or all of them are starts of another.
        EvidenceError: MLflow has other values of a start than the start itself.
    """
    store = connect_to_read(tracking.uri)
    with errors_translated(tracking.uri):
        return _starts(store, runs.split(",")) if runs else _sweeps(store, tracking, sweep)


def _sweeps(store: Store, tracking: Tracking, text: str) -> tuple[list[Side], list[Doubt]]:
    found: dict[str, Run | None] = {}

    def find(name: str) -> "Run | None":
        if name not in found:
            found[name] = sweep_run(store, tracking, name) if name in RECENT else run_called(store, name)
        return found[name]

    parts = parts_of(text, find, masked(store.uri))
    if {name for name, _, _ in parts} == {*RECENT}:
        parts.sort(key=lambda part: part[0] != PREVIOUS)
    parents = {_sweep_id(run): run for _, run, _ in parts}
    checked = {sweep_id: held(store, sweep_id, uploads_of(store, run)) for sweep_id, run in parents.items()}
    kept, doubts = in_one_sweep_only({sweep_id: starts for sweep_id, (starts, _) in checked.items()})
    records = {
        sweep_id: sweep_record(run, _left(sweep_id, kept[sweep_id], checked[sweep_id][0]), checked[sweep_id][1])
        for sweep_id, run in parents.items()
    }
    return [Side(records[_sweep_id(run)], point) for _, run, point in parts], doubts


def _sweep_id(run: "Run") -> str:
    return str(run.data.tags[t.SWEEP.name])


def _left(sweep_id: str, kept: Sequence[Held], all_of_it: Sequence[Held]) -> Sequence[Held]:
    if all_of_it and not kept:
        raise TrackingError(
            f"sweep {sweep_id}: all of its starts are starts of another sweep that is compared, and count once."
        )
    return kept


def parts_of(text: str, find: Find, place: str) -> list[Part]:
    """The sweeps that a text names, each with its point. Names and labels may hold commas and colons themselves. `place`: where they
    are looked for, for the message.

    Raises:
        TrackingError: no way to read it fits what is there.
    """
    pieces = text.split(",")
    if whole := find(text):
        return [(text, whole, None)]
    if found := _read(pieces, find):
        return found
    raise TrackingError(_misread(pieces, find, place))


def _read(pieces: Sequence[str], find: Find) -> list[Part] | None:
    """The shortest names first; None: these pieces name nothing."""
    for end in range(1, len(pieces) + 1):
        part = _part(",".join(pieces[:end]), find)
        rest = _read(pieces[end:], find) if part and pieces[end:] else []
        if part and rest is not None:
            return [part, *rest]
    return None


def _part(text: str, find: Find) -> Part | None:
    if run := find(text):
        return text, run, None
    for at in (at for at, letter in enumerate(text) if letter == ":"):
        name, point = text[:at], text[at + 1 :]
        if (run := find(name)) and point in (t.POINTS.in_(run.data.tags) or (point,)):
            return name, run, point
    return None


def _misread(pieces: Sequence[str], find: Find, place: str) -> str:
    """What is wrong with the first piece that names nothing."""
    for piece in pieces:
        name, colon, point = piece.partition(":")
        run = find(name)
        if run is None:
            return f"sweep={name}: there is none of this id or name in {place}."
        points = t.POINTS.in_(run.data.tags) or ()
        if colon and point not in points:
            return f"sweep={piece}: the points of sweep {name} are {', '.join(points)}."
    return f"sweep={','.join(pieces)}: this names no sweeps."


def _starts(store: Store, ids: Sequence[str]) -> tuple[list[Side], list[Doubt]]:
    """Each start as a sweep of its own."""
    if len({*ids}) < len(ids) or len(ids) == 1:
        raise TrackingError(
            f"runs={','.join(ids)}: name the runs of two different starts, the baseline's first:  runs=ID,ID"
        )
    checked = {}
    for run_id in ids:
        run = _start(store, run_id)
        checked[run_id] = held(store, t.SWEEP.in_(run.data.tags) or "", [run])
    kept, doubts = in_one_sweep_only({run_id: starts for run_id, (starts, _) in checked.items()})
    return [
        Side(_as_sweep(_left(run_id, kept[run_id], starts)[0], found)) for run_id, (starts, found) in checked.items()
    ], doubts


def _start(store: Store, run_id: str) -> "Run":
    run = run_if_there(store, run_id)
    kind = t.KIND.in_(run.data.tags) if run else None
    if run and kind in {t.Kind.START, t.Kind.REPLAY}:
        return run
    if kind is t.Kind.SWEEP:
        raise TrackingError(f"runs={run_id}: this is the run of a sweep:  sweep={run_id}")
    why = f"this run is no start that is measured ({kind})" if kind else f"there is no such run in {masked(store.uri)}"
    raise TrackingError(f"runs={run_id}: {why}. A start's id stands in MLflow on the page of its run.")


def _as_sweep(found: Held, doubts: Sequence[Doubt]) -> SweepRecord:
    record, run = as_recorded(found), found.run
    at_s = run.info.start_time / 1000
    alone = replace(record, point=record.name, repeat=0, order=0)
    return SweepRecord(
        run_id=record.run_id,
        sweep_id=f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(at_s))}-{record.run_id[:DIGITS]}",
        started_at=at_s,
        experiment_id=str(run.info.experiment_id),
        replayed=t.KIND.in_(run.data.tags) is t.Kind.REPLAY,
        starts=(alone,),
        order=(alone.point,),
        doubts=tuple(doubts),
        is_start=True,
    )


def fingerprint_of(uri: str, run_id: str) -> Fingerprint | None:
    """Of the weights of a start, as its verification start found them. None: it has none that can be read."""
    with TemporaryDirectory() as place:
        path = download(uri, run_id, FINGERPRINT, Path(place))
        data, more = read_at_most(path, BYTES_AT_MOST) if path else (b"", False)
        try:
            tree = json.loads("" if more else data)
            return from_json(tree["fingerprint"])
        except (ValueError, TypeError, KeyError):
            return None
