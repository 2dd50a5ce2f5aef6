"""A sweep's run in MLflow: a new one, or the interrupted one of the same command, locked for this process and closed at the end."""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.analysis.records import PRICE, RunRecord
from bench.config import Settings, blocks_at_most
from bench.host.claims import sweep_claimed
from bench.host.device import describe_host, of_one_host
from bench.host.host import Host
from bench.host.storage import describe_storage
from bench.host.storage_facts import of_one_storage
from bench.masking import masked_value
from bench.start.ran import inherited
from bench.start.tags import BLOCKS, PLANNED, POINTS, SIGNATURE
from bench.sweep.job import Outcome
from bench.sweep.plan import (
    Point,
    Start,
    blocks_of,
    hosts_of,
    seed_of,
    signature,
)
from bench.sweep.prepare import source_tags
from bench.sweep.storage import limit_tags
from bench.system.interrupts import is_interrupted, unbroken
from bench.system.output import print_message
from bench.tracking.query import unfinished_sweep
from bench.tracking.sweeps import SweepRun
from bench.tracking.uploads import begin_sweep, end_sweep
from bench.weights.checkpoint import place_of
from bench.weights.fingerprint_store import Files

INTERRUPTION = "an interruption"
# The run that `mlflow run` has opened for this sweep; the user's, below which it goes.
Above = tuple[str | None, str | None]


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
            tags = BLOCKS.of(sweep.blocks_made if sweep.ended_by else None) | limit_tags(
                sweep.points[0].settings, sweep.sweep_id
            )
            ended_by = sweep.ended_by or INTERRUPTION
            closing = partial(end_sweep, tracking, folder, failed=failed, ended_by=ended_by, tags=tags)
            if is_interrupted():
                print_message(
                    f"sweep {sweep.sweep_id} was interrupted; go on with it:  the same command with resume=true"
                )
            unbroken(closing, "MLflow to close the sweep")


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


def _params(points: Sequence[Point], seed: int) -> dict[str, str]:
    """The params of the sweep's run: its order, and all values of each varied setting."""
    settings = points[0].settings
    flats = [point.settings.flat() for point in points]
    varied = {name: sorted({flat.get(name, "") for flat in flats}) for name in flats[0]}
    values = {name: ",".join(some) for name, some in varied.items() if len(some) > 1}
    order = {"seed": str(seed), "repeats": str(settings.repeats), "points": str(len(points))}
    price = {} if settings.cost.usd_per_gpu_hour is None else {PRICE: str(settings.cost.usd_per_gpu_hour)}
    return {name: masked_value(name, value) for name, value in (values | order | price).items()}
