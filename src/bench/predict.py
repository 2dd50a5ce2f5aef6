"""python -m bench.predict: how long each point of a sweep would load from another storage. Nothing is started.

python -m bench.predict storage=gp3                         from the latest sweep of tracking.experiment made by you or in this folder
python -m bench.predict sweep=ID storage=gp3                from one sweep, by its id or its run's id or name
python -m bench.predict storage=limited storage.read_iops=500 storage.read_mib_per_s=200 storage.read_ahead_kb=128
python -m bench.predict storage=gp3 latency_ms=1            each request takes so long there, however few there are
python -m bench.predict measured=ID                         the storage that another sweep measured, perhaps on another host
python -m bench.predict storage=gp3 tracking.uri=URI        and tracking.experiment, cache_dir, caches_dir, experiment, --config-dir=FOLDER
"""

import math
from collections.abc import Mapping, Sequence

from bench.analysis.predict_load import PROCESSING, Prediction, Target, predict, reads_of
from bench.analysis.prediction_errors import error_of
from bench.analysis.records import Point, SweepRecord, points_of
from bench.cli import TAKES, command, split_arguments
from bench.compose import compose_one
from bench.config import Settings, Tracking
from bench.config.storage import Storage
from bench.errors import SettingError
from bench.host.storage_profile import StorageProfile, best
from bench.masking import masked_tree
from bench.overrides.words import read_settings
from bench.start.tags import STORAGE_LIMIT
from bench.system.output import print_result
from bench.tracking.query import LATEST
from bench.tracking.selection import selected

OWN = {"sweep": LATEST, "measured": "", "latency_ms": ""}
MIB_PER_GIB, MS_PER_S = 1024, 1000


@command(__doc__)
def main(arguments: list[str]) -> None:
    """A line for each point of the sweep."""
    own, _, overrides = split_arguments(arguments, OWN)
    settings = compose_one(read_settings(overrides, [*OWN]), [*TAKES, "storage"], [*OWN])
    target, name = _target(settings, own)
    sweep = _sweep(settings.tracking, own["sweep"])
    print_result(f"sweep {sweep.sweep_id}, on {name}:")
    for line in lines(points_of(sweep.starts, sweep.order), target):
        print_result(line)


def lines(points: Sequence[Point], target: Target) -> list[str]:
    """A row for each point, under a header; then what the predictions rest on."""
    rows = [_row(point, target) for point in points]
    header = ("point", "load weights here (s)", "there (s)", "measured error", "held back by")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return [
        *(line.rstrip() for line in table),
        "Cold starts; another processor or GPU is not predicted, nor what a file server's caches answer: docs/prediction.md.",
    ]


def _row(point: Point, target: Target) -> tuple[str, ...]:
    reads = reads_of(point)
    if isinstance(reads, str):
        return point.label, "-", "-", "-", f"not predicted: {reads}"
    there = predict(reads, target)
    if there.load_s is None or there.held_by is None:
        return point.label, f"{reads.load_s:.2f}", "-", "-", f"not predicted: {there.why}"
    held_by = "nothing of the storage" if there.held_by == PROCESSING else there.held_by
    return point.label, f"{reads.load_s:.2f}", f"{there.load_s:.2f}", _interval(there), held_by


def _interval(there: Prediction) -> str:
    """Where the measured times of such predictions lay."""
    assert there.load_s is not None
    error = error_of(there.held_by or "")
    if error is None:
        return "never validated"
    doubt = "" if error.is_kept else ", not within 20 %"
    return f"{there.load_s * error.low:.2f} to {there.load_s * error.high:.2f} ({error.pairs} pairs{doubt})"


def _target(settings: Settings, own: Mapping[str, str]) -> tuple[Target, str]:
    """The other storage, and how it is called.

    Raises:
        SettingError: none is named, or two are, or there is nothing in which it would differ.
    """
    storage, latency_s = settings.storage, _latency_s(own["latency_ms"])
    if own["measured"]:
        if storage.is_emulated:
            raise SettingError(f"measured= and storage={storage.name} are two storages: leave one of them out.")
        sweep = _sweep(settings.tracking, own["measured"])
        profile = profile_of(sweep, own["measured"])
        return _measured(profile, latency_s), f"{profile.place}, as sweep {sweep.sweep_id} measured it"
    if not storage.limits_reads and latency_s is None:
        raise SettingError(
            "on which storage?  storage=gp3, or storage=limited with storage.read_iops or storage.read_mib_per_s, latency_ms=, or "
            "measured=SWEEP. Without a limit on what is read there is nothing to predict."
        )
    return _limited(storage, latency_s), " ".join(filter(None, [storage.name, _described(storage, own["latency_ms"])]))


def profile_of(sweep: SweepRecord, called: str) -> StorageProfile:
    """The one storage that this sweep measured; `called` so by the user.

    Raises:
        SettingError: it measured none, or several.
    """
    profiles = STORAGE_LIMIT.in_(sweep.tags) or ()
    places = dict.fromkeys(each.place for each in profiles)
    profile = best(profiles)
    if profile is None:
        raise SettingError(f"measured={called}: sweep {sweep.sweep_id} measured no storage.")
    if len(places) > 1:
        raise SettingError(f"measured={called}: sweep {sweep.sweep_id} measured {' and '.join(places)}; one is taken.")
    return profile


def _limited(storage: Storage, latency_s: float | None) -> Target:
    mib = storage.read_mib_per_s
    return Target(storage.read_iops, None if mib is None else mib / MIB_PER_GIB, latency_s, storage.read_ahead_kb)


def _measured(profile: StorageProfile, latency_s: float | None) -> Target:
    """Requests as many as it answers of 4 KiB: of larger ones its bandwidth is the limit."""
    return Target(
        profile.reads_per_s_4_kib, profile.read_gib_per_s, latency_s or profile.latency_s, profile.read_ahead_kib
    )


def _described(storage: Storage, latency_ms: str) -> str:
    parts = [storage.described(), f"{latency_ms} ms a request" if latency_ms else ""]
    return f"({', '.join(filter(None, parts))})"


def _latency_s(text: str) -> float | None:
    if not text:
        return None
    try:
        latency_s = float(text) / MS_PER_S
    except ValueError:
        latency_s = math.nan
    if not 0 < latency_s < math.inf:
        raise SettingError(f"latency_ms={text}: it is the milliseconds that one request takes, above 0.")
    return latency_s


def _sweep(tracking: Tracking, name: str) -> SweepRecord:
    sides, _ = masked_tree(selected(tracking, name))
    if len(sides) != 1 or sides[0].point:
        raise SettingError(f"{name}: this command takes one whole sweep.")
    sweep: SweepRecord = sides[0].sweep
    return sweep


if __name__ == "__main__":
    main()
