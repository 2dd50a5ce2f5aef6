"""When a sweep has enough blocks. Pure."""

from collections.abc import Sequence

from bench.analysis.comparison import compare
from bench.analysis.records import RunRecord, SweepRecord
from bench.config import Settings

REPEATS = "after the asked number of blocks"


def why_stop(
    settings: Settings, starts: Sequence[RunRecord], order: Sequence[str], blocks: int, another_s: float
) -> str | None:
    """The reason to stop, in words for the report; None: continue. Called after each block. Without `precision` the sweep has `repeats`
    blocks, unless time_budget_s ends it. `another_s` is the sweep's expected duration after one more block, in seconds.

    Enough is when, after `min_blocks`, the 95 % half-width of every ratio that the report will show is at most `precision`.
    """
    if settings.precision is None:
        return _over_budget(settings, blocks, another_s) if blocks < settings.repeats else None
    if (
        blocks >= settings.min_blocks
        and (widest := _widest(starts, order)) is not None
        and widest <= settings.precision
    ):
        return f"after {blocks} blocks, all ratios known to {widest:.1%} (precision={settings.precision:.0%} was asked)"
    if blocks >= settings.max_blocks:
        return f"after max_blocks={settings.max_blocks}, not all ratios known to precision={settings.precision:.0%}"
    return _over_budget(settings, blocks, another_s)


def _over_budget(settings: Settings, blocks: int, another_s: float) -> str | None:
    if settings.time_budget_s is None or another_s <= settings.time_budget_s:
        return None
    return f"after {blocks} blocks: another would exceed time_budget_s={settings.time_budget_s:g}"


def _widest(starts: Sequence[RunRecord], order: Sequence[str]) -> float | None:
    """The largest half-width of all ratios; None: a ratio has no interval, or there is no ratio."""
    if not starts:
        return None
    comparison = compare(SweepRecord("", "", 0.0, "", replayed=False, starts=tuple(starts), order=tuple(order)))
    widths = [speedup.half_width for speedup in comparison.speedups]
    if not widths or None in widths:
        return None
    return max(width for width in widths if width is not None)
