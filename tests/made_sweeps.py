"""Sweeps made of values, for what is pure: no MLflow, no vLLM, no file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.analysis.records import RunRecord, SweepRecord, read_record


def made_start(
    point: str,
    metrics: Mapping[str, float] | None = None,
    *,
    repeat: int = 0,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunRecord:
    """A finished start of this point."""
    record = read_record(
        f"run of {point} #{repeat + 1}",
        f"{point} #{repeat + 1}",
        failed=False,
        params=dict(params or {}),
        metrics=dict(metrics or {}),
        tags=dict(tags or {}),
    )
    return replace(record, point=point, repeat=repeat)


def made_failure(
    point: str, reason: str | None, metrics: Mapping[str, float] | None = None, *, repeat: int = 0
) -> RunRecord:
    """A failed start of this point; `metrics` are those that it had reached."""
    return replace(made_start(point, metrics, repeat=repeat), failed=True, reason=reason)


def made_sweep(*starts: RunRecord, order: Sequence[str] | None = None, replayed: bool = False) -> SweepRecord:
    """These starts in this order; `order` is that of the points, else the one in which they come."""
    return SweepRecord(
        run_id="run of the sweep",
        sweep_id="20260215-051500-1a2b",
        started_at=1_771_132_500.0,
        experiment_id="1",
        replayed=replayed,
        starts=starts,
        order=tuple(dict.fromkeys(start.point for start in starts) if order is None else order),
    )


def made_waterfall(phases: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a start with these phases, called as `09_load_weights`, and the times that they add up to."""
    before = sum(seconds for name, seconds in phases.items() if not name.endswith("first_token"))
    times = {"ready_s": before, "first_token_s": sum(phases.values())}
    return times | {f"waterfall/{name}_s": seconds for name, seconds in phases.items()}
