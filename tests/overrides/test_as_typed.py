"""Text that looks like a number or a boolean: it reaches vLLM as it was typed."""

from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import TAKEN
from bench.config.arguments import DECIMALS
from bench.host.vllm_arguments import ANSWER

LIST = Path(__file__).parents[1] / "fake_vllm" / "arguments.json"


@pytest.mark.parametrize(
    "typed", ["true", "True", "FALSE", "0.10", "1e3", "+3", "1_000", ".5", "12.10", "007", "1", "0.5", "inf", "DEBUG"]
)
def test_a_variable_has_the_text_that_was_typed(typed):
    """vLLM reads some of them by comparing text."""
    (settings,) = compose_settings([f"vllm.env.X={typed}", f"load_format.env.Y='{typed}'"])

    assert settings.vllm.env == {"X": typed}
    assert settings.load_format.env["Y"] == typed


@pytest.mark.parametrize("typed", ["12e4567", "1e10", "1.10", "007", "12e0"])
def test_an_argument_that_is_text_has_the_text_that_was_typed(typed):
    """A short hash, a version."""
    (settings,) = compose_settings([f"vllm.args.revision={typed}", f"vllm.args.served_model_name=[{typed}, b]"])

    assert settings.vllm.args == {"revision": typed, "served_model_name": [typed, "b"]}


def test_each_of_several_values_keeps_its_text_and_what_is_no_text_its_type():
    """Numbers that are written the same either way, booleans of arguments, null, and numbers in JSON."""
    points = compose_settings(["vllm.env.X=true,1,null", "vllm.args.seed=3", "vllm.args.enforce_eager=true"])
    (whole,) = compose_settings(["vllm.args.hf_overrides={theta:1e3}", "vllm.args.hf_overrides_.theta=1e3"])

    assert [each.vllm.env["X"] for each in points] == ["true", "1", None]
    assert points[0].vllm.args == {"seed": 3, "enforce_eager": True}
    assert whole.vllm.args == {"hf_overrides": {"theta": 1000.0}, "hf_overrides_": {"theta": 1000.0}}


def test_variables_are_equal_where_their_text_is():
    """A boolean of an experiment's file is 1."""
    (of_a_file,) = compose_settings(["vllm.env={X:true,Y:4}"])
    (typed,) = compose_settings(["vllm.env.X=1", "vllm.env.Y='4'"])

    assert of_a_file.vllm.env == typed.vllm.env == {"X": "1", "Y": "4"}


def test_numbers_with_decimals_are_equal_where_their_value_is():
    """Two spellings of one are one point. They are those that vLLM's own list takes for numbers; swap_space is of earlier releases."""
    points = compose_settings(["vllm.args.cpu_offload_gb=0.5,0.50,5e-1,4,4.0,lots"])
    listed = {
        each.name
        for each in ANSWER.validate_json(LIST.read_bytes()).arguments
        if {"1.5", "x", "{}"} & {*each.takes} == {"1.5"}
    }

    assert [each.vllm.args["cpu_offload_gb"] for each in points] == [0.5, 0.5, 0.5, 4, 4, "lots"]
    assert DECIMALS - {"swap_space"} == listed - TAKEN.keys()
