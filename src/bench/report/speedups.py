"""The two sections on what candidates gain: their speedups, and where the saved seconds come from. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.analysis.agreement import is_between_sweeps
from bench.analysis.between import differences
from bench.analysis.comparison import Comparison
from bench.analysis.same_weights import Weights
from bench.analysis.savings import UpperBound, upper_bounds
from bench.analysis.statistics import Interval
from bench.report import tables
from bench.report.tables import Table
from bench.start.metrics import READY
from bench.weights.fingerprint import VerdictKind

NAMED = 12  # settings and versions in a sentence; all of them are params and tags of the starts
VERDICT_WORDS = {
    VerdictKind.BITWISE: "the same weights, bit for bit",
    VerdictKind.OUTPUTS: "the same outputs",
    VerdictKind.SAME_FILES: "the same files",
    VerdictKind.UNVERIFIED: "weights unverified",
    VerdictKind.FAILED: "weights FAILED, shown because you asked for it",
}


@dataclass(frozen=True)
class Withheld:
    """A candidate without a speedup. `ready_s`: its mean, where its weights are random and so its time is a lower limit."""

    label: str
    why: str
    wrong_weights: bool
    ready_s: float | None


@dataclass(frozen=True)
class Differing:
    """A candidate of another sweep than its baseline. `names`: (name, the baseline's value, the candidate's), the versions first."""

    label: str
    baseline: str
    names: tuple[tuple[str, str, str], ...]
    more: int


@dataclass(frozen=True)
class Speedups:
    """`fewest`: the smallest n of all ratios. `rivals`: the candidates of one baseline, at most. `weights`: (label, words, weights).
    `again`: (label, baseline) of A/A arms. `unpaired`: candidates that have intervals without blocks. `survivors`: of which arm of a candidate more starts failed, in words.
    """

    pairs: str
    table: Table | None
    fewest: int
    rivals: int
    unpaired: tuple[str, ...]
    weights: tuple[tuple[str, str, Weights], ...]
    again: tuple[tuple[str, str], ...]
    differs: tuple[Differing, ...]
    withheld: tuple[Withheld, ...]
    survivors: dict[str, str]


@dataclass(frozen=True)
class SavedSeconds:
    """`several`, `single`: whether a candidate has an interval, and whether one has none. `bounds`: with the ratios reached."""

    tables: tuple[Table, ...]
    several: bool
    single: bool
    unpaired: tuple[str, ...]
    rivals: int
    bounds: tuple[tuple[UpperBound, dict[str, Interval]], ...]


def speedups_of(comparison: Comparison) -> Speedups:
    """Of a comparison with candidates, all of which may be withheld."""
    found, withheld = comparison.speedups, comparison.withheld
    return Speedups(
        pairs=_pairs(comparison.baselines),
        table=tables.speedups(comparison),
        fewest=min((each.ratio.n for each in found), default=0),
        rivals=_most_rivals(comparison, comparison.baselines.values()),
        unpaired=tuple(
            dict.fromkeys(each.candidate for each in found if not each.ratio.paired and each.ratio.low is not None)
        ),
        weights=tuple(
            (label, VERDICT_WORDS[each.kind], each)
            for label, each in comparison.weights.items()
            if label not in withheld and each.kind in VERDICT_WORDS
        ),
        again=tuple(comparison.again.items()),
        differs=tuple(_differing(comparison)),
        withheld=tuple(_withheld(comparison, label, why) for label, why in withheld.items()),
        survivors=comparison.survivors,
    )


def _differing(comparison: Comparison) -> Iterator[Differing]:
    """Of candidates of another sweep than their baselines; within a sweep the labels show it."""
    for label, base in comparison.baselines.items():
        if is_between_sweeps(comparison.point(base), comparison.point(label)):
            names = differences(comparison.point(base), comparison.point(label))
            yield Differing(label, base, tuple(names[:NAMED]), max(0, len(names) - NAMED))


def _pairs(baselines: dict[str, str]) -> str:
    bases, candidates = set(baselines.values()), list(baselines)
    if len(bases) == 1:
        return f"{bases.pop()} / {candidates[0] if len(candidates) == 1 else 'candidate'}"
    return "; ".join(f"{base} / {candidate}" for candidate, base in baselines.items())


def _most_rivals(comparison: Comparison, bases: Iterable[str]) -> int:
    return max(comparison.rivals(base) for base in bases)


def _withheld(comparison: Comparison, label: str, why: str) -> Withheld:
    kind = comparison.weights[label].kind
    ready_s = comparison.point(label).mean(READY) if kind is VerdictKind.DUMMY else None
    return Withheld(label, why, kind is VerdictKind.FAILED, ready_s)


def saved_seconds_of(comparison: Comparison) -> SavedSeconds | None:
    """None: no candidate can be compared by phase."""
    candidates = [each for _, found in tables.savings_by_state(comparison) for each in found]
    if not candidates:
        return None
    reached = [(each, comparison.speedup(each.candidate, READY)) for each in candidates]
    return SavedSeconds(
        tables=tables.saved_seconds(comparison),
        several=any(each.n > 1 for each in candidates),
        single=any(each.n == 1 for each in candidates),
        unpaired=tuple(each.candidate for each in candidates if not each.paired and each.n > 1),
        rivals=_most_rivals(comparison, (each.baseline for each in candidates)),
        bounds=tuple(
            (bound, {e.candidate: speedup.ratio for e, speedup in reached if e.baseline == bound.point and speedup})
            for bound in upper_bounds(comparison)
        ),
    )
