"""Starts that a comparison lacks: missing against the sweep's plan, failed in one arm more than in another, cut off by a time limit. Pure.

What is left of an arm of which starts were lost are the survivors: where the slow ones were lost, it looks faster than it is.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from bench.analysis.records import Doubt, Point, RunRecord, SweepRecord
from bench.start.tags import BENCH_ENDED, BLOCKS, PLANNED, REASON_CLASS

ALL_BLOCKS = "after the asked number of blocks"  # why most sweeps end
# Named in the reason of a start that reached one; the last is vLLM's own, 600 s.
LIMITS = ("vllm.ready_timeout_s", "completion.timeout_s", "VLLM_ENGINE_READY_TIMEOUT_S")


def missing_starts(sweep: SweepRecord) -> list[Doubt]:
    """What the sweep's plan has and the store has not: single starts, and whole blocks. Of several sweeps, that of each."""
    if sweep.members:
        return [
            replace(doubt, start=f"{doubt.start} of {each.sweep_id}")
            for each in sweep.members
            for doubt in missing_starts(each)
        ]
    if sweep.replayed:
        return []
    there = {(start.point, start.repeat) for start in sweep.starts}
    planned = planned_starts(sweep)
    blocks = range(max(planned.values(), default=0))
    whole = [block for block in blocks if all((label, block) not in there for label in planned)]
    single = [
        Doubt(f"{label} #{block + 1}", "missing: the sweep's plan has it, the store has not")
        for block in blocks
        if block not in whole
        for label, starts in planned.items()
        if block < starts and (label, block) not in there
    ]
    return [
        *single,
        *(Doubt(name, "missing: the sweep's plan has it, the store has no start of it") for name in _runs(whole)),
    ]


def planned_starts(sweep: SweepRecord) -> dict[str, int]:
    """How many starts of each point there should be. Sweeps of earlier releases did not record it: then as many as were asked for where
    all blocks were made, else as far as each point's own starts go.
    """
    planned = PLANNED.in_(sweep.tags)
    if planned and len(planned) == len(sweep.order):
        blocks = BLOCKS.in_(sweep.tags)
        numbers = (int(starts) for starts in planned)
        return {
            label: starts if blocks is None else min(starts, blocks)
            for label, starts in zip(sweep.order, numbers, strict=True)
        }
    made = {label: max((s.repeat + 1 for s in sweep.starts if s.point == label), default=0) for label in sweep.order}
    asked = sweep.params.get("repeats", "") if sweep.ended_by == ALL_BLOCKS else ""
    return {label: int(asked) for label in made} if asked.isdecimal() else made


def _runs(blocks: Collection[int]) -> Iterator[str]:
    """`block 2`, `blocks 4 to 9`"""
    for first in (block for block in blocks if block - 1 not in blocks):
        last = next(block for block in range(first, first + len(blocks) + 1) if block + 1 not in blocks)
        yield f"block {first + 1}" if first == last else f"blocks {first + 1} to {last + 1}"


def survivors_only(baseline: Point, candidate: Point) -> str | None:
    """That more starts failed in one arm than in the other, in words; None: they did not."""
    failed = {point.label: len(_failed(point)) for point in (candidate, baseline)}
    if len(set(failed.values())) == 1:
        return None
    counts = (f"{failed[p.label]} of {failed[p.label] + p.n} starts of {p.label} failed" for p in (candidate, baseline))
    return f"survivors only: {' and '.join(counts)}; what those would have taken is in no figure"


def _failed(point: Point) -> list[RunRecord]:
    """Without those during which bench itself was ended: how long they would have taken had no part in that."""
    return [start for start in point.failed if REASON_CLASS.in_(start.tags) != BENCH_ENDED]


def cut_off(baseline: Point, candidate: Point, ignored: Collection[str]) -> str | None:
    """That a time limit ended slow starts of an arm, so that its figures are those of the fast ones, in words; None: none did."""
    for point in (candidate, baseline):
        for limit in LIMITS:
            reached = sum(_reached(limit, start) for start in point.failed)
            if reached and limit not in ignored:
                return (
                    f"{limit} cut off {reached} of {reached + point.n} starts of {point.label}, so those that are left are the fast ones; "
                    f"make it longer, or to compare all the same: ignore={limit}"
                )
    return None


def _reached(limit: str, start: RunRecord) -> bool:
    return REASON_CLASS.in_(start.tags) == "timeout" and limit in (start.reason or "")
