"""When a speedup is shown, by what is known of the weights behind it, and in which words."""

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.report.content import report_of
from bench.report.write import summary_markdown
from made_sweeps import made_start, made_sweep


def speedup_section(comparison: Comparison) -> str:
    return summary_markdown(report_of(comparison)).partition("## Speedups")[2]


def start(
    point: str, kind: str | None = None, *, tokens: str = "4711", load_format: str | None = None, **tags: str
) -> RunRecord:
    """A start with this verdict on it, against `auto` unless told otherwise."""
    found = {"bench.tokens": tokens}
    if kind:
        found |= {"bench.weights": kind, "bench.weights_why": f"because {kind}", "bench.weights_baseline": "auto"}
    found |= {f"bench.{name}": value for name, value in tags.items()}
    params = {"load_format": load_format or point, "completion.max_tokens": "16"}
    return made_start(point, {"ready_s": 10.0 if point == "auto" else 5.0}, params=params, tags=found)


def told(*starts: RunRecord, ignore: tuple[str, ...] = ()) -> str:
    return speedup_section(compare(made_sweep(*starts), ignore=ignore))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("bitwise", "the same weights, bit for bit"), ("outputs", "the same outputs"), ("same_files", "the same files")],
)
def test_a_speedup_is_shown_and_marked_as_what_it_is(kind, words):
    """With the reason, for each of the three verdicts that allow one."""
    text = told(start("auto", "bitwise"), start("fast", kind))

    assert "| Wall time to ready | 2.00x |" in text
    assert f"- `fast`: {words} ({kind}): because {kind}" in text


def test_wrong_weights_are_struck_out():
    """Whatever the tokens say, and with the way to see it all the same."""
    starts = start("auto", "bitwise"), start("fast", "FAILED")

    assert "2.00x" not in told(*starts)
    assert "- ~~`fast`~~: no speedup is shown: weights FAILED: because FAILED" in told(*starts)
    for name in ("weights", "bench.weights", "bench.tokens"):
        assert "2.00x" in told(*starts, ignore=(name,))
        assert "weights FAILED, shown because you asked for it" in told(*starts, ignore=(name,))


def test_made_up_weights_are_the_floor_and_no_candidate():
    """Also where the user ignores the weights: nobody can load faster than a loader that loads nothing."""
    text = told(start("auto", "bitwise"), start("dummy", "dummy", tokens="0815"), ignore=("weights",))

    assert "2.00x" not in text
    assert "it is the floor, and no candidate. Ready after 5.00 s." in text


def test_unverified_weights_with_equal_tokens_are_called_the_same_tokens():
    """And never the same weights."""
    text = told(start("auto"), start("fast"))

    assert "2.00x" in text
    assert "the same 16 greedy tokens" in text
    assert "the same weights" not in text


@pytest.mark.parametrize(
    ("setting", "values", "decides"),
    [
        ("vllm.args.enforce_eager", ("False", "True"), "enforce_eager"),
        ("vllm.args.model_impl", ("transformers", "vllm"), "model_class"),
        ("vllm.args.kv_cache_dtype", ("fp8", "None"), "kv_cache_dtype"),
        ("vllm.args.attention_backend", ("TRITON_ATTN", "FLASH_ATTN"), "attention_backend"),
        ("vllm.args.quantization", ("fp8", "None"), "quantization"),
        ("tensor_parallel_size", ("1", "2"), "ranks"),
    ],
)
def test_other_kernels_on_the_same_files_are_accused_of_nothing(setting, values, decides):
    """Tokens may differ, and the speedup is shown with the words; what the setting decides inside vLLM may differ too."""
    same = {"checkpoint_content": "abc", "weights_read": "whole"}
    varied = [
        made_start(
            value,
            {"ready_s": ready_s},
            params={"load_format": "auto", setting: value},
            tags=start(value, "same_files", tokens=tokens, weights_baseline=values[0], **same).tags
            | {f"ran.{decides}": value},
        )
        for value, ready_s, tokens in zip(values, (5.0, 10.0), ("4711", "0815"), strict=True)
    ]
    text = told(*varied)

    assert "0.50x" in text
    assert "the same files (same_files)" in text
    assert "where more than the load format was varied that proves nothing" in text


@pytest.mark.parametrize(("content", "expected"), [("abc", "same_files"), ("def", "unverified")])
def test_two_baselines_are_related_by_the_files_that_they_read(content, expected):
    """Formats times eager has two baselines, of which the user may compare one with the other."""
    starts = [
        made_start(
            point,
            {"ready_s": 5.0},
            params={"load_format": "auto", "vllm.args.enforce_eager": point},
            tags=start(point, "bitwise", weights_baseline=point, weights_read="whole", checkpoint_content=found).tags,
        )
        for point, found in (("eager", "abc"), ("compiled", content))
    ]

    assert compare(made_sweep(*starts), baseline="eager").weights["compiled"].kind == expected


def test_candidates_of_one_baseline_are_as_close_as_the_weaker_of_the_two():
    """Each was compared with auto; the user asks for one against the other."""
    starts = start("auto", "bitwise"), start("one", "bitwise"), start("two", "outputs")
    found = compare(made_sweep(*starts), baseline="one").weights

    assert (found["auto"].kind, found["two"].kind) == ("bitwise", "outputs")


def test_a_point_whose_starts_read_two_checkpoints_has_no_speedup():
    """Without verification too: model.path may lead to another model after the first start."""
    starts = [start("auto"), start("fast", checkpoint_content="abc"), start("fast", checkpoint_content="def")]
    found = compare(made_sweep(*starts))

    assert "the files were exchanged between two of them" in found.withheld["fast"]


@pytest.mark.parametrize(("kind", "shown"), [("bitwise", True), ("outputs", False)])
def test_timed_starts_with_other_tokens_take_back_equal_outputs_and_no_bits(kind, shown):
    """The verification starts gave equal tokens, the timed ones did not: that is no `the same outputs`. Bits do not depend on tokens."""
    text = told(start("auto", "bitwise"), start("fast", kind), start("fast", kind, tokens="0815"))

    assert ("2.00x" in text) == shown
    assert "the same outputs" not in text
    assert "greedy tokens differ" in text


@pytest.mark.parametrize("point", ["auto", "fast"])
def test_two_digests_are_never_the_same_tokens(point):
    """Though each arm has the other's too."""
    starts = [start(each, tokens=tokens) for each in ("auto", "fast") for tokens in ("4711", "0815")]
    text = told(*starts, start(point, tokens="4711"), ignore=("weights",))

    assert "greedy tokens differ" in text
    assert "the same" not in text
