"""Ratios and differences of times and how far they can be trusted. Pure; SciPy does the arithmetic.

Times to ready are positive and skewed, and drift with the host over a sweep. So ratios are compared as differences of
logarithms, paired within the blocks of a sweep, with Student's t. Simulated, this covers what it promises at 3 pairs
already, where bootstraps and normal intervals do not.

Differences are taken of the seconds themselves: only those of the parts add up to that of the whole, and a part may be 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, median, variance

CONFIDENCE = 0.95
ENOUGH_TO_JUDGE = 5  # values; with fewer, an outlier or a drift cannot be told from chance
FAR = 3.5  # robust z-scores; Iglewicz and Hoaglin (1993)
MAD_TO_SIGMA = 1.4826  # of the median absolute deviation, for a normal distribution
MEAN_TO_SIGMA = 1.2533  # of the mean absolute deviation
TINY = 1e-20  # relative: what rounding leaves of a sum of squares


@dataclass(frozen=True)
class Ratio:
    """baseline ÷ candidate. `n` is the number of pairs, or of starts of the one that has fewer. No interval at n = 1."""

    ratio: float
    low: float | None
    high: float | None
    n: int
    paired: bool
    confidence: float


def paired_ratio(baseline: Mapping[int, float], candidate: Mapping[int, float], comparisons: int = 1) -> Ratio | None:
    """From the blocks that both have, by block. None: they share none.

    The interval is widened for the number of candidates that meet one baseline, so that all of them hold together
    with 95 % (Bonferroni).

    Source: scipy.stats.ttest_rel over logarithms.
    """
    from scipy import stats

    blocks = sorted(baseline.keys() & candidate.keys())
    if not blocks:
        return None
    slow = [log(baseline[block]) for block in blocks]
    fast = [log(candidate[block]) for block in blocks]
    ratio, confidence = exp(fmean(slow) - fmean(fast)), 1 - (1 - CONFIDENCE) / comparisons
    if len(blocks) == 1:
        return Ratio(ratio, None, None, 1, paired=True, confidence=confidence)
    if len({round(a - b, 12) for a, b in zip(slow, fast, strict=True)}) == 1:  # no spread at all: t is 0/0
        return Ratio(ratio, ratio, ratio, len(blocks), paired=True, confidence=confidence)
    interval = stats.ttest_rel(slow, fast).confidence_interval(confidence)
    return Ratio(ratio, exp(interval.low), exp(interval.high), len(blocks), paired=True, confidence=confidence)


def unpaired_ratio(baseline: Sequence[float], candidate: Sequence[float], comparisons: int = 1) -> Ratio | None:
    """For starts that belong to no common blocks: Welch's t over logarithms. None: one side is empty.

    Source: scipy.stats.ttest_ind with equal_var=False.
    """
    from scipy import stats

    if not baseline or not candidate:
        return None
    slow, fast = [log(value) for value in baseline], [log(value) for value in candidate]
    ratio, n = exp(fmean(slow) - fmean(fast)), min(len(slow), len(fast))
    confidence = 1 - (1 - CONFIDENCE) / comparisons
    if n == 1:
        return Ratio(ratio, None, None, 1, paired=False, confidence=confidence)
    if len(set(slow)) == len(set(fast)) == 1:
        return Ratio(ratio, ratio, ratio, n, paired=False, confidence=confidence)
    interval = stats.ttest_ind(slow, fast, equal_var=False).confidence_interval(confidence)
    return Ratio(ratio, exp(interval.low), exp(interval.high), n, paired=False, confidence=confidence)


@dataclass(frozen=True)
class Difference:
    """baseline - candidate, of the means, in the unit of the values. `n` is the number of pairs, or of starts of the one
    that has fewer. No interval at n = 1.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    paired: bool
    confidence: float


def paired_difference(
    baseline: Mapping[int, float], candidate: Mapping[int, float], comparisons: int = 1
) -> Difference | None:
    """From the blocks that both have, by block. None: they share none. Widened as in `paired_ratio`.

    Source: the interval of scipy.stats.ttest_rel, which cannot take pairs without spread.
    """
    blocks = sorted(baseline.keys() & candidate.keys())
    if not blocks:
        return None
    differences = [baseline[block] - candidate[block] for block in blocks]
    mean, n, confidence = fmean(differences), len(differences), 1 - (1 - CONFIDENCE) / comparisons
    if n == 1:
        return Difference(mean, None, None, 1, paired=True, confidence=confidence)
    half = _half_width(variance(differences) / n, n - 1, confidence)
    return Difference(mean, mean - half, mean + half, n, paired=True, confidence=confidence)


def unpaired_difference(
    baseline: Sequence[float], candidate: Sequence[float], comparisons: int = 1
) -> Difference | None:
    """For starts that belong to no common blocks: Welch's t. None: one side is empty.

    Source: the interval of scipy.stats.ttest_ind with equal_var=False, which cannot take a side without spread.
    """
    if not baseline or not candidate:
        return None
    mean, n = fmean(baseline) - fmean(candidate), min(len(baseline), len(candidate))
    confidence = 1 - (1 - CONFIDENCE) / comparisons
    if n == 1:
        return Difference(mean, None, None, 1, paired=False, confidence=confidence)
    sides = [(variance(side) / len(side), len(side) - 1) for side in (baseline, candidate)]
    squared_error = sum(part for part, _ in sides)
    doubt = sum(part**2 / freedom for part, freedom in sides)
    freedom = squared_error**2 / doubt if doubt else n - 1  # Welch and Satterthwaite
    half = _half_width(squared_error, freedom, confidence)
    return Difference(mean, mean - half, mean + half, n, paired=False, confidence=confidence)


def _half_width(squared_error: float, freedom: float, confidence: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, freedom)) * sqrt(squared_error)


def outliers(values: Sequence[float]) -> list[int]:
    """The indices of values that lie far from the others, by the median absolute deviation of their logarithms.

    They are shown and warned about, never removed: a slow start happened. Empty with fewer than five values. Where over
    half of them are equal that deviation is 0, and the mean one takes its place, as Iglewicz and Hoaglin advise.
    """
    if len(values) < ENOUGH_TO_JUDGE:
        return []
    logs = [log(value) for value in values]
    middle = median(logs)
    away = [abs(each - middle) for each in logs]
    spread = MAD_TO_SIGMA * median(away) or MEAN_TO_SIGMA * fmean(away)
    return [index for index, each in enumerate(logs) if spread and abs(each - middle) / spread > FAR]


@dataclass(frozen=True)
class Drift:
    """How the starts changed over the sweep, whatever point they belong to: per start, relative."""

    per_start: float
    p_value: float

    @property
    def significant(self) -> bool:
        return self.p_value < 1 - CONFIDENCE


def drift(values: Sequence[tuple[int, str, float]]) -> Drift | None:
    """Over (position, point, value): one slope over the positions for all points, each with a mean of its own, in logarithms.

    The points' means cost degrees of freedom, so the test is that of an analysis of covariance. None with fewer than five
    starts that have another of their point beside them, or where the means leave too few to judge.
    """
    from scipy import stats

    by_point: dict[str, list[tuple[int, float]]] = {}
    for position, point, value in values:
        by_point.setdefault(point, []).append((position, log(value)))
    groups = [group for group in by_point.values() if len(group) > 1]
    x = [position - fmean(each for each, _ in group) for group in groups for position, _ in group]
    y = [value - fmean(each for _, each in group) for group in groups for _, value in group]
    freedom = len(x) - len(groups) - 1
    spread = sum(each**2 for each in x)
    if len(x) < ENOUGH_TO_JUDGE or freedom < 1 or not spread:
        return None
    slope = sum(a * b for a, b in zip(x, y, strict=True)) / spread
    residual = sum((b - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    if residual <= TINY * sum(b**2 for b in y):  # a straight line, or no change at all
        return Drift(exp(slope) - 1, 0.0 if slope else 1.0)
    t = slope / sqrt(residual / freedom / spread)
    return Drift(exp(slope) - 1, float(2 * stats.t.sf(abs(t), freedom)))
