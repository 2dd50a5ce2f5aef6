"""How often starts are made, in which order and where they are kept: what a whole sweep has one value of."""

from typing import Annotated, Literal

from pydantic import Field

from bench.config.values import Count, Section, Text


class Tracking(Section):
    """Where MLflow is."""

    uri: Text
    experiment: Text


class Cost(Section):
    """What a report makes dollars of. No influence on what is measured."""

    usd_per_gpu_hour: Annotated[float, Field(gt=0)] | None  # None: no dollars


class Sweep(Section):
    """A start's place in its sweep. Set by the sweeper; all None and zero for a start on its own."""

    id: str | None
    parent_run_id: str | None
    point: str | None
    kind: Literal["start", "prime"]
    repeat: Annotated[int, Field(ge=0)]
    position: Count  # in the order of the whole sweep, from 1
    starts: Count  # of the whole sweep


# Settings that decide how often and in which order starts are made, not what one start is.
SWEEP_SETTINGS = {
    "repeats", "repeats_of", "precision", "min_blocks", "max_blocks", "time_budget_s", "aa", "resume", "dry_run", "report", "seed", "storage_limit",
    "verify",
}  # fmt: skip


# Settings of which a whole sweep has one value: those, and where it is kept and how quiet its host must be.
OF_THE_SWEEP = {*SWEEP_SETTINGS, "tracking", "rig", "cost", "cache_dir", "caches_dir"}
