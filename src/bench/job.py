"""One start: measured, drawn, remembered. What a sweep's launcher runs, and what `python -m bench` alone does."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from bench.config import Settings
from bench.console import following, outcome, say
from bench.errors import TrackingError
from bench.measure import interrupted, measure, name_of
from bench.startup.record import Startup
from bench.tracking.runs import log_start

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
    run_id = remember(settings, startup, folder)
    if interrupted(startup):
        raise KeyboardInterrupt
    return Outcome(startup.name, str(folder), startup.reason, run_id)


def draw(startup: Startup, folder: Path) -> None:
    from bench.report.startup_figure import draw_startup

    draw_startup(startup, folder)


def remember(settings: Settings, startup: Startup, folder: Path) -> str | None:
    """Into MLflow; if it is away, the start stays on disk and a later call brings it in."""
    try:
        run_id = log_start(settings.tracking, startup, folder)
    except TrackingError as error:
        say(f"{error}\nNothing is lost. Later:  python -m bench.replay {os.path.relpath(folder)}")
        return None
    (folder / RUN).write_text(json.dumps({"run_id": run_id}))
    return run_id


