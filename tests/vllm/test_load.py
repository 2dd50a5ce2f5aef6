"""Load by vLLM's own generator: what it is asked, what is read of its result, and what is refused before anything is started."""

import ast
import itertools
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import SettingError, StartError
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.host.short_command import CommandResult
from bench.vllm.generate_load import imports
from bench.vllm.load import FILE, Load, arguments_of, read_load, refuse_load

HOST = Host(Device("cpu"), "/env/bin/python", {"vllm": "0.32.0"}, Needs({}, {}))
ON = "serve_bench=true"
RESULT = {
    "completed": 32, "request_throughput": 4.0, "output_throughput": 128.0, "median_ttft_ms": 250.0, "median_tpot_ms": 12.5,
}  # fmt: skip


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


def python(folder: Path, lacking: list[str]) -> str:
    """An interpreter whose environment lacks these packages."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(lacking)}'\n")
    path.chmod(0o755)
    return str(path)


def test_one_word_stands_for_the_number_of_prompts():
    """And other settings beside it count."""
    asked = composed(ON, "serve_bench.seed=3").serve_bench

    assert (asked.num_prompts, asked.seed) == (32, 3)
    assert composed("serve_bench=false") == composed()
    assert [each.steady.requests for each in compose_settings(("steady=true,false",))] == [40, None]
    assert not [name for name in composed().flat() if "serve_bench" in name or "steady" in name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("completion=null",), "complete no texts"),
        (("completion=null", "steady=true"), "steady.requests=40: they are completions"),
        (("vllm.args.runner=pooling",), "complete no texts"),
        (("vllm.command=docker run image",), "it is in the container"),
        (("serve_bench.input_len=2030",), "input_len=2030 and output_len=32 are more than max_model_len=2048"),
    ],
)
def test_load_that_cannot_be_generated_is_refused(words, message):
    with pytest.raises(SettingError, match=message):
        refuse_load([(composed(ON, *words), HOST)])


def test_a_generator_that_lacks_a_package_is_refused(tmp_path):
    """By its name, and only where load is asked for."""
    host = replace(HOST, python=python(tmp_path, ["aiohttp"]))

    refuse_load([(composed(), host)])
    with pytest.raises(SettingError, match=r"needs aiohttp, which vllm\.python=.* does not have"):
        refuse_load([(composed(ON), host)])


def test_what_a_module_imports_only_if_it_is_there_is_not_missed():
    """Releases import pandas and datasets so."""
    source = "import aiohttp\nfrom numpy.random import x\nfrom .lib import y\ntry:\n    import pandas\nexcept ImportError:\n    pass\n"

    assert sorted(imports(ast.parse(source))) == ["aiohttp", "numpy"]


def test_the_generator_gets_the_server_its_tokenizer_and_the_load(tmp_path):
    """The model by the name that it is served under; what the server's tokenizer depends on, too."""
    words = arguments_of(composed(ON, "vllm.args.served_model_name=mine", "vllm.args.trust_remote_code=true", "serve_bench.request_rate=2.5"), 8000, tmp_path)  # fmt: skip
    values = dict(itertools.pairwise(words))

    assert {name: values[f"--{name}"] for name in ("base-url", "model", "tokenizer", "num-prompts", "request-rate", "seed")} == {
        "base-url": "http://127.0.0.1:8000", "model": "mine", "tokenizer": "models/tiny_llama", "num-prompts": "32", "request-rate": "2.5", "seed": "0",
    }  # fmt: skip
    assert {"--trust-remote-code", "--ignore-eos", "--save-result"} <= {*words}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (RESULT, Load(32, 4.0, 128.0, 0.25, 0.0125)),
        (RESULT | {"median_tpot_ms": float("nan")}, Load(32, 4.0, 128.0, 0.25, None)),
        (RESULT | {"completed": 31}, "answered 31 of the 32 requests"),
        ({"completed": 32}, "ended with exit code 1 and without a result: ValueError: no tokenizer"),
        ([], "without a result"),
        (None, "ValueError: no tokenizer"),
    ],
)
def test_a_result_is_read_or_missed_in_a_sentence(tmp_path, result, expected):
    """Numbers of another load than was asked for are none."""
    if result is not None:
        (tmp_path / FILE).write_text(json.dumps(result))
    done = CommandResult(1, "", "INFO starting\nValueError: no tokenizer\n\n")

    if isinstance(expected, Load):
        assert read_load(tmp_path / FILE, composed(ON).serve_bench, done) == expected
        return
    with pytest.raises(StartError, match=expected):
        read_load(tmp_path / FILE, composed(ON).serve_bench, done)
