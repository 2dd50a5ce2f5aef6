"""One start: measured, drawn, uploaded. What a sweep's launcher runs, and what `python -m bench` alone does."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.analysis.records import RunRecord, read_record
from bench.config import Settings
from bench.host.claims import caches_claimed
from bench.start.describe import with_failures
from bench.start.folder import begin, place_for, saved
from bench.start.identification import name_of
from bench.start.perfetto import write_trace
from bench.start.record import Startup
from bench.start.run import measure
from bench.start.steps import Steps
from bench.sweep.progress import following, outcome
from bench.system.interrupts import deferred, handled, unbroken
from bench.system.output import print_message
from bench.tracking.uploads import enqueue, upload_start
from bench.vllm.forsaken import end_forsaken


@dataclass(frozen=True)
class Outcome:
    """The result of a start, for its sweep. `run_id` is None where MLflow was away: the start is in `folder` only."""

    record: RunRecord
    folder: str
    run_id: str | None
    waited_s: float = 0.0  # for other starts on this host

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def reason(self) -> str | None:
        return self.record.reason


def run_job(settings: Settings, folder: Path) -> Outcome:
    """One start of vLLM and its MLflow run.

    Raises:
        KeyboardInterrupt: a signal came. The start is on disk nevertheless, complete up to the signal; it may not be in
            MLflow yet.
    """
    place, name, steps = settings.sweep, name_of(settings), Steps()
    with handled(), deferred(f"{name} to be written down"):
        folder = place_for(folder, steps)
        enqueue(settings, folder)
        steps.run("writing down what is begun", partial(begin, settings, folder), None)
        with ExitStack() as claims:
            claiming = partial(claims.enter_context, caches_claimed(settings, print_message))
            waited_s = steps.run("claiming caches_dir", claiming, 0.0)
            steps.run("ending what a killed bench left", end_forsaken, None)
            progress = claims.enter_context(following(name, place))
            startup = measure(settings, folder, progress.on_line, steps)
        startup, folder = write_down(startup, folder, steps)
        outcome(startup, progress)
        uploading = partial(upload_start, settings, folder)
        before = len(steps.failures)
        run_id = unbroken(partial(steps.run, "uploading", uploading, None), f"MLflow to take {name}")
        for failure in steps.failures[before:]:
            print_message(f"  {failure}")
    record = read_record(  # as MLflow would give it back: the stopping rule does not wait for the upload
        run_id or startup.name,
        startup.name,
        failed=startup.failed,
        params=startup.params,
        metrics=startup.metrics,
        tags=startup.run_tags,
    )
    return Outcome(record, str(folder), run_id, waited_s)


def write_down(startup: Startup, folder: Path, steps: Steps) -> tuple[Startup, Path]:
    """Saves the start, draws its figures, and saves it again where drawing failed. Returns the start and its folder."""
    folder = saved(startup, folder, steps)
    draw(startup, folder, steps)
    if (again := with_failures(startup, steps)) != startup:
        startup, folder = again, saved(again, folder, steps)
    return startup, folder


def draw(startup: Startup, folder: Path, steps: Steps) -> None:
    """Writes the figures of this start (from the probe and from the log) and its trace for Perfetto beside its log."""
    from bench.report.start_figures import draw_lanes, draw_memory, draw_startup

    for draws in (draw_lanes, draw_startup, draw_memory, write_trace):
        steps.run(f"drawing ({draws.__name__})", partial(draws, startup, folder), None)
