"""The starts and the speedups as tables of values, for a sweep's run: each a mapping of its columns. Pure."""

from typing import Any

from bench.analysis.comparison import Comparison
from bench.analysis.records import RunRecord
from bench.start.metrics import KEY_METRICS
from bench.start.tags import COMPILE_CACHE, PAGE_CACHE

Columns = dict[str, list[Any]]  # a value a row, of one type a column; None: not known

STARTS, SPEEDUPS = "starts.json", "speedups.json"


def run_tables(comparison: Comparison) -> dict[str, Columns]:
    """By the names of their files. A candidate without a speedup has a row that says why."""
    return {STARTS: _starts(comparison), SPEEDUPS: _speedups(comparison)}


def _starts(comparison: Comparison) -> Columns:
    starts = sorted(
        (start for point in comparison.points for start in (*point.starts, *point.failed, *point.invalid)),
        key=lambda start: start.order,
    )
    metrics = [metric for metric in KEY_METRICS if any(start.value(metric) is not None for start in starts)]
    return {
        "start": [start.name for start in starts],
        **{metric.name: [start.value(metric) for start in starts] for metric in metrics},
        "outcome": [_outcome(start) for start in starts],
        "reason": [start.reason if start.failed else start.invalid_reason for start in starts],
        "point": [start.point for start in starts],
        "block": [start.repeat + 1 for start in starts],
        "order": [start.order or None for start in starts],
        "page_cache": [PAGE_CACHE.in_(start.tags) for start in starts],
        "compile_cache": [COMPILE_CACHE.in_(start.tags) for start in starts],
        "warnings": [len(start.warnings) for start in starts],
        "start_run_id": [start.run_id for start in starts],
    }


def _outcome(start: RunRecord) -> str:
    if start.failed:
        return "failed"
    return "invalid" if start.invalid_reason else "counts"


def _speedups(comparison: Comparison) -> Columns:
    shown = comparison.speedups
    withheld = comparison.withheld.items()
    none = [None] * len(withheld)
    return {
        "candidate": [*(each.candidate for each in shown), *(label for label, _ in withheld)],
        "baseline": [*(each.baseline for each in shown), *(comparison.baselines.get(label) for label, _ in withheld)],
        "metric": [*(each.metric.name for each in shown), *none],
        "speedup": [*(each.ratio.mean for each in shown), *none],
        "low": [*(each.ratio.low for each in shown), *none],
        "high": [*(each.ratio.high for each in shown), *none],
        "n": [*(each.ratio.n for each in shown), *none],
        "paired": [*(each.ratio.paired for each in shown), *none],
        "survivors_only": [*(each.candidate in comparison.survivors for each in shown), *none],
        "withheld": [*(None for _ in shown), *(why for _, why in withheld)],
    }
