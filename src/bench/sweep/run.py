"""A sweep: its points checked as a whole, their checkpoints made, and every point started once a block.

Called by the Hydra sweeper with the composed points and a launcher.
"""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.analysis.losses import ALL_BLOCKS
from bench.config import Settings, Tracking
from bench.errors import CheckpointError
from bench.host.byte_code_files import refuse_unwritable
from bench.host.claims import folder_claimed
from bench.host.output_folders import refuse_places
from bench.sweep.dry_run import print_plan
from bench.sweep.job import Outcome
from bench.sweep.opening import Sweep, opened
from bench.sweep.plan import (
    Point,
    Start,
    why_stop,
    with_baseline_again,
)
from bench.sweep.prepare import prepare_points, refuse_checkpoints
from bench.sweep.prime import Untimed, describe_untimed, downloads, untimed
from bench.sweep.refusals import (
    refuse_equal_points,
    refuse_repeats_of_nothing,
    refuse_storages,
    refuse_what_this_host_cannot,
    refuse_without_effect,
)
from bench.sweep.report import report_sweep
from bench.sweep.storage import measure_limits
from bench.sweep.verify import changed, found_of, read_by_others, resolved, to_load_again
from bench.system.interrupts import deferred, interruptible, raise_if_interrupted, unbroken
from bench.system.output import print_message
from bench.tracking.address import words_for
from bench.tracking.store import given_by_mlflow
from bench.tracking.sweeps import given_run
from bench.tracking.uploads import bring_in_rest, open_store
from bench.weights.fingerprint import VerdictKind
from bench.weights.fingerprint_store import expect

Job = list[str]  # the overrides of one start
Launch = Callable[[Sequence[Job]], Sequence[Outcome]]


def run_sweep(points: Sequence[Point], folder: Path, launch: Launch) -> list[Outcome]:
    """Every start of the sweep, block by block, below one MLflow run. Failed starts do not stop it."""
    given = given_by_mlflow()
    refuse_repeats_of_nothing(points)
    refuse_without_effect(points)
    hosts = refuse_what_this_host_cannot(points)
    refuse_equal_points(points, hosts)
    refuse_storages([point.settings for point in points])
    refuse_places((point.settings for point in points), folder, "hydra.sweep.dir")
    refuse_checkpoints([point.settings for point in points], folder)
    refuse_unwritable((point.settings, host) for point, host in zip(points, hosts, strict=True))  # the slowest
    points, settings = with_baseline_again(points), points[0].settings
    if settings.dry_run:
        print_plan(points, hosts)
        return []
    unbroken(partial(open_store, settings, may_be_away=False), "MLflow to answer")
    above = unbroken(partial(given_run, settings.tracking, given), "MLflow to answer")
    with deferred(), folder_claimed(folder), opened(points, hosts, above, folder) as sweep, interruptible():
        prepare_points(points, folder)
        prime(sweep, launch)
        verify(sweep, launch)
        measure_limits(points, sweep.sweep_id)
        sweep.ended_by = run_blocks(sweep, launch)
        measure_limits(points, sweep.sweep_id)
        sweep.outcomes[:] = second_try(settings, sweep.outcomes)
    print_summary(sweep.outcomes, sweep.sweep_id, settings.tracking)
    if settings.report and all(outcome.run_id for outcome in sweep.outcomes):
        report_sweep(settings.tracking, sweep.sweep_id)
    if sweep.change:
        raise CheckpointError(
            f"{sweep.change}. The sweep has ended: starts of two checkpoints are not one experiment. Start it again when nobody changes it."
        )
    return sweep.outcomes


def run_blocks(sweep: Sweep, launch: Launch) -> str:
    """Launches block by block until the stopping rule is met. Returns the reason for stopping."""
    settings, began_s, timed = sweep.points[0].settings, time.monotonic(), 0
    sweep.change = read_by_others(sweep.done, sweep.files) or changed(sweep.points, sweep.files)
    done = {(record.point, record.repeat) for record in sweep.done}
    for number, block in enumerate(sweep.blocks, 1):
        if sweep.change:
            return f"after {number - 1} blocks: {sweep.change}"
        jobs = [sweep.place(start) for start in block if (start.point.label, start.repeat) not in done]
        raise_if_interrupted()
        sweep.outcomes += launch(jobs) if jobs else []
        sweep.blocks_made = number
        timed += bool(jobs)  # not a block that an earlier call completed: it takes no time
        lasted_s = time.monotonic() - began_s - sum(outcome.waited_s for outcome in sweep.outcomes)
        another_s = lasted_s * (timed + 1) / max(1, timed)
        records = [*sweep.done, *(outcome.record for outcome in sweep.outcomes)]
        sweep.change = changed(sweep.points, sweep.files)
        if not sweep.change and (why := why_stop(settings, records, sweep.order, number, another_s)):
            return why
    return f"after {len(sweep.blocks)} blocks: {sweep.change}" if sweep.change else ALL_BLOCKS


def prime(sweep: Sweep, launch: Launch) -> None:
    """Download what is missing, then fill the compile and JIT caches of every kind of start and verify what each load format loads, by starts that do not
    count: one does both where both are due.
    """
    start_untimed(sweep, downloads(sweep.points), launch)
    sweep.files = resolved(sweep.points)
    start_untimed(sweep, untimed(sweep.points), launch)


def verify(sweep: Sweep, launch: Launch) -> None:
    """Writes the verdict on each point's weights, for its starts. Where a candidate differs from its baseline, the baseline is
    loaded a second time first: what differs between its two loads, as padding does, is left out.
    """
    found = found_of(sweep.points)
    again = [Untimed(settings, fills=False, verifies=True) for settings in to_load_again(sweep.points, found)]
    if again:
        start_untimed(sweep, again, launch)
        found = found_of(sweep.points)
    expect(sweep.points[0].settings.caches_dir, sweep.sweep_id, found)
    for label, each in found.items():
        if each.kind is VerdictKind.FAILED:
            print_message(f"  {label}: weights FAILED: {each.why}")


def start_untimed(sweep: Sweep, starts: Sequence[Untimed], launch: Launch) -> None:
    """Launches starts that do not count. A failed one is reported: the sweep then lacks its caches or its verification."""
    if not starts:
        return
    jobs = []
    for position, start in enumerate(starts, 1):
        point = next(point for point in sweep.points if point.settings is start.settings)
        place = sweep.place(Start(point, 0, position), parent_run_id="null", starts=len(starts))
        jobs.append([*place, *start.overrides()])
    print_message(describe_untimed(starts))
    for outcome in launch(jobs):
        if outcome.reason:
            print_message(f"  {outcome.name} could not be started for this: {outcome.reason}")


def second_try(settings: Settings, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Uploads the starts that MLflow does not have yet once more. Returns all outcomes, with the new runs' ids."""
    missing = [Path(outcome.folder) for outcome in outcomes if not outcome.run_id]
    run_ids = bring_in_rest(settings, missing)
    return [replace(outcome, run_id=outcome.run_id or run_ids.get(Path(outcome.folder))) for outcome in outcomes]


def print_summary(outcomes: Sequence[Outcome], sweep_id: str, tracking: Tracking) -> None:
    """Prints the starts that failed or are invalid, with their reasons, and the command that compares the sweep."""
    failures = [outcome for outcome in outcomes if outcome.reason]
    invalid = [outcome for outcome in outcomes if outcome.record.invalid_reason and not outcome.reason]
    print_message(f"sweep {sweep_id}: {len(outcomes) - len(failures)} of {len(outcomes)} starts finished")
    for outcome in invalid:
        print_message(f"  INVALID {outcome.name}: {outcome.record.invalid_reason}")
    for outcome in failures:
        print_message(f"  FAILED  {outcome.name}: {outcome.reason}")
    print_message(
        f"compare them:  {shlex.join(['python', '-m', 'bench.compare', f'sweep={sweep_id}', *words_for(tracking)])}"
    )
