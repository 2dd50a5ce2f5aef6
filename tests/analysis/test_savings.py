"""Where the saved seconds come from: which starts enter, that nothing gets lost between the phases, and the upper bound."""

import random
from dataclasses import replace
from math import sqrt
from statistics import fmean

import pytest
from scipy import stats

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import Point, RunRecord
from bench.analysis.savings import (
    Savings,
    mean_waterfall,
    savings,
    upper_bound,
    upper_bounds,
)
from bench.start.waterfall import Step
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall

IMPORTS = Step(1, "api_server_imports")
WEIGHTS = Step(9, "load_weights")
COMPILE = Step(12, "compile")
REST = Step(99, "unattributed")

T_OF_2_PAIRS = 12.7062047  # Student's t for 95 %, from a printed table: 1 degree of freedom
T_OF_3_PAIRS = 4.30265273  # 2 degrees of freedom


def started(point: str, repeat: int = 0, *, tokens: str | None = None, **phases: float) -> RunRecord:
    """A start with these phases; `weights=4.0` and so on."""
    names = {
        "imports": "01_api_server_imports",
        "weights": "09_load_weights",
        "compile": "12_compile",
        "first_token": "17_first_token",
        "rest": "99_unattributed",
    }
    tags = {} if tokens is None else {"bench.tokens": tokens}
    metrics = made_waterfall({names[name]: seconds for name, seconds in phases.items()})
    return made_start(point, metrics, repeat=repeat, tags=tags)


def compared(*starts: RunRecord) -> Comparison:
    return compare(made_sweep(*starts), baseline="base")


def only(*starts: RunRecord) -> Savings:
    (found,) = savings(compared(*starts))
    return found


def saved(found: Savings) -> dict[Step, float]:
    return {each.step: each.saved_s.mean for each in found.steps}


def drawn_by_lot(point: str, repeat: int, lots: random.Random) -> RunRecord:
    """A start in which any phase but one may be missing."""
    phases = {name: lots.uniform(0, 9) for name in ("weights", "compile", "first_token", "rest") if lots.random() > 0.3}
    return started(point, repeat, imports=lots.uniform(1, 9), **phases)


# One start.


def test_phases_are_in_the_order_of_the_chain():
    """In whatever order the store gives them back; one that only a later bench knows comes behind, and what is no phase stays outside."""
    metrics = {
        "waterfall/99_unattributed_s": 0.1,
        "waterfall/12_compile_s": 8.0,
        "waterfall/03_a_phase_of_2030_s": 1.0,
        "probe/load_weights_s": 4.0,
        "rank/TP0/waterfall/09_load_weights_s": 4.0,
        "ready_s": 9.1,
    }
    steps = made_start("base", metrics).phases

    assert list(steps.items()) == [(COMPILE, 8.0), (Step(98, "a_phase_of_2030"), 1.0), (REST, 0.1)]


def test_only_the_first_token_is_after_ready():
    """What nothing explains has the last number, and belongs to the time to ready all the same."""
    steps = started("base", imports=8.0, weights=4.0, first_token=0.5, rest=0.3).phases

    assert [step.name for step in steps if not step.before_ready] == ["first_token"]


def test_a_start_without_a_time_to_ready_has_no_waterfall():
    """There is nothing that its phases could add up to."""
    assert made_start("base", {"waterfall/09_load_weights_s": 4.0}).phases == {}


# Means.


def test_a_mean_waterfall_adds_up_although_a_start_lacks_a_phase():
    """That start spent no time in it: its seconds are in the others. And how many had the phase is known."""
    point = Point("base", (started("base", weights=4.0, compile=8.0), started("base", 1, weights=6.0)))
    found = mean_waterfall(point)

    assert found is not None
    assert [(each.step, each.mean_s, each.n) for each in found.steps] == [(WEIGHTS, 5.0, 2), (COMPILE, 4.0, 1)]
    assert (found.ready_s, found.n) == (9.0, 2)


def test_a_start_without_a_waterfall_is_in_no_mean():
    """Its probe did not report; nothing at all is known of its phases."""
    point = Point("base", (started("base", weights=4.0), made_start("base", {"ready_s": 100.0}, repeat=1)))
    found = mean_waterfall(point)

    assert found is not None
    assert (found.n, found.ready_s, found.mean_s(WEIGHTS)) == (1, 4.0, 4.0)


def test_a_point_of_replayed_logs_has_no_waterfall():
    """None, and not one of zeros."""
    assert mean_waterfall(Point("base", (made_start("base", {"ready_s": 100.0}),))) is None


# Differences.


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("paired", [True, False])
def test_the_phases_add_up_to_the_difference_in_time_to_ready(seed, paired):
    """Of the same starts, whichever phases they lack and whichever blocks failed."""
    lots = random.Random(seed)  # noqa: S311 - nothing is secret
    starts = [drawn_by_lot(point, repeat, lots) for point in ("base", "fast") for repeat in range(5)]
    kept = [start for start in starts if start.repeat == 4 or lots.random() > 0.3]
    if not paired:  # the same block twice, as when two sweeps are joined
        kept.append(drawn_by_lot("base", 4, lots))
    found = only(*kept)
    common = set.intersection(*({each.repeat for each in kept if each.point == name} for name in ("base", "fast")))
    sides = [
        fmean(each.metrics["ready_s"] for each in kept if each.point == name and (not paired or each.repeat in common))
        for name in ("base", "fast")
    ]

    assert found.paired == paired
    assert sum(saved(found).values()) == pytest.approx(found.saved_s.mean)
    assert found.saved_s.mean == pytest.approx(sides[0] - sides[1])


def test_each_phase_is_baseline_minus_candidate():
    """Above 0 the candidate is faster there. The first token comes later, and is no part of it."""
    found = only(
        started("base", imports=8.0, weights=20.0, first_token=3.0, rest=0.5),
        started("fast", imports=8.5, weights=6.0, first_token=1.0, rest=0.25),
    )

    assert saved(found) == {IMPORTS: -0.5, WEIGHTS: 14.0, REST: 0.25}
    assert found.saved_s.mean == 13.75


def test_a_phase_that_one_of_the_two_never_had_is_saved_as_a_whole():
    """The baseline compiled, the candidate found its graph. That it never did is not lost: there is no mean."""
    found = only(started("base", weights=20.0, compile=8.0), started("fast", weights=20.0))
    compiled = found.steps[1]

    assert (compiled.step, compiled.saved_s.mean) == (COMPILE, 8.0)
    assert (compiled.baseline_s, compiled.candidate_s) == (8.0, None)


def test_means_and_differences_are_of_the_same_starts():
    """The second block of the candidate has failed: the baseline's slow start there would make it look fast."""
    found = only(
        started("base", weights=20.0), started("base", 1, weights=90.0), started("fast", weights=6.0),
        made_failure("fast", "no device", repeat=1),
    )  # fmt: skip

    assert (found.steps[0].baseline_s, found.steps[0].candidate_s) == (20.0, 6.0)
    assert (found.saved_s.mean, found.n) == (14.0, 1)


def test_an_invalid_start_does_not_enter():
    """Its state was not what was asked for."""
    doubted = replace(started("fast", 1, weights=1.0), invalid_reason="it was warm")
    found = only(started("base", weights=20.0), started("base", 1, weights=20.0), started("fast", weights=6.0), doubted)

    assert (found.saved_s.mean, found.n) == (14.0, 1)


def test_a_withheld_candidate_saves_nothing():
    """It did not load the same weights: its seconds would be quoted."""
    starts = started("base", tokens="4711", weights=20.0), started("fast", tokens="0815", weights=6.0)

    assert savings(compared(*starts)) == []


def test_a_candidate_without_a_waterfall_has_no_savings():
    """And hides those of no other."""
    starts = started("base", weights=20.0), made_start("old", {"ready_s": 9.0}), started("fast", weights=6.0)

    assert [each.candidate for each in savings(compared(*starts))] == ["fast"]


# Intervals.


def test_intervals_are_of_pairs_within_blocks():
    """Differences of 4, 6 and 8 seconds: mean 6, standard error 2 / sqrt(3). That the host was slow in a block is no doubt."""
    starts = [started("base", block, weights=10.0 + slow) for block, slow in enumerate((0.0, 50.0, 0.0))]
    starts += [started("fast", block, weights=w) for block, w in enumerate((6.0, 54.0, 2.0))]
    found = only(*starts).steps[0].saved_s

    assert found.paired
    assert (found.low, found.high) == pytest.approx((6 - T_OF_3_PAIRS * 2 / sqrt(3), 6 + T_OF_3_PAIRS * 2 / sqrt(3)))


def test_intervals_hold_for_all_candidates_of_a_baseline_together():
    """As those of the speedups do: 95 % for both, so 97.5 % for each."""
    starts = [started(point, block, weights=w + block**2) for point, w in (("base", 20.0),) for block in range(4)]
    starts += [started(point, block, weights=6.0) for point in ("fast", "faster") for block in range(4)]

    assert [each.saved_s.confidence for each in savings(compared(*starts))] == [pytest.approx(0.975)] * 2


def test_starts_that_belong_to_no_common_block_are_compared_by_welch():
    """Of two replayed series, say; with the interval of SciPy."""
    slow, fast = (20.0, 21.0, 19.5), (6.0, 6.5)
    starts = [started("base", block, weights=w) for block, w in enumerate(slow)]
    starts += [started("fast", block + 7, weights=w) for block, w in enumerate(fast)]
    found = only(*starts)
    scipys = stats.ttest_ind(slow, fast, equal_var=False).confidence_interval(0.95)

    assert (found.paired, found.n) == (False, 2)
    assert (found.saved_s.low, found.saved_s.high) == pytest.approx((scipys.low, scipys.high))


def test_one_start_each_has_no_interval():
    """Nothing is known of the spread."""
    found = only(started("base", weights=20.0), started("fast", weights=6.0))

    assert {(each.saved_s.low, each.saved_s.high) for each in found.steps} == {(None, None)}


# The upper bound.


def test_the_upper_bound_is_what_remains_if_weights_took_no_time():
    """40 s to ready, 20 of them weights: twice as fast, and no loader can do better."""
    found = upper_bound(Point("base", (started("base", imports=20.0, weights=20.0),)))

    assert found is not None
    assert (found.ready_s, found.weights_s, found.ratio.n) == (40.0, 20.0, 1)
    assert (found.ratio.mean, found.ratio.low, found.ratio.high) == (pytest.approx(2.0), None, None)


def test_the_upper_bound_has_the_interval_of_its_starts():
    """Ratios of 2 and 8: the geometric mean is 4, and the standard error of the logarithms ln 2."""
    starts = started("base", imports=20.0, weights=20.0), started("base", 1, imports=5.0, weights=35.0)
    found = upper_bound(Point("base", starts))

    assert found is not None
    assert (found.ratio.mean, found.ratio.n) == (pytest.approx(4.0), 2)
    assert (found.ratio.low, found.ratio.high) == pytest.approx((4 * 2**-T_OF_2_PAIRS, 4 * 2**T_OF_2_PAIRS))


def test_a_start_that_does_not_tell_its_weights_says_nothing_of_the_upper_bound():
    """Missing is not 0: its weights are somewhere in the other phases."""
    starts = started("base", imports=20.0, weights=20.0), started("base", 1, imports=40.0)
    found = upper_bound(Point("base", starts))

    assert found is not None
    assert (found.ratio.mean, found.ratio.n) == (pytest.approx(2.0), 1)
    assert upper_bound(Point("base", starts[1:])) is None


def test_an_upper_bound_is_the_baselines_and_one_for_all_its_candidates():
    """It does not hang on the blocks in which one of them failed."""
    starts = [started("base", block, imports=20.0, weights=20.0) for block in range(3)]
    starts += [started("fast", 0, imports=20.0, weights=5.0), started("faster", 1, imports=20.0, weights=1.0)]

    assert [(each.point, each.ratio.n) for each in upper_bounds(compared(*starts))] == [("base", 3)]
