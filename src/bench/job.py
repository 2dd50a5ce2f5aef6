"""One start: measured, drawn, remembered. What a sweep's launcher runs, and what `python -m bench` alone does."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from bench.config import Settings, Tracking
from bench.console import following, outcome, say
from bench.errors import TrackingError
from bench.measure import interrupted, measure, name_of
from bench.startup.record import Startup, load_startup
from bench.tracking.runs import log_start
from bench.tracking.store import masked

RUN = "mlflow_run.json"


@dataclass(frozen=True)
class Outcome:
    """What the sweep is told of a start. `run_id` is None where MLflow was away: the start lies in `folder` alone."""

    name: str
    folder: str
    reason: str | None
    run_id: str | None


def run_job(settings: Settings, folder: Path) -> Outcome:
    """One start of vLLM and its MLflow run.

    Raises:
        KeyboardInterrupt: the start was interrupted; it is on disk and in MLflow all the same.
    """
    place = settings.sweep
    with following(name_of(settings), place.position, place.starts) as progress:
        startup = measure(settings, folder, progress.saw)
    outcome(startup, progress)
    draw(startup, folder)
    run_id = remember(settings, folder)
    if interrupted(startup):
        raise KeyboardInterrupt
    return Outcome(startup.name, str(folder), startup.reason, run_id)


def draw(startup: Startup, folder: Path) -> None:
    """The figure of this start, beside its log."""
    from bench.report.startup_figure import draw_startup

    try:
        draw_startup(startup, folder)
    except Exception as error:  # noqa: BLE001  # a picture is not worth a start
        say(f"  warning: no figure of this start: {error!r}")


def bring_in(tracking: Tracking, folder: Path) -> str:
    """A start that is on disk, into MLflow. Returns the run's id.

    Raises:
        TrackingError: MLflow is still away.
    """
    run_id = log_start(tracking, load_startup(folder), folder)
    (folder / RUN).write_text(json.dumps({"run_id": run_id}))
    return run_id


def remember(settings: Settings, folder: Path) -> str | None:
    """Into MLflow; if that is away, the start stays on disk, and the end of the sweep or a later call brings it in."""
    try:
        return bring_in(settings.tracking, folder)
    except TrackingError as error:
        say(
            f"{error}\nNothing is lost. Later:  python -m bench.replay {os.path.relpath(folder)} tracking.uri={masked(settings.tracking.uri)}"
        )
        return None
