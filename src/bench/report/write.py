"""A Comparison as a folder: report.md, figures, JSON, and each start's log and excerpts."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from bench.analysis.comparison import SPEEDUP_METRICS, Comparison, Point
from bench.analysis.records import RunRecord
from bench.analysis.savings import caps, mean_waterfall, savings
from bench.errors import OwnershipError
from bench.masking import mask_file
from bench.report.comparison_figure import draw_comparison
from bench.report.markdown import METRICS, conditions, report, title_of
from bench.report.savings_figure import draw_savings
from bench.report.waterfalls_figure import draw_waterfalls
from bench.system.ownership import is_real_folder

REPORT = "report.md"
LONGEST = 120  # characters of a file's name
LOGS = {"vllm.log": ".log", "vllm_excerpts.log": "_excerpts.log"}


class Fetch(Protocol):
    """Brings one artifact of a run into a folder; None if the run has no such file."""

    def __call__(self, run_id: str, name: str, folder: Path) -> Path | None: ...


def refuse_foreign(folder: Path) -> None:
    """Refuse a report's folder in which something lies that is no report of bench's: files of the same name would be lost.

    Raises:
        OwnershipError: names the folder.
    """
    if not os.path.lexists(folder):
        return
    if not is_real_folder(folder):
        raise OwnershipError(
            f"{folder} is a link or a file, and a report needs a folder. Remove it, or choose another:  output="
        )
    if links := [path.name for path in folder.iterdir() if path.is_symlink()]:
        raise OwnershipError(f"{folder}: {links[0]!r} is a link, and bench writes through none. Remove it.")
    try:
        is_report = "sweep" in json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        is_report = False
    if not is_report and any(folder.iterdir()):
        raise OwnershipError(
            f"{folder} holds no report of bench's, so nothing is written over it. Choose another:  output="
        )


def write_report(comparison: Comparison, folder: Path, fetch: Fetch) -> list[Path]:
    """Everything into `folder`. Returns the files that belong in the sweep's own run: report, figures, JSON."""
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS).write_text(
        json.dumps(as_json(comparison), indent=2, sort_keys=True), encoding="utf-8"
    )  # first: it says whose folder this is
    names = file_names(
        [start for point in comparison.points for start in (*point.starts, *point.failed, *point.invalid)]
    )
    logs = {run_id: _fetch_logs(run_id, name, folder, fetch) for run_id, name in names.items()}
    excerpts = {point.label: text for point in comparison.points if (text := _excerpts(point, logs))}
    figures = draw_figures(comparison, folder)
    beside = [METRICS, *(path.name for path in figures), *(path.name for paths in logs.values() for path in paths)]
    (folder / REPORT).write_text(report(comparison, excerpts, beside), encoding="utf-8")
    return [folder / REPORT, *figures, folder / METRICS]


def draw_figures(comparison: Comparison, folder: Path) -> list[Path]:
    """All that this comparison has something for."""
    drawn = [draw_waterfalls(comparison, folder), draw_savings(comparison, folder)]
    return [draw_comparison(comparison, folder), *filter(None, drawn)]


def file_names(starts: Sequence[RunRecord]) -> dict[str, str]:
    """A name for the files of each start, by run: its own as far as a file system takes it, and never one twice."""
    names: dict[str, str] = {}
    for start in starts:
        stem = re.sub(r"[^\w.-]+", "_", start.name)[:LONGEST]
        stem = re.sub(r"_excerpts$", "_", stem)  # the ending of another start's file
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        names[start.run_id] = next(name for name in numbered if name.lower() not in map(str.lower, names.values()))
    return names


def _fetch_logs(run_id: str, name: str, folder: Path, fetch: Fetch) -> list[Path]:
    kept = []
    with TemporaryDirectory(dir=folder) as place:
        for artifact, suffix in LOGS.items():
            if found := fetch(run_id, artifact, Path(place)):
                mask_file(found)
                kept.append(found.replace(folder / f"{name}{suffix}"))
    return kept


def _excerpts(point: Point, logs: dict[str, list[Path]]) -> str | None:
    for start in point.starts:
        for path in logs[start.run_id]:
            if path.name.endswith("_excerpts.log"):
                return path.read_text(encoding="utf-8", errors="replace")
    return None


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All values of all starts, so that nobody has to read them off a table."""
    return {
        "sweep": comparison.sweep.sweep_id,
        "run_id": comparison.sweep.run_id,
        "title": title_of(comparison),
        "conditions": conditions(comparison),
        "where": comparison.where,
        "baselines": comparison.baselines,
        "withheld": comparison.withheld,
        "weights": {label: asdict(each) for label, each in comparison.weights.items()},
        "speedups": [asdict(speedup) for speedup in comparison.speedups],
        "waterfalls": [asdict(found) for point in comparison.points if (found := mean_waterfall(point))],
        "savings": [asdict(each) for each in savings(comparison)],
        "caps": [asdict(cap) for cap in caps(comparison)],
        "points": {point.label: _point(point) for point in comparison.points},
    }


def _point(point: Point) -> dict[str, Any]:
    metrics = sorted({name for start in point.starts for name in start.metrics})
    return {
        "n": point.n,
        "metrics": {name: {"mean": point.mean(name), "values": point.values(name)} for name in metrics},
        "invalid": [
            {"name": start.name, "run_id": start.run_id, "reason": start.invalid_reason} for start in point.invalid
        ],
        "failed": [{"name": start.name, "run_id": start.run_id, "reason": start.reason} for start in point.failed],
        "run_ids": [start.run_id for start in point.starts],
    }


def summary_metrics(comparison: Comparison) -> dict[str, float]:
    """For the sweep's own run, so that its row in MLflow is not empty."""
    means = {
        f"mean {metric.rpartition('/')[2]}/{point.label}": mean
        for point in comparison.points
        for metric in SPEEDUP_METRICS
        if (mean := point.mean(metric)) is not None
    }
    ratios = {f"speedup {each.metric.rpartition('/')[2]}/{each.candidate}": each.ratio for each in comparison.speedups}
    return means | ratios
