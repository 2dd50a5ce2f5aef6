"""Starts that were recorded elsewhere -> a sweep of runs in MLflow, each with its part of the log."""

import secrets
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config import Tracking
from bench.log.files import copy_lines
from bench.log.recordings import Recording
from bench.masking import masked, seal
from bench.report.start_figures import draw_startup
from bench.start.files import LOG
from bench.start.perfetto import write_trace
from bench.start.record import Startup, write_excerpts
from bench.start.replay import Place, places_of, startup_of
from bench.start.tags import POINTS, REPLAYED, SWEEP
from bench.system.interrupts import deferred, interruptible, unbroken
from bench.tracking.runs import log_start
from bench.tracking.sweeps import SweepRun, close_sweep, open_sweep


def replay_sweep(tracking: Tracking, recordings: list[Recording]) -> tuple[str, list[Place]]:
    """Writes these starts as the runs of one sweep, each with its part of the log. Returns the sweep's id, and where each start stands.

    Raises:
        LogError: see `places_of`.
    """
    sweep_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    places = [replace(each, name=masked(each.name), point=masked(each.point)) for each in places_of(recordings)]
    tags = POINTS.of(tuple(dict.fromkeys(each.point for each in places))) | REPLAYED.of(value=True)
    opening = partial(open_sweep, tracking, SweepRun(sweep_id, time.time(), {}, tags))
    failed = True
    with deferred():
        parent = unbroken(opening, "MLflow to open the sweep")
        try:
            for recording, place in zip(recordings, places, strict=True):
                _replay(tracking, recording, place, parent, sweep_id)
            failed = False
        finally:
            closing = partial(close_sweep, failed=failed, ended_by="the last log")
            unbroken(partial(closing, tracking, parent), "MLflow to close the sweep")
    return sweep_id, places


def _replay(tracking: Tracking, recording: Recording, place: Place, parent: str, sweep_id: str) -> None:
    """One start as a run of that sweep."""
    with tempfile.TemporaryDirectory() as folder:
        with interruptible():
            startup = startup_of(recording, place)
            child = replace(startup, parent_run_id=parent, tags=startup.tags | SWEEP.of(sweep_id))
            _write(child, recording, Path(folder))
        unbroken(partial(log_start, tracking, child, Path(folder)), f"MLflow to take {place.name}")


def _write(startup: Startup, recording: Recording, folder: Path) -> None:
    """Writes the files of a start into `folder`: its own lines of the log, unchanged bytes before masking, excerpts, figures, trace."""
    log = recording.log
    copy_lines(recording.file.path, log.first_number, log.last_number, folder / LOG)
    seal([folder / LOG])
    write_excerpts(log.readings, folder)
    draw_startup(startup, folder)
    write_trace(startup, folder)
    startup.save(folder)
