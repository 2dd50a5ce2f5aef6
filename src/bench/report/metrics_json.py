"""benchmark_metrics.json: every value of every start, written for other programs and read back for the table of published results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from bench.analysis.comparison import Comparison, Speedup
from bench.analysis.records import Point
from bench.analysis.savings import mean_waterfall, savings, upper_bounds
from bench.analysis.worth import costs, saved
from bench.report.answer import answer_of
from bench.report.content import title_of
from bench.report.scope import conditions
from bench.start.metrics import SPEEDUPS, metric_named

METRICS = "benchmark_metrics.json"


class ReadPoint(BaseModel):
    """A point of the file."""

    n: int


class ReadSpeedup(BaseModel):
    """A speedup of the file; without interval at n = 1."""

    metric: str
    candidate: str
    ratio: float
    low: float | None
    high: float | None
    survivors_only: bool = False  # more starts failed in one arm than in the other


class ReadMetrics(BaseModel):
    """What the table of published results needs of the file."""

    title: str
    conditions: dict[str, list[str]]
    points: dict[str, ReadPoint]
    speedups: list[ReadSpeedup]
    withheld: dict[str, str]


def read_metrics(folder: Path) -> ReadMetrics:
    """The file in this report's folder."""
    return ReadMetrics.model_validate_json((folder / METRICS).read_bytes())


def is_report(folder: Path) -> bool:
    """Whether this folder has such a file of bench's, whatever its release."""
    try:
        return "sweep" in TypeAdapter(dict[str, Any]).validate_json((folder / METRICS).read_bytes())
    except (OSError, ValidationError):
        return False


def write_metrics(comparison: Comparison, folder: Path) -> Path:
    """The file, into the report's folder."""
    path = folder / METRICS
    path.write_text(json.dumps(as_json(comparison), indent=2, sort_keys=True), encoding="utf-8")
    return path


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The file's tree: all values of all starts."""
    return {
        "sweep": comparison.sweep.sweep_id,
        "run_id": comparison.sweep.run_id,
        "title": title_of(comparison),
        "conditions": conditions(comparison),
        "where": comparison.where,
        "answer": list(answer_of(comparison).sentences),
        "baselines": comparison.baselines,
        "withheld": comparison.withheld,
        "weights": {label: asdict(each) for label, each in comparison.weights.items()},
        "speedups": [_speedup(comparison, each) for each in comparison.speedups],
        "waterfalls": [asdict(found) for point in comparison.points if (found := mean_waterfall(point))],
        "savings": [asdict(each) for each in savings(comparison)],
        "upper_bounds": [_with_flat_ratio(asdict(each)) for each in upper_bounds(comparison)],
        "usd_per_gpu_hour": comparison.usd_per_gpu_hour,
        "gpu_seconds": [asdict(each) for each in costs(comparison)],
        "gpu_seconds_saved": [asdict(each) for each in saved(comparison)],
        "points": {point.label: _point(point) for point in comparison.points},
    }


def _speedup(comparison: Comparison, each: Speedup) -> dict[str, Any]:
    survivors = {"survivors_only": True} if each.candidate in comparison.survivors else {}
    return _with_flat_ratio(asdict(each)) | {"metric": each.metric.name} | survivors


def _with_flat_ratio(tree: dict[str, Any]) -> dict[str, Any]:
    """With the interval of its ratio beside it instead of below it."""
    ratio = tree["ratio"]
    return tree | {"ratio": ratio["mean"]} | {name: ratio[name] for name in ("low", "high", "n", "paired")}


def _point(point: Point) -> dict[str, Any]:
    metrics = [metric_named(name) for name in sorted({name for start in point.starts for name in start.metrics})]
    return {
        "n": point.n,
        "metrics": {each.name: {"mean": point.mean(each), "values": point.values(each)} for each in metrics},
        "invalid": [
            {"name": start.name, "run_id": start.run_id, "reason": start.invalid_reason} for start in point.invalid
        ],
        "failed": [{"name": start.name, "run_id": start.run_id, "reason": start.reason} for start in point.failed],
        "run_ids": [start.run_id for start in point.starts],
    }


def summary_metrics(comparison: Comparison) -> dict[str, float]:
    """Means and speedups as metrics of the sweep's own MLflow run, by name."""
    means = {
        f"mean {metric.name}/{point.label}": mean
        for point in comparison.points
        for metric in SPEEDUPS
        if (mean := point.mean(metric)) is not None
    }
    ratios = {
        f"{_kind(comparison, each)} {each.metric.name}/{each.candidate}": each.ratio.mean
        for each in comparison.speedups
    }
    return means | ratios


def _kind(comparison: Comparison, each: Speedup) -> str:
    return "speedup of survivors only" if each.candidate in comparison.survivors else "speedup"
