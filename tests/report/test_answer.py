"""The sentences that a report begins with: planted comparisons, and that no sentence claims what its numbers do not carry."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from math import exp

import pytest

from bench.analysis.comparison import compare
from bench.analysis.records import RunRecord
from bench.report.answer import Answer, answer_of
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall

VERIFIED = {
    "bench.page_cache": "cold",
    "bench.compile_cache": "primed",
    "host.device": "cuda",
    "bench.weights": "bitwise",
}
CLAIM = re.compile(r"\b(faster|slower) than\b")


def started(point: str, ready_s: float, repeat: int = 0, **tags: str) -> RunRecord:
    """A verified start on one GPU, its weights the half of its time."""
    metrics = made_waterfall({"01_api_server_imports": ready_s / 2, "09_load_weights": ready_s / 2})
    known = VERIFIED | {"bench.weights_baseline": "a"} | tags
    return made_start(
        point, metrics, repeat=repeat, params={"load_format": point, "tensor_parallel_size": "1"}, tags=known
    )


def sweep(times: Mapping[str, list[float]], **tags: str) -> list[RunRecord]:
    return [
        started(point, value, block, **tags) for point, values in times.items() for block, value in enumerate(values)
    ]


def answered(*starts: RunRecord, price: float | None = None, replayed: bool = False) -> Answer:
    made = replace(made_sweep(*starts, replayed=replayed), ended_by="after the asked number of blocks")
    return answer_of(replace(compare(made, baseline="a"), usd_per_gpu_hour=price))


A = [60.0, 61.0, 59.0]
HALF = [30.0, 30.4, 29.6]
NOISY = [50.0, 75.0, 58.0]


def test_what_is_faster_by_how_much_and_where_from():
    """Both times, the ratio, its interval and n; then the phases, and what a thousand starts save."""
    found = answered(*sweep({"a": A, "b": HALF}))

    assert found.sentences[0].startswith(
        "`b` is faster than `a`: wall time to ready 30.00 s instead of 60.00 s, 2.00x [1.9"
    )
    assert found.sentences[0].endswith("(n = 3).")
    assert found.sentences[1].startswith("`b` saves 15.00 ± ")
    assert "s in Load weights" in found.sentences[1]
    assert found.sentences[2].startswith("A thousand starts of `b` save 30,000 [")
    assert found.caveats == ()


def test_a_phase_of_which_two_digits_show_nothing_is_not_named():
    """It is resolved, and it is no reason: `saves 0.00 ± 0.00 s in …` would be the answer's second sentence."""
    found = answered(*sweep({"a": [each / 5000 for each in A], "b": [each / 5000 for each in HALF]}))

    assert found.sentences[0].startswith("`b` is faster than `a`: wall time to ready 0.01 s instead of 0.01 s, 2.00x")
    assert found.sentences[1] == "No phase alone is resolved as where the seconds of `b` come from."


def test_nothing_resolved_is_an_answer_with_what_could_have_been():
    """And with where the baseline's own seconds go, which no noise hides."""
    found = answered(*sweep({"a": A, "b": NOISY}))

    assert found.sentences[0].startswith(
        "No difference between `b` and `a` is resolved: wall time to ready 61.00 s instead of 60.00 s, "
    )
    assert re.search(r"A difference of about \d+ % would have been resolved\.$", found.sentences[0])
    assert found.sentences[1].startswith("`a` spends 30.00 of its 60.00 s on ")
    assert "2.00x [2.00, 2.00] as fast" in found.sentences[1]
    assert len(found.sentences) == 2


def test_a_loss_is_called_one():
    """With its sign in words."""
    found = answered(*sweep({"a": HALF, "b": A}))

    assert found.sentences[0].startswith("`b` is slower than `a`: ")
    assert found.sentences[1].startswith("`b` loses 15.00 ± ")
    assert re.search(r"`b` cost 30,000 \[.*\] GPU-seconds more\.$", found.sentences[2])


def test_a_price_makes_dollars_of_seconds():
    """A start of 60 s on a GPU at $6 an hour is 10 cents; each amount with its interval."""
    found = answered(*sweep({"a": A, "b": HALF}), price=6.0)

    assert "At $6 a GPU-hour a start costs: `a` $0.1 [$0.0959, $0.104], `b` $0.05 [" in found.sentences[2]
    assert re.search(
        r"save 30,000 \[2\d,\d{3}, 3\d,\d{3}\] GPU-seconds, \$50 \[\$\d+\.\d, \$\d+\.\d\]\.$", found.sentences[3]
    )


def test_a_saving_that_is_not_resolved_is_no_saving():
    """At a price both ends are named."""
    found = answered(*sweep({"a": A, "b": NOISY}), price=6.0)

    assert re.search(
        r"would save is not resolved: -1,000\.?\d* \[-\d\d,\d{3}, \d\d,\d{3}\] GPU-seconds", found.sentences[-1]
    )
    assert not any(" save -" in each or "starts of `b` save" in each for each in found.sentences)


def test_one_start_each_names_no_winner():
    """n = 1 was the first thing wrong with the seed."""
    found = answered(started("a", 60.0), started("b", 30.0), price=6.0)

    assert found.sentences[0] == (
        "One start of each: wall time to ready `b` 30.00 s, `a` 60.00 s, 2.00x. n = 1 has no interval, so no difference is resolved."
    )
    assert not CLAIM.search(" ".join(found.sentences))
    assert "save" not in " ".join(found.sentences)


def test_one_start_among_several_is_no_interval_either():
    """The baseline has three, the candidate one: a pair."""
    found = answered(*sweep({"a": A}), started("b", 30.0))

    assert found.sentences[0].startswith(
        "One comparable start of each: wall time to ready `b` 30.00 s, `a` 60.00 s, 2.00x. n = 1 has no interval"
    )


def test_many_candidates_are_counted_and_the_largest_named():
    """The others are in the table, with their intervals."""
    times = {"a": A, **{f"p{index}": [time / (1.5 + index / 10) for time in A] for index in range(5)}, "n": NOISY}
    found = answered(*sweep(times))

    assert found.sentences[0].startswith(
        "5 of 6 candidates are faster than `a` (wall time to ready 60.00 s): `p4` 1.90x ["
    )
    assert " and 2 more (n = 3); `n` is not resolved. A factor of about " in found.sentences[0]


def test_an_a_a_arm_says_what_the_rig_resolves():
    """Beside the intervals of the others."""
    found = answered(*sweep({"a": A, "a again": [60.5, 60.0, 59.5], "b": NOISY}))

    assert re.search(r"; `a` against itself: 1\.00x \[0\.\d\d, 1\.\d\d\] \(n = 3\)\.$", found.sentences[0])


def test_a_rig_that_finds_what_is_not_there_is_not_believed():
    """What equal starts differ by is in a caveat, and no less is a difference."""
    found = answered(*sweep({"a": A, "a again": [time / 1.2 for time in A], "b": [time / 1.15 for time in A]}))

    assert found.sentences[0].startswith("No difference between `b` and `a` is resolved")
    assert "`a` against itself shows 1.20x [1.20, 1.20], though nothing differs" in found.caveats[0]


@pytest.mark.parametrize(
    ("starts", "sentence"),
    [
        ([started("a", 60.0)], "`a` was ready after 60.00 s (n = 1: no interval)."),
        (sweep({"a": A}), "`a` is ready after 60.00 s [57.52, 62.48] (n = 3)."),
        (sweep({"a": [0.1, 0.2, 1.0]}), "`a` is ready after 0.43 s [0.00, 1.66] (n = 3)."),
        ([made_failure("a", "no device")], "No start of this sweep counts, so there is nothing to compare."),
        ([made_start("a", {"phase/load_weights_s": 1.0})], "When `a` was ready is not known (n = 1)."),
    ],
)
def test_without_a_candidate_there_is_no_comparison(starts, sentence):
    made = made_sweep(*starts)

    assert answer_of(compare(made)).sentences[0] == sentence


# What limits it.


@pytest.mark.parametrize(
    ("starts", "caveat"),
    [
        pytest.param(
            [*sweep({"a": A, "b": HALF}), made_failure("b", "no device", repeat=3)],
            "1 of 7 starts failed: `b` 1.",
            id="a failed start",
        ),
        pytest.param(
            [*sweep({"a": A, "b": HALF}), replace(started("b", 9.0, 3), invalid_reason="it was warm")],
            "1 of 7 starts did not count, being invalid: `b` 1.",
            id="an invalid start",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"bench.page_cache": "unverified"}),
            "Page cache before each start: unverified: no reliable measurement on this host.",
            id="a state that could not be verified",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"bench.compile_cache": "as_is"}),
            "Compile and JIT caches: as it was found, not controlled.",
            id="a state that nobody set",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"bench.weights": "unverified"}),
            "`b`: whether the weights are the same is unverified.",
            id="weights that nobody compared",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"bench.weights": "FAILED", "bench.weights_why": "3 tensors differ"}),
            "`b` is withheld: weights FAILED: 3 tensors differ; to show it all the same: ignore=weights.",
            id="wrong weights",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"bench.ran": "unverified: probe=false"}),
            "What ran is unverified: probe=false (`a` and `b`): arguments, environment, dtype and limits inside vLLM's processes are not "
            "known, and were not compared.",
            id="starts without a probe",
        ),
        pytest.param(
            sweep({"a": A, "b": HALF}, **{"storage.name": "gp3", "storage.emulated": "3,000 reads/s, 125 MiB/s"}),
            "All starts: an emulated storage, gp3 (3,000 reads/s, 125 MiB/s); a real one also delays each request, which is not emulated.",
            id="an emulated storage",
        ),
        pytest.param(
            [*sweep({"b": HALF}, **{"storage.name": "gp3", "storage.emulated": "125 MiB/s"}), *sweep({"a": A})],
            "`b`: an emulated storage, gp3 (125 MiB/s), and `a` the host's own; a real one also delays each request, which is not emulated.",
            id="an emulated storage beside a real one",
        ),
    ],
)
def test_what_limits_the_answer_stands_beside_it(starts, caveat):
    assert caveat in answered(*starts).caveats


def test_a_candidate_without_a_time_to_ready_is_not_passed_over():
    """A log may lack it, and have the loading of weights."""
    starts = [
        *sweep({"a": A, "b": HALF}),
        made_start("c", {"waterfall/09_load_weights_s": 1.0, "phase/load_weights_s": 2.0}, tags=VERIFIED),
    ]
    known = [replace(each, metrics=each.metrics | {"phase/load_weights_s": 9.0}) for each in starts[:6]]

    assert "`c`: no wall time to ready to compare; other times are in the table." in answered(*known, starts[6]).caveats


def test_what_two_pairs_could_resolve_is_a_factor():
    """Per cents in the thousands are no number."""
    found = answered(*sweep({"a": [60.0, 61.0], "b": [60.0, 90.0]}))

    assert re.search(r"A factor of about \d+\.\d would have been resolved\.", found.sentences[0])


def test_survivors_stand_in_the_sentence_itself():
    """A ratio of those that are left is another one."""
    starts = [*sweep({"a": A, "b": HALF}), made_failure("b", "no device", repeat=3)]

    assert "(n = 3, survivors only)" in answered(*starts).sentences[0]


def test_a_floor_is_no_candidate():
    """Dummy weights are quick, and nothing that one could use."""
    starts = [*sweep({"a": A}), *sweep({"dummy": HALF}, **{"bench.weights": "dummy"})]
    found = answered(*starts)

    assert "`dummy` loads no weights: its 30.00 s to ready are the floor, no speedup." in found.caveats
    assert not CLAIM.search(" ".join(found.sentences))


def test_logs_from_elsewhere_have_no_state():
    assert (
        "These logs were recorded elsewhere: the state of the caches"
        in answered(*sweep({"a": A, "b": HALF}), replayed=True).caveats[0]
    )


def test_a_price_of_what_holds_no_gpu_is_said_to_be_unused():
    assert (
        "cost.usd_per_gpu_hour=6 is not used: these starts ran on a CPU."
        in answered(*sweep({"a": A, "b": HALF}, **{"host.device": "cpu"}), price=6.0).caveats
    )


# Whatever lot has drawn.


@pytest.mark.parametrize("seed", range(40))
def test_no_sentence_claims_what_its_interval_does_not_carry(seed):
    """Whatever the points, blocks, noise and losses: who is called faster has its whole interval above 1, who is called slower below."""
    lots = random.Random(seed)  # noqa: S311
    blocks, noise = lots.choice([1, 2, 3, 5]), lots.choice([0.0, 0.01, 0.1, 0.5])
    factors = {label: lots.choice([1.0, 1.0, 1.1, 3.0, 0.6]) for label in ["b", "c", "d"][: lots.randint(1, 3)]}
    starts = [
        started(label, 60 / factor * exp(lots.gauss(0, noise)), block)
        for block in range(blocks)
        for label, factor in {"a": 1.0, **factors}.items()
        if label == "a" or lots.random() > 0.2
    ]
    comparison = compare(made_sweep(*starts), baseline="a")
    text = " ".join(answer_of(comparison).sentences)
    ready = [each.ratio for each in comparison.speedups if each.metric.name == "ready_s"]

    assert ("faster than" in text) == any(ratio.low is not None and ratio.low > 1 for ratio in ready)
    assert ("slower than" in text) == any(ratio.high is not None and ratio.high < 1 for ratio in ready)
    assert CLAIM.search(text) is None or blocks > 1
