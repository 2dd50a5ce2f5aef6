"""What the tracking store gives back: a sweep and its starts, as plain values; and the starts by point."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from bench.host.storage_facts import FACTS
from bench.start import tags as t
from bench.start.metric_types import Metric
from bench.start.metrics import READY
from bench.start.warning import ResultWarning
from bench.start.waterfall import Step, step_of
from bench.weights.fingerprint import Fingerprint

Block = tuple[str, int]  # of a sweep, and counted from 0 in it

STORAGE_FACTS = {t.STORAGE.name(fact.name) for fact in FACTS}
REPORT = "report"  # the folder of a sweep's run that has its report
PRICE = "cost.usd_per_gpu_hour"  # among the params of a sweep


@dataclass(frozen=True)
class RunRecord:
    """One start, as MLflow remembers it."""

    run_id: str
    name: str
    point: str
    repeat: int
    order: int  # in the sweep, from 1; 0: unknown
    failed: bool
    invalid_reason: str | None  # why it does not count though it finished; None: it counts
    reason: str | None
    warnings: tuple[ResultWarning, ...]
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    sweep: str = ""  # the sweep that it is of, where starts of several are compared
    fingerprint: Fingerprint | None = None  # of its weights, where those of another sweep are compared with them

    @property
    def block(self) -> Block:
        """Its block. No two sweeps share one."""
        return self.sweep, self.repeat

    def fact(self, name: str) -> str | None:
        """What is recorded of it under this name: a param, or a tag. Of storage the tag: what was measured, and not what was set. None: nothing."""
        return self.tags.get(name) if name in STORAGE_FACTS else self.params.get(name) or self.tags.get(name)

    @cached_property
    def phases(self) -> dict[Step, float]:
        """Seconds of each phase of its waterfall, in the order of the chain. Empty: it has none."""
        found = ((step_of(name), value) for name, value in self.metrics.items())
        steps = {step: value for step, value in found if step}
        return dict(sorted(steps.items())) if READY.name in self.metrics else {}

    def value(self, metric: Metric) -> float | None:
        """None: this start does not have it."""
        return self.metrics.get(metric.name)


def read_record(  # noqa: PLR0913  # each is a fact of one run
    run_id: str, name: str, *, failed: bool, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]
) -> RunRecord:
    """The start that this run is about: its tags as values of their types."""
    return RunRecord(
        run_id=run_id,
        name=name,
        point=t.POINT.in_(tags) or name,
        repeat=t.REPEAT.in_(tags) or 0,
        order=t.ORDER.in_(tags) or 0,
        failed=failed,
        invalid_reason=t.INVALID_REASON.in_(tags) if t.VALID.in_(tags) is False else None,
        reason=t.REASON.in_(tags),
        warnings=t.WARNINGS.in_(tags) or (),
        params=params,
        metrics=metrics,
        tags=tags,
    )


@dataclass(frozen=True)
class Doubt:
    """What is wrong with the record of a start, or of several, in words."""

    start: str
    text: str


@dataclass(frozen=True)
class SweepRecord:
    """A sweep's run and the starts below it, in the order in which they were started."""

    run_id: str
    sweep_id: str
    started_at: float  # UNIX time
    experiment_id: str
    replayed: bool
    starts: tuple[RunRecord, ...]
    order: tuple[str, ...]  # the points, as the sweep listed them
    ended_by: str | None = None  # None: it has not ended, or that was not recorded
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()  # starts that are unchecked, or were uploaded twice
    is_start: bool = False  # a single one, which is compared with others
    members: "tuple[SweepRecord, ...]" = ()  # of which it is made, to compare them; empty: it is one sweep
    baselines: dict[str, str] = field(default_factory=dict)  # of points of the members, by candidate
    part: tuple[str, ...] = ()  # the points that were named, where they are not all

    @property
    def sweeps(self) -> "tuple[SweepRecord, ...]":
        """Its members; itself, if it is one sweep."""
        return self.members or (self,)

    @property
    def own_tags(self) -> dict[str, str]:
        """Without MLflow's, and without whose it is: whoever brings it in elsewhere is its owner there."""
        owner = {t.OWNER_HOST.name, t.OWNER_FOLDER.name}
        return {
            name: value for name, value in self.tags.items() if not name.startswith("mlflow.") and name not in owner
        }

    def mlflow_page(self, run_id: str, artifact: str = "") -> str:
        """Of a run of this sweep, or one of its artifacts: what stands behind the address of MLflow's UI."""
        return f"#/experiments/{self.experiment_id}/runs/{run_id}" + (
            f"/artifacts/{quote(artifact)}" if artifact else ""
        )

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """The price that the sweep was given. None: none."""
        return float(self.params[PRICE]) if PRICE in self.params else None

    @property
    def seed(self) -> int | None:
        """Of the order of its starts; None: these starts have no order of ours."""
        return int(self.params["seed"]) if "seed" in self.params else None


@dataclass(frozen=True)
class Point:
    """One combination of settings: its finished starts, which count; those that failed, and those whose state was not
    what was requested, which are named and enter nothing.
    """

    label: str
    starts: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...] = ()
    invalid: tuple[RunRecord, ...] = ()

    @property
    def n(self) -> int:
        return len(self.starts)

    def values(self, metric: Metric) -> list[float]:
        """One for each start that has it."""
        return [value for _, value in self.by_block(metric)]

    def by_block(self, metric: Metric) -> list[tuple[Block, float]]:
        """(block, value) of each start that has it."""
        found = ((start.block, start.value(metric)) for start in self.starts)
        return [(block, value) for block, value in found if value is not None]

    @property
    def state(self) -> str | None:
        """Of the page cache, in the word that was measured; None for a log from elsewhere."""
        return t.PAGE_CACHE.in_(self.starts[0].tags) if self.starts else None

    def mean(self, metric: Metric) -> float | None:
        """Over the starts, as the catalogue joins them. None: no start has it."""
        values = self.values(metric)
        return metric.over_starts(values) if values else None


def points_of(starts: Sequence[RunRecord], order: Sequence[str]) -> tuple[Point, ...]:
    """The points of these starts, in `order`; those that it does not list come last, as they were started."""
    seen = dict.fromkeys(start.point for start in starts)
    labels = sorted(seen, key=lambda label: order.index(label) if label in order else len(order))
    return tuple(
        Point(
            label,
            tuple(start for start in starts if start.point == label and not start.failed and not start.invalid_reason),
            tuple(start for start in starts if start.point == label and start.failed),
            tuple(start for start in starts if start.point == label and not start.failed and start.invalid_reason),
        )
        for label in labels
    )
