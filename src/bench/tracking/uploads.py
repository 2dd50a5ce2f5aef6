"""Uploads starts and sweeps from disk to a store that may be away, slow or broken.

No start waits for it for long: what is not uploaded in time goes on in the background, waits in the outbox, and is
brought in by the end of the sweep or by the next command.
"""

import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from bench.config import Settings, Tracking
from bench.errors import StoreError, TrackingError
from bench.masking import masked
from bench.system.output import print_message
from bench.tracking import outbox
from bench.tracking.bring_in import bring_in, tidy
from bench.tracking.store import check
from bench.tracking.sweeps import SweepRun, log_sweep, reopen_sweep

T = TypeVar("T")

CHECK_S = 120.0  # for the store's first answers: MLflow's own time-outs are for each read, not for the whole
WAIT_S = 60.0  # for the upload of a start, before the next one
END_WAIT_S = 60.0  # for all that is left at the end of a sweep


def open_store(settings: Settings, *, may_be_away: bool) -> None:
    """Before the first start: refuses a store that cannot work, and uploads what earlier commands have left in the outbox.

    `may_be_away`: a store that only does not answer (a server, a locked file) is reported, and the start is measured all the
    same and waits in the outbox. A sweep is refused then: its user is still there, and it may take hours.

    Raises:
        StoreError: the store cannot be used, now or later.
        TrackingError: it is away, and may not be.
    """
    try:
        _check_in_time(settings.tracking)
    except StoreError:
        raise
    except TrackingError as error:
        if not may_be_away:
            raise
        print_message(f"{error}\nThe start is measured all the same; it stays on disk until MLflow is back.")
        return
    try:
        tidy(settings)
    except TrackingError as error:
        print_message(str(error))


def _check_in_time(tracking: Tracking) -> None:
    """Runs `check` in the upload thread, so that a store whose answer never ends blocks only that thread.

    Raises:
        StoreError, TrackingError: as `check`; also where it has not ended in time.
    """
    try:
        _worker().submit(lambda: check(tracking)).result(CHECK_S)
    except TimeoutError as error:
        raise TrackingError(
            f"tracking.uri={masked(tracking.uri)}: what answers there has not come to an end within {CHECK_S:g} s."
        ) from error


def enqueue(settings: Settings, folder: Path) -> None:
    """Enters the start into the outbox when it begins: if this process dies from now on, the next command uploads what is on disk."""
    with suppress(OSError):  # `upload_start` reports it
        outbox.put(Path(settings.caches_dir), settings.tracking, folder)


def upload_start(settings: Settings, folder: Path) -> str | None:
    """Uploads the start; returns its run's id. None: MLflow is away or slow; the start stays on disk and in the outbox."""
    job = _worker().submit(lambda: _from_outbox(settings, folder))
    try:
        return job.result(WAIT_S if _worker().waits_for_one else 0.0)
    except TimeoutError:
        print_message(
            f"MLflow has not taken this start within {WAIT_S:g} s; the upload goes on while others are measured"
        )
    except TrackingError as error:
        print_message(f"{error}\nNothing is lost. Later:  {_replay_command(folder, settings.tracking)}")
    return None


def _from_outbox(settings: Settings, folder: Path) -> str:
    try:
        place = outbox.put(Path(settings.caches_dir), settings.tracking, folder)
    except OSError as error:
        print_message(f"caches_dir={settings.caches_dir}: the outbox cannot be written ({error.strerror})")
        return bring_in(settings.tracking, folder)
    run_id = bring_in(settings.tracking, folder)
    place.unlink(missing_ok=True)
    return run_id


def _replay_command(folder: Path, tracking: Tracking) -> str:
    return f"python -m bench.replay {os.path.relpath(folder)} tracking.uri={masked(tracking.uri)}"


def bring_in_rest(settings: Settings, folders: Sequence[Path]) -> dict[Path, str]:
    """The end of a sweep: its starts that MLflow has not got, once more, for `END_WAIT_S` in all. Returns the runs' ids."""
    done: dict[Path, str] = {}

    def bring_in_all() -> None:
        for folder in folders:
            done[folder] = _from_outbox(settings, folder)

    if folders:
        try:
            _worker().submit(bring_in_all).result(END_WAIT_S)
        except TimeoutError:
            print_message(f"MLflow has not taken {len(folders) - len(done)} starts within {END_WAIT_S:g} s")
        except TrackingError as error:
            print_message(str(error))
    if len(done) < len(folders):
        command = _replay_command(folders[0].parent, settings.tracking)
        print_message(
            f"{len(folders) - len(done)} starts wait for MLflow. The next command brings them in, or:  {command}"
        )
    return dict(done)


def begin_sweep(tracking: Tracking, sweep: SweepRun, folder: Path) -> str | None:
    """The sweep's run, RUNNING. None: MLflow is away; the run is made with the first start that it takes.

    Raises:
        StoreError: it cannot be made there, now or later.
    """
    try:
        run_id = log_sweep(tracking, sweep)
        if sweep.run_id is not None and not sweep.adopted:
            reopen_sweep(tracking, run_id, sweep)
        sweep = replace(sweep, run_id=run_id)
    except StoreError:
        raise
    except TrackingError as error:
        print_message(f"{error}\nThe sweep's run is made when MLflow is back.")
    sweep.save(folder)
    return sweep.run_id


def end_sweep(
    tracking: Tracking, folder: Path, *, failed: bool, ended_by: str, tags: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Ends the sweep's run, which has these tags besides. Where MLflow is away, the end is recorded in the file that `begin_sweep` wrote."""
    sweep = SweepRun.load(folder)
    if sweep is None:
        print_message(
            f"{folder}: the file of the sweep's run (sweep_run.json) is missing or damaged; its run in MLflow is not ended"
        )
        return
    sweep = replace(sweep, failed=failed, ended_by=ended_by, tags=sweep.tags | dict(tags))
    try:
        sweep.save(folder)
        log_sweep(tracking, sweep)
    except (TrackingError, OSError) as error:
        print_message(
            f"{error}\nThe sweep's run is not ended in MLflow yet. Later:  {_replay_command(folder, tracking)}"
        )


class _Worker:
    """One thread of this process that uploads, in order; it ends with the process, whatever hangs."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._unfinished: list[Future[Any]] = []
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def waits_for_one(self) -> bool:
        """Whether the latest job is the only one: it is not behind another that hangs."""
        self._unfinished = [each for each in self._unfinished if not each.done()]
        return len(self._unfinished) <= 1

    def submit(self, job: Callable[[], T]) -> "Future[T]":
        upload = Future[T]()
        self._unfinished.append(upload)
        self._jobs.put((job, upload))
        return upload

    def _work(self) -> None:
        while True:
            job, upload = self._jobs.get()
            try:
                upload.set_result(job())
            except BaseException as error:  # noqa: BLE001  # raised again in Future.result()
                upload.set_exception(error)


@cache
def _worker() -> _Worker:
    return _Worker()
