"""What two verification starts say about each other."""

import json
from dataclasses import replace

import pytest

from bench.vllm.greedy import GreedyAnswer
from bench.vllm.probe_report import RankSums, TensorSum
from bench.weights.fingerprint import Fingerprint, TensorKey, from_json, judge, merged

LAYERS = {f"layers.{number}.weight": f"{number:016x}" for number in range(3)}
ANSWER = GreedyAnswer("Once", (1, 2, 3), (-0.5, -0.25, -1.0))


def sums(digests: dict[str, str | None], dtype: str = "torch.bfloat16") -> RankSums:
    return RankSums({name: TensorSum(dtype, (8, 4), each) for name, each in digests.items()}, {}, 0.5, 0.1)


def found(ranks: dict[str, RankSums] | None = None, **other: object) -> Fingerprint:
    """Two ranks that agree in everything, unless told otherwise."""
    both = {"TP0": sums(LAYERS), "TP1": sums(LAYERS)}
    facts: dict[str, object] = {
        "key": "k", "made_from": {}, "outputs_from": "o", "answers": (ANSWER,), "again": (ANSWER,),
        "delivered": {"TP0": (3, 192), "TP1": (3, 192)},
    }  # fmt: skip
    return Fingerprint(ranks=both | (ranks or {}), **facts | other)


def test_equal_checksums_are_bitwise():
    """How many were compared, on how many ranks."""
    verdict = judge(found(), found())

    assert verdict.kind == "bitwise"
    assert verdict.why.startswith("6 tensors on 2 rank(s) are bit for bit the baseline's")


@pytest.mark.parametrize(
    "candidate",
    [
        {"ranks": {"TP0": sums(LAYERS)}, "unsummed": ("TP1",)},
        {"ranks": {"TP0": sums(LAYERS)}},
        {"unsummed": ("TP1",)},
    ],
)
def test_a_rank_of_which_no_checksum_is_known_is_never_bit_for_bit(candidate):
    """Neither where both lack it: half of the weights are unknown then."""
    one = replace(found(), **candidate)

    assert "no checksums of TP1" in judge(found(), one).why
    assert {judge(*pair).kind for pair in ((found(), one), (one, found()), (one, one))} <= {
        "outputs",
        "unverified",
        "bitwise",
    }
    assert judge(found(), one).kind == judge(one, found()).kind == "outputs"


def test_a_tensor_that_differs_fails_with_its_name_and_rank():
    """One flipped bit is one other digest."""
    verdict = judge(found(), found({"TP1": sums(LAYERS | {"layers.2.weight": "f" * 16})}))

    assert (verdict.kind, verdict.differing) == ("FAILED", (("TP1", "layers.2.weight"),))
    assert verdict.why == "layers.2.weight (rank TP1) differ from the baseline's"


def test_two_swapped_layers_fail_with_both_names_and_the_first_token_that_differs():
    """Names are part of the comparison: the sum over all would be the same."""
    swapped = LAYERS | {"layers.0.weight": LAYERS["layers.1.weight"], "layers.1.weight": LAYERS["layers.0.weight"]}
    other = replace(ANSWER, tokens=(1, 2, 4))
    verdict = judge(found(), found({"TP0": sums(swapped)}, answers=(other,)))

    assert verdict.differing == (("TP0", "layers.0.weight"), ("TP0", "layers.1.weight"))
    assert verdict.why.endswith("greedy tokens differ from token 3 of prompt 1 on")


def test_what_differs_between_two_loads_of_the_baseline_is_left_out():
    """Padding that nobody initialises."""
    padded = found({"TP0": sums(LAYERS | {"layers.1.weight": "a" * 16})})
    verdict = judge(merged(found(), padded), found({"TP0": sums(LAYERS | {"layers.1.weight": "b" * 16})}))

    assert verdict.kind == "bitwise"
    assert "1 left out that differ between two loads of the baseline: layers.1.weight (rank TP0)" in verdict.why


def without_sums(**other: object) -> Fingerprint:
    return found({"TP0": sums({}), "TP1": sums({})}, **other)


def test_without_checksums_equal_tokens_and_near_probabilities_are_the_same_outputs():
    """Near is what the baseline is to itself."""
    near = replace(ANSWER, logprobs=(-0.5, -0.2501, -1.0))

    assert judge(without_sums(again=(near,)), without_sums(answers=(near,))).kind == "outputs"
    assert judge(without_sums(), without_sums(answers=(near,))).kind == "unverified"


def test_without_checksums_other_tokens_fail():
    """Nothing but the load format differs, so nothing else explains them."""
    other = replace(ANSWER, tokens=(1, 9, 3))
    verdict = judge(without_sums(), without_sums(answers=(other,)))

    assert (verdict.kind, "from token 2 of prompt 1 on" in verdict.why) == ("FAILED", True)


def test_tokens_made_with_other_settings_prove_nothing():
    """A fingerprint may have been taken by an eager start."""
    other = replace(ANSWER, tokens=(9, 9, 9))

    assert judge(without_sums(), without_sums(answers=(other,), outputs_from="p")).kind == "unverified"


FEWER = {name: digest for name, digest in LAYERS.items() if name != "layers.2.weight"}


def test_a_tensor_that_the_candidate_lacks_fails():
    """All others are equal, so nothing stands in its stead: named with its rank, whatever the tokens are."""
    verdict = judge(found(), found({"TP1": sums(FEWER)}))

    assert (verdict.kind, verdict.differing) == ("FAILED", (("TP1", "layers.2.weight"),))
    assert verdict.why.startswith("layers.2.weight (rank TP1) are missing")


@pytest.mark.parametrize(
    "ranks",
    [
        {"TP1": sums(FEWER | {"layers.2.weight_packed": "c" * 16})},
        {"TP1": sums(LAYERS, dtype="torch.uint8")},
        {"TP1": sums({})},
        {"TP1": sums(LAYERS | {"rotary.inv_freq": "d" * 16})},
    ],
    ids=["renamed", "of another type", "a rank that is not known", "one more"],
)
def test_tensors_that_are_otherwise_in_the_candidate_cannot_be_compared(ranks):
    """No accusation of a load that converts tensors: its tokens decide, or it is unverified."""
    assert judge(found(), found(ranks)).kind == "outputs"
    assert judge(found(), found(ranks, outputs_from="p")).kind == "unverified"


def test_a_candidate_that_loads_otherwise_each_time_is_not_excused():
    """Only the baseline shows what is padding: a loader that reuses its buffers too early differs from itself."""
    other = found({"TP0": sums(LAYERS | {"layers.1.weight": "a" * 16})})
    verdict = judge(found(), merged(found(), other))

    assert (verdict.kind, verdict.differing) == ("FAILED", (("TP0", "layers.1.weight"),))


def test_where_all_is_left_out_nothing_is_bitwise():
    """A baseline that never loads the same twice proves nothing."""
    other = {rank: sums(dict.fromkeys(LAYERS, "e" * 16)) for rank in ("TP0", "TP1")}

    assert judge(merged(found(), found(other)), found()).kind != "bitwise"


@pytest.mark.parametrize("written", [["TP0", "a"], "TP0 a"], ids=["now", "by an earlier bench"])
def test_a_fingerprint_is_read_as_it_was_written(written):
    """From the JSON beside the caches."""
    padded = found(unstable=(TensorKey("TP0", "a"),))
    tree = json.loads(json.dumps(padded.as_json()))

    assert tree["unstable"] == [["TP0", "a"]]
    assert from_json(tree | {"unstable": [written]}) == padded
