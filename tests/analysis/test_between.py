"""Starts of two sweeps as one comparison: who is compared with whom, what must agree, and what is known of the weights."""

from dataclasses import replace

import pytest

from bench.analysis.between import Side, differences, joined
from bench.analysis.comparison import Comparison, compare
from bench.analysis.losses import missing_starts
from bench.analysis.records import RunRecord, SweepRecord
from bench.analysis.warnings import warnings_about
from bench.errors import SettingError
from bench.report.content import report_of
from bench.report.write import report_markdown, summary_markdown
from bench.start.metrics import READY
from bench.vllm.probe_report import RankSums, TensorSum
from bench.weights.fingerprint import Fingerprint
from made_sweeps import made_start, made_sweep

VERSION = "version.vllm"


def start(point: str, ready_s: float = 10.0, *, repeat: int = 0, **tags: str) -> RunRecord:
    """Of a sweep over load formats. Tags by their names with _ for the first dot."""
    named = {name.replace("_", ".", 1): value for name, value in tags.items()}
    made = made_start(
        point, {"ready_s": ready_s}, repeat=repeat, params={"load_format": point.partition(" ")[0]}, tags=named
    )
    return replace(made, order=repeat + 1)


def sweep(sweep_id: str, *points: str, n: int = 2, **tags: str) -> SweepRecord:
    starts = [start(point, 10.0 + repeat, repeat=repeat, **tags) for repeat in range(n) for point in points]
    starts = [replace(each, run_id=f"{sweep_id} {each.run_id}") for each in starts]
    return replace(made_sweep(*starts), sweep_id=sweep_id, tags={"bench.planned": "\n".join([str(n)] * len(points))})


def joining(*sides: Side | SweepRecord, fetch=lambda _: None) -> SweepRecord:
    return joined([each if isinstance(each, Side) else Side(each) for each in sides], fetch)


def compared(*sides: Side | SweepRecord, fetch=lambda _: None, ignore: tuple[str, ...] = ()) -> Comparison:
    return compare(joining(*sides, fetch=fetch), ignore=ignore)


# Who is compared with whom.


def test_each_point_is_compared_with_the_one_that_is_called_alike_in_the_first_sweep():
    """What differs between the two is the candidate; the labels say from which sweep they are."""
    found = compared(sweep("A", "auto", "fast"), sweep("B", "fast", "auto"))

    assert found.baselines == {"fast (B)": "fast (A)", "auto (B)": "auto (A)"}
    assert [point.label for point in found.points] == ["auto (A)", "fast (A)", "fast (B)", "auto (B)"]


def test_sweeps_of_two_releases_are_called_by_these():
    """That is what one wants to know, and the ids are in the report's scope."""
    found = compared(sweep("A", "auto", version_vllm="0.31.0"), sweep("B", "auto", version_vllm="0.32.0"))

    assert found.baselines == {"auto (vLLM 0.32.0)": "auto (vLLM 0.31.0)"}


@pytest.mark.parametrize(
    ("sides", "baselines"),
    [
        (
            (Side(sweep("A", "auto", "fast"), "auto"), Side(sweep("B", "auto", "fast"), "fast")),
            {"fast (B)": "auto (A)"},
        ),
        ((sweep("A", "auto"), sweep("B", "fast", "slow")), {"fast (B)": "auto (A)", "slow (B)": "auto (A)"}),
        ((sweep("A", "auto", "fast"), sweep("B", "fast tp=1", "slow")), {"fast tp=1 (B)": "fast (A)"}),
        (
            (sweep("A", "auto"), sweep("B", "auto"), sweep("C", "auto")),
            {"auto (B)": "auto (A)", "auto (C)": "auto (A)"},
        ),
        (
            (sweep("A", "auto", "auto again"), sweep("B", "auto")),
            {"auto (B)": "auto (A)", "auto (A) again": "auto (A)"},
        ),
        (
            (Side(sweep("A", "auto", "auto again", "fast"), "auto"), sweep("B", "auto")),
            {"auto (B)": "auto (A)", "auto (A) again": "auto (A)"},
        ),
    ],
)
def test_points_find_their_baselines(sides, baselines):
    """Named ones, a single one, the one of their load format; each A/A arm in its own sweep."""
    assert compared(*sides).baselines == baselines


def test_two_points_of_one_sweep_stay_paired():
    """They are no two sweeps: labels as ever, the first is the baseline."""
    one = sweep("A", "auto", "fast", "slow")
    found = compared(Side(one, "slow"), Side(one, "fast"))

    assert found.baselines == {"fast": "slow"}
    assert found.speedup("fast", READY).ratio.paired
    assert missing_starts(found.sweep) == []


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ((sweep("A", "auto"), sweep("A", "auto")), "named twice"),
        ((Side(sweep("A", "auto"), "fast"), sweep("B", "auto")), "sweep=A:fast: the points of this sweep are auto."),
        ((sweep("A", "auto", "fast"), sweep("B", "slow", "slower")), "sweep=ID:POINT,ID:POINT"),
    ],
)
def test_what_cannot_be_compared_is_refused(sides, words):
    """With what there is, and what to do."""
    with pytest.raises(SettingError) as refused:
        joining(*sides)

    assert words in str(refused.value)


def test_a_sweep_alone_is_itself():
    """Whatever is done for several changes nothing for one."""
    one = sweep("A", "auto", "fast")

    assert joining(one) == one


def test_blocks_of_two_sweeps_are_never_paired():
    """They have the same numbers, and nothing in common."""
    found = compared(sweep("A", "auto", "auto again", n=3), sweep("B", "auto", n=3))

    assert not found.speedup("auto (B)", READY).ratio.paired
    assert found.speedup("auto (A) again", READY).ratio.paired


def test_that_nothing_is_paired_stands_in_the_report_and_in_the_terminal():
    """With what differs between the two, and both sweeps in the scope."""
    report = report_of(
        compared(sweep("A", "auto", "auto again", version_vllm="0.31.0"), sweep("B", "auto", version_vllm="0.32.0"))
    )
    text, summary = report_markdown(report, {}, []), summary_markdown(report)

    for each in (text, summary):
        assert "Not paired (Welch): `auto (vLLM 0.32.0)`." in each
        assert "What differs, the baseline's first: version.vllm `0.31.0` and `0.32.0`." in each
    assert "- Sweep `A`, started" in text
    assert "- Sweep `B`, started" in text


def test_starts_that_are_missing_and_drifts_are_those_of_each_sweep():
    """The plan and the order of one say nothing about the other."""
    short = replace(sweep("B", "auto", n=6), tags={"bench.planned": "7"})
    found = compared(sweep("A", "auto", n=6), short)

    assert [(each.start, each.text[:8]) for each in missing_starts(found.sweep)] == [("block 7 of B", "missing:")]
    assert sum("over the sweep A" in str(each) for each in warnings_about(found)) == 1
    assert sum("over the sweep B" in str(each) for each in warnings_about(found)) == 1


# What must agree.


def test_only_the_release_of_vllm_may_differ_on_purpose():
    """And the packages of its environment. Another host, another read-ahead or dtype is another experiment, as ever."""
    was = {"version_vllm": "0.31.0", "ran_torch": "2.9", "ran_dtype": "bf16", "host_host": "one"}
    now = was | {"version_vllm": "0.32.0", "ran_torch": "2.10"}

    assert compared(sweep("A", "auto", **was), sweep("B", "auto", **now)).withheld == {}
    for name, value in {"ran_dtype": "fp32", "host_host": "two"}.items():
        (why,) = compared(sweep("A", "auto", **was), sweep("B", "auto", **(now | {name: value}))).withheld.values()
        assert name.replace("_", ".", 1) in why
        assert "version.vllm" not in why


def test_one_release_with_another_torch_is_withheld():
    """Then nobody compares releases, and the environment has changed unnoticed."""
    both = [
        sweep(sweep_id, "auto", version_vllm="0.32.0", ran_torch=torch)
        for sweep_id, torch in (("A", "2.9"), ("B", "2.10"))
    ]

    assert "ran.torch" in compared(*both).withheld["auto (B)"]


def test_within_one_sweep_a_release_may_not_differ():
    """Nobody chose it."""
    one = made_sweep(start("auto", version_vllm="0.31.0"), start("fast", version_vllm="0.32.0"))

    assert "the vLLM version differs" in compare(one).withheld["fast"]


def test_what_differs_is_named_with_both_values():
    """Settings, versions, and what should have agreed; what follows from others is not."""
    was = replace(
        start("auto", version_vllm="0.31.0"), params={"load_format": "auto", "vllm_command": "a", "max_model_len": "1"}
    )
    now = replace(start("auto", version_vllm="0.32.0"), params={"load_format": "auto", "vllm_command": "b"})
    found = compare(made_sweep(was, replace(now, point="new")), ignore=[VERSION])

    assert differences(*found.points) == [(VERSION, "0.31.0", "0.32.0"), ("max_model_len", "1", "None")]


# Weights.


READ = {"bench_checkpoint_content": "c1", "bench_weights_read": "whole"}
VERIFIED = {"bench_weights": "bitwise", "bench_weights_why": "w", "bench_weights_baseline": "auto"}


def fingerprint(digest: str, release: str = "0.32.0") -> Fingerprint:
    sums = RankSums({"a.weight": TensorSum("bf16", (2, 2), digest)}, {}, 0.1, 1.0)
    return Fingerprint("k", {"versions": {"vllm": release}}, "o", {"TP0": sums}, (), (), {})


@pytest.mark.parametrize(
    ("was", "now", "fingerprints", "verdict"),
    [
        (READ, READ, (None, None), ("same_files", "the same files were read whole; the starts are of two sweeps")),
        ({}, READ, (None, None), ("unverified", "which files were read is not known of both sweeps")),
        (READ, READ | {"bench_weights_read": "part"}, (None, None), ("unverified", "not all of them is known")),
        (READ, READ | {"bench_checkpoint_content": "c2"}, (None, None), ("FAILED", "it is another checkpoint")),
        (READ | VERIFIED, READ | VERIFIED, (None, None), ("same_files", "the same files were read whole")),
        (READ, READ, (fingerprint("x"), fingerprint("x")), ("bitwise", "by the verification starts of both")),
        ({}, {}, (fingerprint("x"), fingerprint("x", "0.31.0")), ("bitwise", "bit for bit the baseline's")),
        (READ, READ, (fingerprint("x"), fingerprint("y")), ("FAILED", "differ from the baseline's")),
        (READ, READ, (fingerprint("x"), fingerprint("y", "0.31.0")), ("same_files", "the same files were read")),
    ],
)
def test_weights_of_two_sweeps_are_the_same_by_their_files_and_fingerprints(was, now, fingerprints, verdict):
    """A verdict within a sweep is about that sweep's baseline alone. Two releases may hold other tensors for the same files."""
    fetch = dict(zip(("A run of auto #1", "B run of auto #1"), fingerprints, strict=True)).get
    found = compared(sweep("A", "auto", **was), sweep("B", "auto", **now), fetch=fetch)

    assert found.weights["auto (B)"].kind == verdict[0]
    assert verdict[1] in found.weights["auto (B)"].why
    assert ("auto (B)" in found.withheld) is (verdict[0] == "FAILED")
