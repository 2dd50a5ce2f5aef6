"""A quick test for many texts at once finds what a slow one does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.log.interest import ANY
from bench.log.shapes import shape_of
from bench.log.sought import Sought

TEXTS = ["Loading weights took ", "init engine (profile", "rror", "KV cache size: ", "BENCHMARK=", "a V1 b", ""]
PARTS = st.sampled_from(
    [
        "Loading",
        "weights",
        "took",
        " ",
        "  ",
        "\t",
        "engine",
        "(profile",
        "init",
        "rror",
        "KV cache",
        "size:",
        "V1",
        "V2",
        "a",
        "b",
        "x",
    ]
)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_a_line_is_found_where_it_has_one_of_the_texts(line):
    """And only there; digits count as one."""
    for texts in (TEXTS[:-1], TEXTS):
        expected = any(shape_of(text) in shape_of(line) for text in texts)

        assert Sought(texts).is_in(shape_of(line)) == expected


@pytest.mark.parametrize("line", ["(APIServer pid=1) GPU KV cache usage: 3.1%", "INFO: GET /health", "", "took"])
def test_chatter_has_none_of_the_texts(line):
    """That anybody looks for."""
    assert not ANY.is_in(shape_of(line))
