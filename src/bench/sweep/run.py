"""A sweep: its points checked as a whole, their checkpoints made, and every point started once a block.

Called by the Hydra sweeper with the composed points and a launcher.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench.analysis.losses import ALL_BLOCKS
from bench.analysis.records import PRICE, RunRecord
from bench.config import Settings, blocks_at_most
from bench.errors import CheckpointError
from bench.host.claims import folder_claimed, sweep_claimed
from bench.host.device import describe_host, of_one_host
from bench.host.host import Host
from bench.host.output_folders import refuse_places
from bench.host.storage import describe_storage
from bench.host.storage_facts import of_one_storage
from bench.masking import masked_value
from bench.start.ran import inherited
from bench.start.tags import PLANNED, POINTS, SIGNATURE
from bench.sweep.dry_run import print_plan
from bench.sweep.job import Outcome
from bench.sweep.plan import (
    Point,
    Start,
    blocks_of,
    hosts_of,
    seed_of,
    signature,
    why_stop,
    with_baseline_again,
)
from bench.sweep.prepare import prepare_points, refuse_checkpoints, source_tags
from bench.sweep.prime import Untimed, describe_untimed, downloads, untimed
from bench.sweep.refusals import (
    refuse_equal_points,
    refuse_repeats_of_nothing,
    refuse_storages,
    refuse_what_this_host_cannot,
    refuse_without_effect,
)
from bench.sweep.report import report_sweep
from bench.sweep.verify import changed, found_of, read_by_others, resolved, to_load_again
from bench.system.interrupts import deferred, interruptible, is_interrupted, raise_if_interrupted, unbroken
from bench.system.output import print_message
from bench.tracking.query import unfinished_sweep
from bench.tracking.store import given_by_mlflow
from bench.tracking.sweeps import SweepRun, given_run
from bench.tracking.uploads import begin_sweep, bring_in_rest, end_sweep, open_store
from bench.weights.checkpoint import place_of
from bench.weights.fingerprint import VerdictKind
from bench.weights.fingerprint_store import Files, expect

INTERRUPTION = "an interruption"

Job = list[str]  # the overrides of one start
# The run that `mlflow run` has opened for this sweep; the user's, below which it goes.
Above = tuple[str | None, str | None]
Launch = Callable[[Sequence[Job]], Sequence[Outcome]]


@dataclass
class Sweep:
    """What the starts of one sweep share, and their results.

    `done` are the valid starts of an interrupted sweep, which are not repeated.
    """

    sweep_id: str
    parent: str | None  # its run; None: MLflow was away
    points: list[Point]
    blocks: list[list[Start]]
    done: tuple[RunRecord, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    ended_by: str | None = None  # for the report; None: it was interrupted
    blocks_made: int = 0
    files: dict[str, Files] = field(default_factory=dict)  # of the checkpoints, by point, when all were there
    change: str | None = None  # of one of them, which ended the sweep

    @property
    def order(self) -> list[str]:
        return [point.label for point in self.points]

    def place(self, start: Start, **other: object) -> list[str]:
        """A start's overrides for a launcher: its point's, and its place in the sweep."""
        place = {
            "id": self.sweep_id,
            "parent_run_id": f"'{self.parent}'" if self.parent else "null",  # quoted: an id like 12e34 is no number
            "point": f"'{start.point.label}'",
            "repeat": start.repeat,
            "position": start.position,
            "starts": sum(map(len, self.blocks)),
        } | other
        return [*start.point.overrides, *(f"sweep.{name}={value}" for name, value in place.items())]


def run_sweep(points: Sequence[Point], folder: Path, launch: Launch) -> list[Outcome]:
    """Every start of the sweep, block by block, below one MLflow run. Failed starts do not stop it."""
    given = given_by_mlflow()
    refuse_repeats_of_nothing(points)
    refuse_without_effect(points)
    hosts = refuse_what_this_host_cannot(points)
    refuse_equal_points(points, hosts)
    refuse_storages([point.settings for point in points])
    refuse_places((point.settings for point in points), folder, "hydra.sweep.dir")
    points, settings = with_baseline_again(points), points[0].settings
    refuse_checkpoints([point.settings for point in points], folder)
    if settings.dry_run:
        print_plan(points, hosts)
        return []
    unbroken(partial(open_store, settings, may_be_away=False), "MLflow to answer")
    above = unbroken(partial(given_run, settings.tracking, given), "MLflow to answer")
    with deferred(), folder_claimed(folder), opened(points, hosts, above, folder) as sweep, interruptible():
        prepare_points(points, folder)
        prime(sweep, launch)
        verify(sweep, launch)
        sweep.ended_by = run_blocks(sweep, launch)
        sweep.outcomes[:] = second_try(settings, sweep.outcomes)
    print_summary(sweep.outcomes, sweep.sweep_id)
    if settings.report and all(outcome.run_id for outcome in sweep.outcomes):
        report_sweep(settings.tracking, sweep.sweep_id)
    if sweep.change:
        raise CheckpointError(
            f"{sweep.change}. The sweep has ended: starts of two checkpoints are not one experiment. Start it again when nobody changes it."
        )
    return sweep.outcomes


@contextmanager
def opened(points: list[Point], hosts: Sequence[Host], above: Above, folder: Path) -> Iterator[Sweep]:
    """The sweep's run in MLflow, locked against other processes and closed at the end of the block, also after an error."""
    tracking = points[0].settings.tracking
    with ExitStack() as claims:
        opening = partial(open_or_resume, points, hosts, above, folder, claims)
        sweep = unbroken(opening, "MLflow to open the sweep")
        try:
            yield sweep
        finally:
            failed = not sweep.ended_by or sweep.change is not None or any(outcome.reason for outcome in sweep.outcomes)
            blocks = sweep.blocks_made if sweep.ended_by else None
            ended_by = sweep.ended_by or INTERRUPTION
            closing = partial(end_sweep, tracking, folder, failed=failed, ended_by=ended_by, blocks=blocks)
            if is_interrupted():
                print_message(
                    f"sweep {sweep.sweep_id} was interrupted; go on with it:  the same command with resume=true"
                )
            unbroken(closing, "MLflow to close the sweep")


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


def open_or_resume(points: list[Point], hosts: Sequence[Host], above: Above, folder: Path, claims: ExitStack) -> Sweep:
    """A new sweep; or, with resume=true, the interrupted sweep of the same command with its completed starts.

    Either is locked for this process as long as `claims` is open.

    Raises:
        SettingError: the interrupted one is still running.
    """
    settings = points[0].settings
    planned = PLANNED.of(tuple(str(blocks_at_most(point.settings)) for point in points))
    places = [place_of(point.settings) for point in points]
    storages = [of_one_storage(describe_storage(place)) if place else {} for place in places]
    facts = of_one_host(describe_host(hosts[0].device))
    name = signature(points, hosts_of(points, hosts), facts, storages, inherited())
    if settings.resume and (found := unfinished_sweep(settings.tracking.uri, name)):
        claims.enter_context(sweep_claimed(settings, found.sweep_id))
        found = unfinished_sweep(settings.tracking.uri, name) or found  # again: its state after the lock was acquired
        done = tuple(start for start in found.starts if not start.failed and not start.invalid_reason)
        print_message(f"resuming sweep {found.sweep_id}: {len(done)} starts are done")
        seed = _seed(settings, found.sweep_id) if found.seed is None else found.seed
        again = SweepRun(
            found.sweep_id,
            found.started_at,
            found.params,
            found.own_tags | planned,
            found.run_id,
        )
        begin_sweep(settings.tracking, again, folder)
        return Sweep(found.sweep_id, found.run_id, points, blocks_of(points, seed), done)
    sweep_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    claims.enter_context(sweep_claimed(settings, sweep_id))
    tags = POINTS.of(tuple(point.label for point in points)) | planned | SIGNATURE.of(name) | source_tags()
    seed = _seed(settings, sweep_id)
    adopted, below = above
    sweep_run = SweepRun(sweep_id, time.time(), _params(points, seed), tags, adopted, adopted is not None, below=below)
    parent = begin_sweep(settings.tracking, sweep_run, folder)
    return Sweep(sweep_id, parent, points, blocks_of(points, seed))


def _seed(settings: Settings, sweep_id: str) -> int:
    return seed_of(sweep_id) if settings.seed is None else settings.seed


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


def print_summary(outcomes: Sequence[Outcome], sweep_id: str) -> None:
    """Prints the starts that failed or are invalid, with their reasons, and the command that compares the sweep."""
    failures = [outcome for outcome in outcomes if outcome.reason]
    invalid = [outcome for outcome in outcomes if outcome.record.invalid_reason and not outcome.reason]
    print_message(f"sweep {sweep_id}: {len(outcomes) - len(failures)} of {len(outcomes)} starts finished")
    for outcome in invalid:
        print_message(f"  INVALID {outcome.name}: {outcome.record.invalid_reason}")
    for outcome in failures:
        print_message(f"  FAILED  {outcome.name}: {outcome.reason}")
    print_message(f"compare them:  python -m bench.compare sweep={sweep_id}")


def _params(points: Sequence[Point], seed: int) -> dict[str, str]:
    """The params of the sweep's run: its order, and all values of each varied setting."""
    settings = points[0].settings
    flats = [point.settings.flat() for point in points]
    varied = {name: sorted({flat.get(name, "") for flat in flats}) for name in flats[0]}
    values = {name: ",".join(some) for name, some in varied.items() if len(some) > 1}
    order = {"seed": str(seed), "repeats": str(settings.repeats), "points": str(len(points))}
    price = {} if settings.cost.usd_per_gpu_hour is None else {PRICE: str(settings.cost.usd_per_gpu_hour)}
    return {name: masked_value(name, value) for name, value in (values | order | price).items()}
