"""What the tracking store gives back: a sweep and its starts, as plain values."""

from dataclasses import dataclass, field


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
    warnings: tuple[str, ...]
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


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
    ended_by: str | None = None  # in words; None: it has not ended, or nobody wrote it down
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int | None:
        """Of the order of its starts; None: these starts have no order of ours."""
        return int(self.params["seed"]) if "seed" in self.params else None
