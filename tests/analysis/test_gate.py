"""The three outcomes of a gate, and that equal starts fail it no more often than its intervals promise."""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import exp

import pytest

from bench.analysis.between import Side, joined
from bench.analysis.comparison import Comparison, compare
from bench.analysis.gate import Gate, Outcome, judge
from bench.analysis.records import RunRecord, SweepRecord
from bench.report.gate_report import gate_lines
from bench.start.metrics import FIRST_TOKEN, READY
from made_sweeps import made_failure, made_start, made_sweep

NARROW = [10.0, 10.1, 9.9, 10.05, 9.95]


def timed(point: str, ready_s: Sequence[float]) -> list[RunRecord]:
    return [made_start(point, {"ready_s": value}, repeat=repeat) for repeat, value in enumerate(ready_s)]


def slower(by: float) -> list[float]:
    return [value * by for value in NARROW]


def swept(**points: Sequence[float]) -> Comparison:
    return compare(made_sweep(*(start for point, times in points.items() for start in timed(point, times))))


def gated(comparison: Comparison, limit: float = 0.05) -> Gate:
    return judge(comparison, limit, READY)


def against(*sweeps: SweepRecord) -> Comparison:
    """Two sweeps, compared."""
    return compare(joined([Side(sweep) for sweep in sweeps], lambda _: None))


def named(sweep_id: str, *starts: RunRecord) -> SweepRecord:
    return replace(made_sweep(*starts), sweep_id=sweep_id)


@pytest.mark.parametrize(
    ("candidate", "outcome"),
    [
        (slower(1.2), Outcome.FAILED),
        (slower(1.0), Outcome.PASSED),
        (slower(0.5), Outcome.PASSED),
        ([5.0, 20.0, 8.0, 13.0, 10.0], Outcome.UNRESOLVED),
        ([5.0, 3.0, 8.0, 5.0, 2.0], Outcome.PASSED),  # as noisy, but all of the interval is below
        ([10.6, 10.5, 10.4, 10.5, 10.6], Outcome.UNRESOLVED),  # precise, but the limit itself lies inside
    ],
)
def test_an_interval_lies_above_the_limit_or_below_or_around_it(candidate, outcome):
    """There is no fourth case, and around it is never a guess."""
    assert gated(swept(auto=NARROW, fast=candidate)).outcome is outcome


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ({"slow": slower(1.2), "same": NARROW}, Outcome.FAILED),
        ({"noisy": [5.0, 20.0, 8.0, 13.0, 10.0], "same": NARROW}, Outcome.UNRESOLVED),
        ({"noisy": [5.0, 20.0, 8.0, 13.0, 10.0], "slow": slower(1.2)}, Outcome.FAILED),
        ({"same": NARROW, "equal": NARROW}, Outcome.PASSED),
    ],
)
def test_the_worst_of_several_candidates_decides(points, outcome):
    """A slowdown that is beyond doubt is worse than one that nobody could see."""
    assert gated(swept(auto=NARROW, **points)).outcome is outcome


def test_each_interval_is_printed_with_its_level():
    """Of several candidates it is wider than the report's own of one metric, whose level is another."""
    one, two = (
        gate_lines(gated(swept(auto=NARROW, **points))) for points in ({"a": NARROW}, {"a": NARROW, "b": slower(0.9)})
    )

    assert "95 % interval, n = 5" in one[1]
    assert all("97.5 % interval, n = 5" in line for line in two[1:])


def lost(start: RunRecord) -> Comparison:
    return compare(made_sweep(*timed("auto", NARROW), *timed("fast", slower(1.2)[:4]), start))


@pytest.mark.parametrize(
    ("comparison", "why"),
    [
        (swept(auto=[10.0], fast=[20.0]), "n < 2"),
        (swept(auto=NARROW, fast=[20.0]), "n < 2"),
        (lost(made_failure("fast", "out of memory", repeat=4)), "1 failed start of `fast`"),
        (lost(replace(timed("fast", [9.0])[0], repeat=4, invalid_reason="it was warm")), "1 invalid start of `fast`"),
        (compare(made_sweep(*timed("auto", NARROW), made_failure("fast", "no device"))), "none of its starts finished"),
        (
            compare(
                replace(made_sweep(*timed("auto", NARROW), *timed("fast", NARROW)), tags={"bench.planned": "5\n6"})
            ),
            "1 missing start of `fast`",
        ),
        (
            compare(
                made_sweep(
                    *(replace(each, params={"model": "one"}) for each in timed("auto", NARROW)),
                    *(replace(each, params={"model": "other"}) for each in timed("fast", NARROW)),
                )
            ),
            "no comparison: the model differs",
        ),
    ],
)
def test_what_cannot_be_judged_is_not_resolved_with_a_sentence(comparison, why):
    """Whatever the times are of the starts that are left: they are the survivors."""
    gate = gated(comparison)

    assert gate.outcome is Outcome.UNRESOLVED
    assert why in "\n".join(gate_lines(gate))


def test_a_start_that_was_made_again_is_not_lost():
    """As by resume=true: its block has one that counts."""
    again = made_failure("fast", "bench was ended", repeat=2)

    assert gated(compare(made_sweep(*timed("auto", NARROW), *timed("fast", NARROW), again))).outcome is Outcome.PASSED


def test_without_a_candidate_nothing_is_resolved():
    """A single point; and one that is compared with itself alone."""
    assert gated(swept(auto=NARROW)).outcome is Outcome.UNRESOLVED
    assert gated(swept(**{"auto": NARROW, "auto again": NARROW})).outcome is Outcome.UNRESOLVED


def test_another_metric_can_be_chosen_and_must_be_known_of_every_start():
    """The first token may be late though vLLM was ready in time."""
    starts = [
        replace(each, metrics={"ready_s": 10.0, "first_token_s": token_s})
        for point, token_s in (("auto", 11.0), ("fast", 15.0))
        for each in timed(point, NARROW)
    ]

    assert judge(compare(made_sweep(*starts)), 0.05, FIRST_TOKEN).outcome is Outcome.FAILED
    assert judge(swept(auto=NARROW, fast=NARROW), 0.05, FIRST_TOKEN).outcome is Outcome.UNRESOLVED


@pytest.mark.parametrize(
    ("again", "outcome"),
    [
        (NARROW, Outcome.FAILED),
        (slower(1.12), Outcome.UNRESOLVED),  # equal starts differ by 12 %: so may these
        ([7.0, 13.0, 9.0, 11.0, 12.0], Outcome.UNRESOLVED),  # equal starts are known to some 30 % only
    ],
)
def test_no_candidate_is_resolved_better_than_the_baseline_against_itself(again, outcome):
    """A candidate that is 8 % slower, to the tenth of a percent, on rigs that differ in what equal starts show."""
    assert gated(swept(**{"auto": NARROW, "fast": slower(1.08), "auto again": again})).outcome is outcome


# Two sweeps.


def test_starts_of_two_sweeps_are_not_paired():
    """Both have a block 1 in which the host was slow: within a sweep that cancels out, between two it is chance."""
    blocks = [10.0, 15.0, 8.0, 12.0, 9.0]
    within = compare(made_sweep(*timed("auto", blocks), *timed("fast", blocks)))
    between = against(named("A", *timed("auto", blocks)), named("B", *timed("auto", blocks)))

    assert gated(within).outcome is Outcome.PASSED
    assert gated(between).outcome is Outcome.UNRESOLVED
    assert "not paired (Welch)" in "\n".join(gate_lines(gated(between)))


def simulated(generator: random.Random, points: int, starts: int) -> SweepRecord:
    """Equal starts, lognormal with 4 %."""
    times = {f"p{number}": [10 * exp(generator.gauss(0, 0.04)) for _ in range(starts)] for number in range(points)}
    sweep_id = f"sweep {generator.random()}"
    return named(sweep_id, *(start for point, some in times.items() for start in timed(point, some)))


@pytest.mark.parametrize(("points", "starts"), [(1, 3), (3, 5)])
def test_of_a_thousand_pairs_of_equal_sweeps_five_percent_fail_at_most(points, starts):
    """However small the limit is: with 0.01 % the gate asks whether there is any difference at all."""
    generator = random.Random(4711)  # noqa: S311  # noise, not a secret
    pairs = [(simulated(generator, points, starts), simulated(generator, points, starts)) for _ in range(1000)]
    outcomes = [gated(against(*pair), 0.0001).outcome for pair in pairs]

    assert outcomes.count(Outcome.FAILED) <= 50
    assert outcomes.count(Outcome.PASSED) <= 50  # nor is it taken for shown that they are equal
