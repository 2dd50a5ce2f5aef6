"""Arguments as vLLM prints them: what is read, and what is left alone because it is not certain."""

import pytest

from bench.log.arguments import asked_in, config_in

CONFIG = "INFO 11-24 02:56:36 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: "


@pytest.mark.parametrize("read", [asked_in, config_in])
def test_a_line_about_something_else_is_none(read):
    """It is not the same as a line that says nothing."""
    assert read("INFO 11-24 02:56:27 [model.py:2152] Using max model len 512") is None


def test_a_dict_of_what_was_asked():
    """As LLM() and the server print it since 0.9."""
    found = asked_in(
        "non-default args: {'model': 'tiny', 'max_model_len': 512, 'enforce_eager': True, 'gpu_memory_utilization': 0.2}"
    )

    assert found == {"model": "tiny", "max_model_len": 512, "enforce_eager": True, "gpu_memory_utilization": 0.2}


def test_a_namespace_of_all_arguments():
    """As the server printed it to 0.8, with every default."""
    found = asked_in(
        "INFO 04-01 10:00:00 [api_server.py:1035] args: Namespace(subparser='serve', model_tag='tiny', host=None, "
        "middleware=[], load_format='auto', dtype='auto', tensor_parallel_size=2, compilation_config=None, "
        "dispatch_function=<function ServeSubcommand.cmd at 0x7f2b>)"
    )

    assert found == {"model_tag": "tiny", "load_format": "auto", "dtype": "auto", "tensor_parallel_size": 2}


def test_the_engines_config():
    """Bare words are values there, and text stands in quotes."""
    found = config_in(
        f"{CONFIG}model='a, b', speculative_config=Other(seed=1, load_format=dummy, n=2), dtype=torch.bfloat16, max_seq_len=512, load_format=auto, "
        "tensor_parallel_size=1, device_config=cuda, structured_outputs_config=StructuredOutputsConfig(backend='auto', "
        "model='other'), enforce_eager=False, seed=0"
    )

    assert found == {
        "model": "a, b",
        "dtype": "torch.bfloat16",
        "max_seq_len": 512,
        "load_format": "auto",
        "tensor_parallel_size": 1,
        "device_config": "cuda",
        "enforce_eager": False,
    }


@pytest.mark.parametrize(
    "printed", ["LoadFormat.RUNAI_STREAMER", "<LoadFormat.RUNAI_STREAMER: 'runai_streamer'>", "runai_streamer"]
)
def test_a_member_of_an_enumeration_is_its_value(printed):
    """vLLM printed load formats in three ways."""
    found = config_in(f"{CONFIG}load_format={printed}, seed=0, ")

    assert found == {"load_format": "runai_streamer"}


def test_a_number_with_a_point_is_no_member_of_anything():
    """0.2 looks like one to a careless pattern."""
    assert asked_in("non-default args: {'gpu_memory_utilization': 0.2}") == {"gpu_memory_utilization": 0.2}


def test_what_is_secret_is_not_read():
    """0.26 still prints the API key as it is."""
    assert asked_in("non-default args: {'api_key': ['sk-123'], 'hf_token': 'hf_1', 'model': 'tiny'}") == {
        "model": "tiny"
    }


@pytest.mark.parametrize("end", range(len("'tensor_parallel_size': 16")))
def test_a_value_that_the_lines_end_cuts_is_left_out(end):
    """16 that was cut after its 1 would be a wrong number."""
    cut = "'tensor_parallel_size': 16"[:end]

    assert asked_in(f"non-default args: {{'model': 'tiny', {cut}") == {"model": "tiny"}
    assert config_in(f"{CONFIG}model='tiny', {'tensor_parallel_size=16'[:end]}") == {"model": "tiny"}


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').getcwd()",
        "[1, 2",
        "[1, 2]",
        "{'a': 1}",
        "1 +",
        "PosixPath('a')",
        "lambda: 1",
        "'" + "(" * 500,
        "-" * 5000 + "1",
        r"'\d' 'x",
    ],
)
def test_what_is_no_plain_value_is_left_out(value):
    """It is not evaluated either."""
    found = asked_in(f"non-default args: {{'model': 'tiny', 'max_model_len': {value}}}")

    assert found == {"model": "tiny"}


def test_text_is_never_taken_for_structure():
    """A model may be called anything."""
    found = asked_in(
        r"""non-default args: {'model': "it's, 'load_format': 'x'} \\", 'load_format': 'dummy'} and so on"""
    )

    assert found == {"model": "it's, 'load_format': 'x'} \\", "load_format": "dummy"}


def test_a_quote_within_quotes_does_not_end_them():
    """repr() puts a backslash before it where both kinds are in a text."""
    found = asked_in(r"""non-default args: {'model': 'it\'s "a", \'load_format\': 1', 'load_format': 'dummy'}""")

    assert found == {"model": """it's "a", 'load_format': 1""", "load_format": "dummy"}


def test_a_line_of_megabytes_is_read_to_its_limit():
    """Whatever it is, it was not printed by vLLM."""
    assert asked_in("non-default args: {'model': 'tiny', 'x': '" + "y" * 5_000_000) == {"model": "tiny"}
