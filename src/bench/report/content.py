"""The content of a report, as one frozen value without markup; the templates render it. Pure."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench.analysis.comparison import Comparison
from bench.analysis.held_back import held_back
from bench.analysis.losses import missing_starts
from bench.analysis.roofline import Roof, roofs
from bench.analysis.warnings import warnings_about
from bench.report import tables
from bench.report.answer import Answer, answer_of
from bench.report.scope import conditions, states
from bench.report.speedups import SavedSeconds, Speedups, saved_seconds_of, speedups_of
from bench.report.streams import Stream, stream_of
from bench.report.tables import Table
from bench.report.worth_table import Worth, worth_of
from bench.start.metrics import STREAM

NAMED = 4  # points in a title


@dataclass(frozen=True)
class Report:
    """The sections of a report; one without content is empty or None."""

    title: str
    answer: Answer
    comparison: Comparison
    started_at: dict[str, str]  # of each sweep, by its id
    conditions: dict[str, tuple[str, ...]]
    states: dict[str, str]
    key_metrics: tuple[Table, ...]
    speedups: Speedups | None
    seconds: tuple[Table, ...]
    without_waterfall: tuple[str, ...]
    held_back: tuple[str, ...]
    roofs: tuple[Roof, ...]
    savings: SavedSeconds | None
    worth: Worth | None
    single_starts: Table | None
    streams: tuple[Stream, ...]
    failed: Table | None
    invalid: Table | None
    doubts: Table | None
    warnings: tuple[str, ...]


def report_of(comparison: Comparison) -> Report:
    """The content of this comparison's report."""
    waterfalls = {each.point for _, found in tables.waterfalls_by_state(comparison) for each in found}
    return Report(
        title=title_of(comparison),
        answer=answer_of(comparison),
        comparison=comparison,
        started_at={
            sweep.sweep_id: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sweep.started_at))
            for sweep in comparison.sweep.sweeps
        },
        conditions=conditions(comparison),
        states=states(comparison),
        key_metrics=tables.key_metrics(comparison),
        speedups=speedups_of(comparison) if comparison.speedups or comparison.withheld else None,
        seconds=tables.seconds(comparison),
        without_waterfall=tuple(p.label for p in comparison.points if p.n and p.label not in waterfalls),
        held_back=tuple(filter(None, map(held_back, comparison.points))),
        roofs=roofs(comparison.points),
        savings=saved_seconds_of(comparison),
        worth=worth_of(comparison),
        single_starts=tables.single_starts(comparison),
        streams=tuple(stream_of(point) for point in comparison.points if point.values(STREAM)),
        failed=tables.outcomes(comparison.failed, lambda start: start.reason or "no reason was recorded"),
        invalid=tables.outcomes(comparison.invalid, lambda start: start.invalid_reason or ""),
        doubts=tables.doubts([*comparison.sweep.doubts, *missing_starts(comparison.sweep)]),
        warnings=tuple(dict.fromkeys(_warnings(comparison))),
    )


def title_of(comparison: Comparison) -> str:
    """The user's title; else the points, or the first and how many others."""
    if comparison.title:
        return comparison.title
    labels = [point.label for point in comparison.points]
    if len(labels) > NAMED:
        return f"{labels[0]} vs {len(labels) - 1} others"
    return f"{labels[0]} vs {', '.join(labels[1:])}" if len(labels) > 1 else labels[0]


def _warnings(comparison: Comparison) -> Iterable[str]:
    yield from map(str, warnings_about(comparison))
    for point in comparison.points:
        for start in point.starts:
            yield from (f"`{start.name}`: {text}" for text in start.warnings)
