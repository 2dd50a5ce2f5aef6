"""Ratios with their intervals, outliers and drift: against values worked out by hand, SciPy, and simulated sweeps."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import exp, log, sqrt

import numpy as np
import pytest
from scipy import stats

from bench.analysis.comparison import compare
from bench.analysis.statistics import (
    Drift,
    Interval,
    drift,
    known_to,
    last_place,
    outliers,
    paired,
    welch,
)
from bench.analysis.warnings import warnings_about
from bench.compose import compose_settings
from bench.config import Settings
from bench.start.metrics import READY
from bench.start.warning import WarningKind
from bench.sweep.plan import Point, Start, blocks_of
from made_sweeps import made_start, made_sweep

T_OF_2_PAIRS = 12.7062047  # Student's t for 95 %, from a printed table: 1 degree of freedom
T_OF_3_PAIRS = 4.30265273  # 2 degrees of freedom
T_OF_3_PAIRS_OF_3_CANDIDATES = 7.64885  # the same for 1 - 0.05 / 3

BASELINE = {0: 61.2, 1: 63.9, 2: 60.4, 3: 66.0, 4: 62.7}
CANDIDATE = {0: 50.1, 1: 51.7, 2: 50.9, 3: 53.3, 4: 49.2}


def ends(ratio: Interval | None) -> tuple[float, float]:
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    return ratio.low, ratio.high


def excludes_one(ratio: Interval | None) -> bool:
    """What a reader would call a significant difference."""
    low, high = ends(ratio)
    return not low <= 1 <= high


# Pairs within blocks.


def test_a_paired_interval_is_that_of_the_textbook():
    """The log ratios are ln 2, ln 2, ln 4: their mean is 4/3 ln 2, their standard error 1/3 ln 2."""
    found = paired({0: 10.0, 1: 10.0, 2: 20.0}, {0: 5.0, 1: 5.0, 2: 5.0}, ratio=True)

    assert found.mean == pytest.approx(2 ** (4 / 3))
    assert ends(found) == pytest.approx((2 ** ((4 - T_OF_3_PAIRS) / 3), 2 ** ((4 + T_OF_3_PAIRS) / 3)))


def test_a_paired_interval_is_that_of_scipy():
    """Of its t test for related samples, over the logarithms."""
    slow, fast = ([log(value) for value in values.values()] for values in (BASELINE, CANDIDATE))
    scipys = stats.ttest_rel(slow, fast).confidence_interval(0.95)
    found = paired(BASELINE, CANDIDATE, ratio=True)

    assert ends(found) == pytest.approx((exp(scipys.low), exp(scipys.high)))
    assert (found.n, found.paired, found.confidence) == (5, True, pytest.approx(0.95))


def test_pairs_are_made_by_block_and_not_by_order():
    """A dictionary's order is that in which starts came in."""
    shuffled = {block: CANDIDATE[block] for block in (3, 0, 4, 1, 2)}

    assert paired(BASELINE, shuffled, ratio=True) == paired(BASELINE, CANDIDATE, ratio=True)


def test_what_all_starts_of_a_block_share_does_not_widen_the_interval():
    """That is what blocks are for: the host was twice as slow in the third, for both."""
    slow, fast = BASELINE | {2: 2 * BASELINE[2]}, CANDIDATE | {2: 2 * CANDIDATE[2]}

    assert ends(paired(slow, fast, ratio=True)) == pytest.approx(ends(paired(BASELINE, CANDIDATE, ratio=True)))


def test_a_block_that_only_one_of_the_two_has_does_not_enter():
    """The other's start has failed there."""
    found = paired(BASELINE, {block: CANDIDATE[block] for block in (0, 1, 3)}, ratio=True)

    assert found == paired({block: BASELINE[block] for block in (0, 1, 3)}, CANDIDATE, ratio=True)
    assert found.n == 3


def test_one_pair_has_a_ratio_and_no_interval():
    """Nothing is known of its spread, so nothing is said of it."""
    found = paired({0: 421.89}, {0: 62.25}, ratio=True)

    assert found == Interval(pytest.approx(421.89 / 62.25), None, None, 1, paired=True, confidence=pytest.approx(0.95))


def test_two_pairs_have_an_interval_as_wide_as_that_must_be():
    """Log ratios ln 2 and ln 4: mean 1.5 ln 2, standard error 0.5 ln 2, and t is 12.7."""
    found = paired({0: 10.0, 1: 20.0}, {0: 5.0, 1: 5.0}, ratio=True)

    assert ends(found) == pytest.approx((2 ** (1.5 - T_OF_2_PAIRS / 2), 2 ** (1.5 + T_OF_2_PAIRS / 2)))
    assert found.n == 2


@pytest.mark.parametrize(("baseline", "candidate"), [({}, {}), ({0: 1.0}, {}), ({0: 1.0, 2: 1.0}, {1: 1.0, 3: 1.0})])
def test_without_a_common_block_there_is_no_paired_ratio(baseline, candidate):
    """None, and never one of starts that do not belong together."""
    assert paired(baseline, candidate, ratio=True) is None


@pytest.mark.parametrize("n", [2, 3, 10])
def test_equal_ratios_have_an_interval_without_width(n):
    """Student's t would be 0/0. The times differ, only their ratio does not: it is that of two clocks, or of one log."""
    slow = {block: 0.1 * (block + 1) for block in range(n)}
    found = paired(slow, {block: value / 3 for block, value in slow.items()}, ratio=True)

    assert found.mean == pytest.approx(3.0)
    assert ends(found) == (found.mean, found.mean)


def test_swapping_the_two_inverts_ratio_and_interval():
    """Whoever is called the baseline, the same is known."""
    forth, back = paired(BASELINE, CANDIDATE, ratio=True), paired(CANDIDATE, BASELINE, ratio=True)

    assert back.mean == pytest.approx(1 / forth.mean)
    assert ends(back) == pytest.approx((1 / forth.high, 1 / forth.low))


# Several candidates of one baseline.


def test_several_candidates_widen_the_interval_by_bonferroni():
    """Three of them, each wrong with 5/3 %, are all right with 95 %; with the quantile of a table."""
    found = paired({0: 10.0, 1: 10.0, 2: 20.0}, {0: 5.0, 1: 5.0, 2: 5.0}, comparisons=3, ratio=True)
    half = T_OF_3_PAIRS_OF_3_CANDIDATES / 3

    assert ends(found) == pytest.approx((2 ** (4 / 3 - half), 2 ** (4 / 3 + half)), rel=1e-4)
    assert found.confidence == pytest.approx(1 - 0.05 / 3)


def test_the_more_candidates_the_wider():
    """And the ratio itself is what it was."""
    found = [paired(BASELINE, CANDIDATE, comparisons, ratio=True) for comparisons in (1, 2, 3, 10)]
    widths = [each.high / each.low for each in found]

    assert widths == sorted(set(widths))
    assert len({each.mean for each in found}) == 1


def test_a_comparison_counts_the_candidates_of_each_baseline():
    """Two candidates of one baseline are two chances to be lucky."""
    starts = {"auto": BASELINE, "one": CANDIDATE, "two": CANDIDATE}
    sweep = made_sweep(
        *(
            made_start(point, {"ready_s": value}, repeat=block)
            for point, times in starts.items()
            for block, value in times.items()
        )
    )
    found = compare(sweep).speedup("one", READY).ratio

    assert (found.low, found.high) == ends(paired(BASELINE, CANDIDATE, comparisons=2, ratio=True))


# Starts that belong to no common blocks.


def test_an_unpaired_interval_is_welchs():
    """By his formulas, over the logarithms: variances are not pooled."""
    slow, fast = np.log([61.2, 63.9, 60.4, 66.0]), np.log([50.1, 55.7, 47.0])
    squares = [np.var(each, ddof=1) / len(each) for each in (slow, fast)]
    freedom = sum(squares) ** 2 / (squares[0] ** 2 / 3 + squares[1] ** 2 / 2)
    middle, half = slow.mean() - fast.mean(), stats.t.ppf(0.975, freedom) * sqrt(sum(squares))
    found = welch([61.2, 63.9, 60.4, 66.0], [50.1, 55.7, 47.0], ratio=True)

    assert found.mean == pytest.approx(exp(middle))
    assert ends(found) == pytest.approx((exp(middle - half), exp(middle + half)))
    assert (found.n, found.paired) == (3, False)


def test_an_unpaired_ratio_of_one_start_has_no_interval():
    """However many the other has: the spread of one of the two is unknown."""
    found = welch([10.0, 11.0, 12.0], [5.0], ratio=True)

    assert (found.low, found.high, found.n) == (None, None, 1)
    assert found.mean == pytest.approx((10 * 11 * 12) ** (1 / 3) / 5)


def test_unpaired_starts_without_any_spread_have_an_interval_without_width():
    """Again 0/0."""
    assert ends(welch([10.0, 10.0], [5.0, 5.0, 5.0], ratio=True)) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize(
    ("baseline", "candidate", "expected"),
    [
        ([78.0] * 3, [67.0] * 3, (77 / 68, 79 / 66)),
        ([4.0] * 3, [3.0] * 3, (3 / 4, 5 / 2)),
        ([4.0] * 3, [1.0] * 3, None),
    ],
)
def test_what_is_known_to_a_second_has_an_interval_no_narrower(baseline, candidate, expected):
    """However often the same second was read; and what is not above its resolution has no ratio."""
    sides = [[(("", 0), value) for value in side] for side in (baseline, candidate)]
    found = known_to(1.0, *sides)

    assert (found and ends(found)) == (expected and pytest.approx(expected))


def test_an_interval_that_is_wider_than_the_resolution_stays_as_it_is():
    """What each value is off by is in their spread."""
    sides = [[(("", 0), value) for value in side] for side in ((78.0, 60.0, 91.0), (67.0, 50.0, 88.0))]

    assert known_to(0.01, *sides) == known_to(0.0, *sides)


def test_a_difference_of_equal_seconds_is_known_to_two():
    """One on either side."""
    sides = [[(("", 0), value)] * 3 for value in (78.0, 67.0)]

    assert ends(known_to(1.0, *sides, ratio=False)) == (9.0, 13.0)


def test_the_last_place_is_that_of_the_value_with_the_most_digits():
    """60 s may be 60.4; beside 60.25 it is 60.00."""
    assert [last_place(values) for values in ([60.0, 50.0], [60.0, 60.25], [])] == [1.0, 0.01, 1.0]


@pytest.mark.parametrize(("baseline", "candidate"), [([], []), ([1.0], []), ([], [1.0])])
def test_without_a_start_on_either_side_there_is_no_ratio(baseline, candidate):
    """There is nothing to divide."""
    assert welch(baseline, candidate, ratio=True) is None


def test_a_point_that_is_twice_in_a_block_is_not_paired():
    """Which of the two belongs to the other point's start? Nobody knows, so the comparison falls back to Welch."""
    slow = [made_start("auto", {"ready_s": value}, repeat=0) for value in (10.0, 11.0, 12.0)]
    fast = [made_start("dummy", {"ready_s": value}, repeat=0) for value in (5.0, 5.5, 6.5)]
    found = compare(made_sweep(*slow, *fast)).speedup("dummy", READY).ratio

    assert not found.paired
    assert (found.low, found.high) == ends(welch([10.0, 11.0, 12.0], [5.0, 5.5, 6.5], ratio=True))


# What the intervals promise, simulated.


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_truth_in_95_of_100_sweeps(n):
    """2,000 sweeps with lognormal noise of 10 % and a common shock in each block. Its standard error is 0.5 %."""
    rng, truth, hits = np.random.default_rng(n), 1.2, 0
    for _ in range(2000):
        shock = rng.normal(0, 0.2, n)
        slow, fast = (60 * np.exp(shock + rng.normal(0, 0.1, n)) for _ in range(2))
        low, high = ends(paired(dict(enumerate(slow)), dict(enumerate(fast / truth)), ratio=True))
        hits += low <= truth <= high

    assert 0.93 <= hits / 2000 <= 0.97


FORMATS = ("auto", "safetensors")


@cache
def settings() -> Settings:
    """Those of conf/; composing them takes longer than a hundred sweeps."""
    return compose_settings([])[0]


def in_blocks(blocks: int, seed: int, formats: Sequence[str] = FORMATS) -> list[Start]:
    """As a sweep of these formats would order them."""
    points = [Point(label, (), settings().model_copy(update={"repeats": blocks})) for label in formats]
    return [start for block in blocks_of(points, seed) for start in block]


def one_after_the_other(blocks: int) -> list[Start]:
    """AAABBB: all starts of one, then all of the other, as a loop in a shell would order them."""
    starts = sorted(in_blocks(blocks, 0), key=lambda start: FORMATS.index(start.point.label))
    return [Start(start.point, start.repeat, position) for position, start in enumerate(starts, 1)]


def timed(starts: list[Start], rng: np.random.Generator, drift_a_start: float) -> list[tuple[Start, float]]:
    """Equal formats on a host that changes: 60 s, noise of 2 %, and the drift."""
    return [(each, 60 * (1 + drift_a_start) ** each.position * exp(rng.normal(0, 0.02))) for each in starts]


def difference(times: list[tuple[Start, float]]) -> Interval | None:
    by_format = {label: {each.repeat: s for each, s in times if each.point.label == label} for label in FORMATS}
    return paired(*by_format.values(), ratio=True)


@pytest.mark.parametrize("drift_a_start", [-0.02, 0.04])
@pytest.mark.parametrize("blocks", [3, 5, 10])
@pytest.mark.parametrize("noise", [0.005, 0.05])
@pytest.mark.parametrize("formats", [FORMATS, (*FORMATS, "dummy", "sharded_state")], ids=len)
def test_a_drift_makes_equal_points_differ_no_more_often_than_an_interval_of_95_percent_may(
    drift_a_start, blocks, noise, formats
):
    """At most 6 % of 8,000 sweeps, for two of their points: in each pair of blocks the drift cancels out, and in an odd number what
    the last one leaves of it, a share of 1/n, is smaller than the interval, which the alternating signs have widened.

    Simulated on logarithms with numpy and scipy.stats.ttest_rel, over 200 orders. With each block shuffled by itself it
    was 25 % for 3 blocks with a noise of 0.5 %.
    """
    rng = np.random.default_rng(blocks)
    positions = np.array(
        [positions_by_block(in_blocks(blocks, seed, formats)) for seed in range(200)]
    )  # seed x point x block
    times = positions * log(1 + drift_a_start) + rng.normal(0, noise, (40, *positions.shape))
    found = stats.ttest_rel(times[:, :, 0], times[:, :, 1], axis=-1)

    assert (found.pvalue < 0.05).mean() <= 0.06


def positions_by_block(starts: Sequence[Start]) -> list[list[int]]:
    """For each of FORMATS its place in the order of the sweep, block by block."""
    return [[start.position for start in starts if start.point.label == label] for label in FORMATS]


def test_the_same_drift_makes_one_where_the_formats_are_started_one_after_the_other():
    """Which shows that the check before this can fail, and what blocks are good for."""
    rng = np.random.default_rng(0)
    found = sum(excludes_one(difference(timed(one_after_the_other(5), rng, 0.02))) for _ in range(100))

    assert found >= 90


# Outliers.


def test_a_start_that_lies_far_from_the_others_is_found():
    """By its index: it is for a person to look at its log."""
    assert outliers([60.1, 61.0, 59.4, 95.0, 60.6, 60.2]) == [3]
    assert outliers([60.1, 61.0, 59.4, 35.0, 60.6, 60.2]) == [3]


def test_starts_that_spread_as_starts_do_have_no_outlier():
    """Else every report would warn, and nobody read it."""
    assert outliers([60.1, 63.0, 57.4, 61.9, 60.6, 58.8]) == []
    assert outliers([60.1, 61.0, 59.4, 62.6, 60.6, 60.2]) == []  # 3.25 robust standard deviations from the middle


def test_several_outliers_do_not_hide_each_other():
    """As they would with a mean and a standard deviation: two of eight pull both towards themselves."""
    assert outliers([60.1, 61.0, 59.4, 95.0, 60.6, 60.2, 59.9, 96.0]) == [3, 7]


@pytest.mark.parametrize("values", [[], [60.0], [60.0, 61.0, 62.0, 600.0]])
def test_fewer_than_five_starts_have_no_outlier(values):
    """Nobody can tell then which are the odd ones."""
    assert outliers(values) == []


def test_an_outlier_is_warned_about_and_never_removed():
    """It happened, and it will happen to a user. It is in the mean, in the ratio and in the interval."""
    times = [60.1, 61.0, 59.4, 95.0, 60.6]
    slow = [made_start("auto", {"ready_s": value}, repeat=block) for block, value in enumerate(times)]
    fast = [made_start("dummy", {"ready_s": value}, repeat=block) for block, value in CANDIDATE.items()]
    comparison = compare(made_sweep(*slow, *fast))

    assert [str(each) for each in warnings_about(comparison)] == [
        "auto #4: 95.00 s to ready lies far from the other starts of its point; it is in all figures"
    ]
    assert comparison.points[0].values(READY) == times
    assert comparison.speedup("dummy", READY).ratio.mean == pytest.approx(
        paired(dict(enumerate(times)), CANDIDATE, ratio=True).mean
    )


# Drift.


def drifting(blocks: int, drift_a_start: float, seed: int = 0) -> Drift | None:
    times = timed(in_blocks(blocks, seed), np.random.default_rng(seed), drift_a_start)
    return drift([(each.position, each.point.label, seconds) for each, seconds in times])


@pytest.mark.parametrize("a_start", [0.02, -0.02])
def test_a_drift_over_the_sweep_is_found(a_start):
    """With its size: 2 % a start, up or down."""
    found = drifting(10, a_start)

    assert found.significant
    assert found.per_start == pytest.approx(a_start, abs=0.005)


def test_a_difference_between_the_points_is_no_drift():
    """Each start is compared with its own point, even where the slower one came first."""
    values = [(position, "auto", 60.0 + position % 3) for position in range(1, 7)]
    values += [(position, "dummy", 30.0 + position % 3) for position in range(7, 13)]

    assert not drift(values).significant


def test_too_few_starts_have_no_drift():
    """Points that were started once say nothing: there is nothing of their own to compare with."""
    once = [(position, f"point {position}", 60.0 + position) for position in range(1, 10)]

    assert drift(once) is None
    assert drift([(position, "auto", 60.0 + position) for position in range(1, 5)]) is None
    assert drift([]) is None


@pytest.mark.parametrize(
    ("lost", "places", "bias"),
    [
        (set(), "`auto` stands at position 5.6 of the order, `safetensors` at 5.4", "1.004x"),
        ({0, 3}, "`auto` stands at position 6.7 of the order, `safetensors` at 5.7", "1.017x"),
    ],
)
def test_a_drift_is_said_with_what_it_would_give_the_ratio(lost, places, bias):
    """By the mean positions in the blocks that both have: exp(slope x difference). Where the reversed blocks were lost, nothing cancels."""
    times = timed(in_blocks(5, 0), np.random.default_rng(0), 0.02)
    starts = [
        replace(made_start(each.point.label, {"ready_s": seconds}, repeat=each.repeat), order=each.position)
        for each, seconds in times
        if each.point.label == "auto" or each.repeat not in lost
    ]
    (drift_warning,) = warnings_about(compare(made_sweep(*starts)))

    assert drift_warning.kind is WarningKind.DRIFT
    assert str(drift_warning).startswith("the time to ready changed by +1.")
    assert "% a start over the sweep (p < 0.001); " in str(drift_warning)
    assert str(drift_warning).endswith(f"; {places}, in the mean: by itself the drift would make their ratio {bias}")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.0, 0.97), "`auto` 0% to 0%, `tensorizer` 97% to 97%"),
        ((0.5, None), "`auto` 50% to 50%, `tensorizer` unknown"),
        ((None, None), "`auto` unknown, `tensorizer` unknown"),
        ((0.5, 0.51), None),
    ],
)
def test_as_is_is_not_one_state(shares, said):
    """A page cache that is left as it is holds more before one start than before another; or nobody knows."""
    made = [
        made_start(
            label, {} if share is None else {"page_cache/resident_before": share}, tags={"bench.page_cache": "as_is"}
        )
        for label, share in zip(("auto", "tensorizer"), shares, strict=True)
    ]
    found = warnings_about(compare(made_sweep(*made)))

    assert [(each.kind, str(each).rpartition("known: ")[2]) for each in found] == (
        [(WarningKind.STATE, said)] if said else []
    )


@pytest.mark.parametrize(("formats", "blocks"), [("ab", 10), ("abcde", 2)])
def test_a_drift_that_is_not_there_is_found_in_5_of_100_sweeps(formats, blocks):
    """That is what p = 0.05 says: 1,000 sweeps on a steady host, and two standard errors more."""
    rng, found = np.random.default_rng(0), 0
    for seed in range(1000):
        times = timed(in_blocks(blocks, seed, formats), rng, 0.0)
        found += drift([(each.position, each.point.label, seconds) for each, seconds in times]).significant

    assert found / 1000 <= 0.065


# Differences.


def test_a_paired_difference_is_that_of_scipy():
    """Of its t test for related samples, over the seconds themselves, by block and not by order."""
    shuffled = {block: CANDIDATE[block] for block in (3, 0, 4, 1, 2)} | {9: 1000.0}
    scipys = stats.ttest_rel([*BASELINE.values()], [*CANDIDATE.values()]).confidence_interval(1 - 0.05 / 3)
    found = paired(BASELINE, shuffled, comparisons=3)

    assert found.mean == pytest.approx(sum(BASELINE.values()) / 5 - sum(CANDIDATE.values()) / 5)
    assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high))
    assert (found.n, found.paired, found.confidence) == (5, True, pytest.approx(1 - 0.05 / 3))


def test_an_unpaired_difference_is_that_of_welch():
    """Each side with its own spread and its own number of starts."""
    slow, fast = [61.2, 63.9, 60.4, 66.0], [50.1, 51.7]
    scipys = stats.ttest_ind(slow, fast, equal_var=False).confidence_interval(0.95)
    found = welch(slow, fast)

    assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high))
    assert (found.n, found.paired) == (2, False)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_difference_without_spread_has_an_interval_without_width(n):
    """A phase that nobody had took 0 s in every start."""
    zeros, ones = dict.fromkeys(range(n), 0.0), dict.fromkeys(range(n), 1.0)

    for found in (paired(ones, zeros), welch([*ones.values()], [*zeros.values()])):
        assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_where_one_side_has_no_spread_the_other_makes_the_interval():
    """The candidate never had the phase: the baseline's own t interval, with its degrees of freedom."""
    slow = [8.0, 8.5, 7.5]
    own = stats.t.interval(0.95, 2, loc=8.0, scale=0.5 / sqrt(3))
    found = welch(slow, [0.0, 0.0])

    assert (found.low, found.high) == pytest.approx(own)


@pytest.mark.parametrize("n", [0, 1])
def test_one_start_has_a_difference_and_no_interval_and_none_has_neither(n):
    """Nothing is known of its spread, so nothing is said of it."""
    in_pairs = paired({0: 20.0}, {0: 6.0} if n else {1: 6.0})
    unpaired = welch([20.0, 30.0], [6.0] if n else [])

    assert in_pairs == (Interval(14.0, None, None, 1, paired=True, confidence=pytest.approx(0.95)) if n else None)
    assert unpaired == (Interval(19.0, None, None, 1, paired=False, confidence=pytest.approx(0.95)) if n else None)
