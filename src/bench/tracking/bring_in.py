"""Starts that lie on disk -> MLflow: a folder, or all that earlier commands have left in the outbox."""

import json
from contextlib import suppress
from itertools import chain
from pathlib import Path

from bench.config import Settings, Tracking
from bench.errors import BenchError, EvidenceError, StoreError, TrackingError
from bench.start.files import RUN, STARTUP
from bench.start.folder import recovered
from bench.start.record import load_startup
from bench.system.output import print_message
from bench.tracking import outbox
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.query import is_there
from bench.tracking.runs import end_abandoned, is_complete, log_start, run_of
from bench.tracking.store import connect

EARLIER = Path("caches")  # where an earlier bench kept its outbox


def tidy(settings: Settings) -> None:
    """Ends runs whose driver is gone, and uploads the starts that wait in the outbox. Those that cannot be uploaded now are reported, and stay there.
    Makes no store.

    Raises:
        TrackingError: the store does not answer at all.
    """
    if not is_there(settings.tracking.uri):
        return
    for sentence in end_abandoned(settings.tracking):
        print_message(sentence)
    try:
        places = dict.fromkeys([Path(settings.caches_dir), EARLIER])
        waiting = chain.from_iterable(outbox.waiting(place, settings.tracking.uri) for place in places)
        if brought := sum(_bring_in_pending(settings.tracking.uri, path, pending) for path, pending in waiting):
            print_message(f"brought {brought} starts into MLflow that had waited for it")
    except TrackingError as error:
        print_message(str(error))


def _bring_in_pending(uri: str, path: Path, pending: outbox.Pending) -> bool:
    folder = Path(pending.folder)
    if not (folder / STARTUP).is_file() and not pending.is_over:
        return False
    if not _recovered(folder):
        print_message(f"{folder}: this start waited for MLflow, and was not written down or is not there any more")
        path.unlink(missing_ok=True)
        return False
    try:
        bring_in(Tracking(uri=uri, experiment=pending.experiment), folder)
    except StoreError as error:  # of this start alone, such as an experiment in the trash: those behind it may be taken
        print_message(f"{folder}: {error}")
        return False
    except TrackingError:
        raise
    except (BenchError, OSError, ValueError, TypeError, KeyError) as error:
        print_message(f"{folder}: this start cannot be read: {error!r}")
        with suppress(OSError):  # caches_dir may be read-only by now
            path.rename(path.with_suffix(".unreadable"))
        return False
    path.unlink(missing_ok=True)
    return True


def _recovered(folder: Path) -> bool:
    with suppress(OSError, EvidenceError):
        return recovered(folder)
    return False


def is_in_store(tracking: Tracking, folder: Path) -> bool:
    """Whether all of this start is in this store: what its folder says of a run may be of another one."""
    if not is_there(tracking.uri):
        return False
    with errors_translated(tracking.uri):
        found = run_of(connect(tracking.uri), load_startup(folder).key)
    return found is not None and is_complete(found)


def bring_in(tracking: Tracking, folder: Path) -> str:
    """Uploads a start from disk, or the rest of one that an earlier call has begun. Returns the run's id.

    Raises:
        TrackingError: MLflow is still away.
    """
    run_id = log_start(tracking, load_startup(folder), folder)
    with suppress(OSError):  # a folder that is read-only; the run is found by the start's key too
        (folder / RUN).write_text(json.dumps({"run_id": run_id}), encoding="utf-8")
    return run_id
