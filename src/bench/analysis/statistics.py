"""Differences and ratios of times with their intervals, outliers and drift. Pure; SciPy has the distributions.

Times to ready are positive and skewed, and drift with the host over a sweep. So ratios are compared as differences of
logarithms, paired within the blocks of a sweep, with Student's t. Simulated, this covers what it promises at 3 pairs
already, where bootstraps and normal intervals do not.

Differences are taken of the seconds themselves: only those of the parts add up to that of the whole, and a part may be 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import exp, log, log1p, sqrt
from statistics import fmean, median, variance
from typing import TypeVar

Block = TypeVar("Block", int, tuple[str, int])

CONFIDENCE = 0.95
ENOUGH_TO_JUDGE = 5  # values; with fewer, an outlier or a drift cannot be told from chance
FAR = 3.5  # robust z-scores; Iglewicz and Hoaglin (1993)
MAD_TO_SIGMA = 1.4826  # of the median absolute deviation, for a normal distribution
MEAN_TO_SIGMA = 1.2533  # of the mean absolute deviation
TINY = 1e-20  # relative: what rounding leaves of a sum of squares


@dataclass(frozen=True)
class Interval:
    """A difference of means, baseline - candidate in the unit of the values; or a ratio of geometric means, baseline ÷ candidate.

    `low` and `high` are the ends of its t interval at `confidence`; None at n = 1. `n` is the number of pairs, or of the
    values on the side that has fewer.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    paired: bool
    confidence: float

    def excludes(self, value: float) -> bool:
        """Whether there is an interval, and this value lies outside of it."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    @property
    def half_width(self) -> float | None:
        """Of a ratio, relative: 0.1 says that it is known to about 10 %. None at n = 1."""
        return None if self.low is None or self.high is None else sqrt(self.high / self.low) - 1

    @property
    def exponential(self) -> "Interval":
        """The ratio whose logarithm this is."""
        low, high = (None if end is None else exp(end) for end in (self.low, self.high))
        return replace(self, mean=exp(self.mean), low=low, high=high)


def paired(
    baseline: Mapping[Block, float], candidate: Mapping[Block, float], comparisons: int = 1, *, ratio: bool = False
) -> Interval | None:
    """The difference, or with `ratio` the ratio, over the blocks that both have; both are given by block. None: they share none.

    The interval is widened for the number of candidates that are compared with one baseline, so that all of them hold
    together with 95 % (Bonferroni).

    Source: the interval of scipy.stats.ttest_rel, which cannot take pairs without spread.
    """
    blocks = sorted(baseline.keys() & candidate.keys())
    if not blocks:
        return None
    slow: list[float] = _scaled([baseline[block] for block in blocks], ratio=ratio)
    fast: list[float] = _scaled([candidate[block] for block in blocks], ratio=ratio)
    differences, n = [a - b for a, b in zip(slow, fast, strict=True)], len(blocks)
    spread = variance(differences) if n > 1 else 0.0
    if spread <= TINY * max(value**2 for value in (*slow, *fast)):
        spread = 0.0  # equal but for rounding
    found = _t_interval(fmean(differences), spread / n, n - 1, n, comparisons)
    return found.exponential if ratio else found


def welch(
    baseline: Sequence[float], candidate: Sequence[float], comparisons: int = 1, *, ratio: bool = False
) -> Interval | None:
    """The same for values that belong to no common blocks: Welch's t, with the variance of each side. None: one side is empty.

    Source: the interval of scipy.stats.ttest_ind with equal_var=False, which cannot take sides without spread; the degrees
    of freedom are those of Welch and Satterthwaite.
    """
    if not baseline or not candidate:
        return None
    sides = [_scaled(side, ratio=ratio) for side in (baseline, candidate)]
    errors = [(variance(side) / len(side), len(side) - 1) if len(side) > 1 else (0.0, 0) for side in sides]
    squared, n = sum(part for part, _ in errors), min(map(len, sides))
    doubt = sum(part**2 / freedom for part, freedom in errors if freedom)
    freedom = squared**2 / doubt if doubt else n - 1
    found = replace(_t_interval(fmean(sides[0]) - fmean(sides[1]), squared, freedom, n, comparisons), paired=False)
    return found.exponential if ratio else found


def paired_or_welch(
    baseline: Sequence[tuple[Block, float]],
    candidate: Sequence[tuple[Block, float]],
    comparisons: int = 1,
    *,
    ratio: bool = False,
) -> Interval | None:
    """`paired` of (block, value) where no block comes twice on a side and the two share one; else `welch` of all values."""
    by_block = dict(baseline), dict(candidate)
    each_once = (len(by_block[0]), len(by_block[1])) == (len(baseline), len(candidate))
    found = paired(*by_block, comparisons, ratio=ratio) if each_once else None
    return found or welch([value for _, value in baseline], [value for _, value in candidate], comparisons, ratio=ratio)


def known_to(
    resolution: float,
    baseline: Sequence[tuple[Block, float]],
    candidate: Sequence[tuple[Block, float]],
    comparisons: int = 1,
    *,
    ratio: bool = True,
) -> Interval | None:
    """The ratio, or the difference, of `paired_or_welch` where each value may be off by `resolution`: its interval is no narrower than if
    all of a side were off by that, as many values that were cut to one second are not known better than one. What they are off by
    differently is in their spread already. None: there is none, or of a ratio a value is not above its resolution.
    """
    if ratio and any(value <= resolution for _, value in (*baseline, *candidate)):
        return None
    found = paired_or_welch(baseline, candidate, comparisons, ratio=ratio)
    if not found or not resolution or found.low is None or found.high is None:
        return found
    (less, more), (fewer, longer) = (
        [[(block, value + by) for block, value in side] for by in (-resolution, resolution)]
        for side in (baseline, candidate)
    )
    lowest, highest = (paired_or_welch(*sides, ratio=ratio) for sides in ((less, longer), (more, fewer)))
    assert lowest is not None
    assert highest is not None
    return replace(found, low=min(found.low, lowest.mean), high=max(found.high, highest.mean))


def last_place(values: Sequence[float]) -> float:
    """A unit of the last digit that any of these was written with: 0.1 of 60 and 60.5. At most 1."""
    places = [Decimal(repr(value)).normalize().as_tuple().exponent for value in values]
    return float(10.0 ** min([0, *(place for place in places if isinstance(place, int))]))


def _scaled(values: Sequence[float], *, ratio: bool) -> list[float]:
    return [log(value) for value in values] if ratio else list(values)


def _t_interval(mean: float, squared_error: float, freedom: float, n: int, comparisons: int) -> Interval:
    """Student's t interval around `mean`, whose standard error is given squared."""
    from scipy.special import stdtrit  # scipy.stats takes a second to be imported, and is no other function

    confidence = 1 - (1 - CONFIDENCE) / comparisons
    if n == 1:
        return Interval(mean, None, None, 1, paired=True, confidence=confidence)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(squared_error)
    return Interval(mean, mean - half, mean + half, n, paired=True, confidence=confidence)


def mean_of(values: Sequence[float]) -> Interval | None:
    """The mean of values, with its t interval. None: there is no value."""
    if not values:
        return None
    squared = variance(values) / len(values) if len(values) > 1 else 0.0
    return _t_interval(fmean(values), squared, len(values) - 1, len(values), 1)


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

    def bias(self, baseline_position: float, candidate_position: float) -> float:
        """The ratio baseline ÷ candidate of two equal points that stand at these positions of the order, in the mean: 1 where they are equal."""
        return exp(log1p(self.per_start) * (baseline_position - candidate_position))


def drift(values: Sequence[tuple[int, str, float]]) -> Drift | None:
    """Over (position, point, value): one slope over the positions for all points, each with a mean of its own, in logarithms.

    The points' means cost degrees of freedom, so the test is that of an analysis of covariance. None with fewer than five
    starts that have another of their point beside them, or where the means leave too few to judge.
    """
    from scipy.special import stdtr

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
    return Drift(exp(slope) - 1, float(2 * stdtr(freedom, -abs(t))))
