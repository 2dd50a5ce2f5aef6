"""The words of vLLM's `--config FILE.yaml` are settings like any others."""

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import SettingError
from bench.vllm.command import as_arguments
from conftest import Workplace

FILE = """
enforce-eager: true
max_num_seqs: 8
compilation-config: {mode: 3}
hf-overrides.rope_theta: 2
lora-modules:
  - a=/a
seed:
middleware: []
no-enable-prefix-caching: true
"""


def settings_with(place, text: str, *overrides: str) -> Settings:
    path = place / "serve.yaml"
    path.write_text(text)
    (settings,) = compose_settings([f"vllm.args.config={path}", *overrides])
    return settings


def test_its_words_count_as_if_they_stood_in_vllm_args(tmp_path):
    """In params and in the command; the file itself is not handed to vLLM, which would read it again."""
    args = settings_with(tmp_path, FILE).vllm.args

    assert args == {
        "enforce_eager": True, "max_num_seqs": 8, "compilation_config": {"mode": 3}, "hf_overrides": {"rope_theta": 2},
        "lora_modules": ["a=/a"], "no_enable_prefix_caching": True,
    }  # fmt: skip
    assert as_arguments(args)[:3] == ["--enforce-eager", "--max-num-seqs", "8"]


def test_it_is_the_same_start_as_the_words_themselves(tmp_path):
    """Equal values are equal points, with one key of caches and one identity."""
    (written,) = compose_settings(["vllm.args.enforce_eager=true", "vllm.args.max_num_seqs=8"])

    assert settings_with(tmp_path, "enforce-eager: true\nmax-num-seqs: 8\n") == written
    assert settings_with(tmp_path, "max-num-batched-tokens: 8k").vllm.args == {"max_num_batched_tokens": 8000}


@pytest.mark.parametrize(
    ("override", "seqs"),
    [("vllm.args.max_num_seqs=4", 4), ("vllm.args.max-num-seqs=4", 4), ("load_format.args.max_num_seqs=4", 4), ("vllm.args.max_num_seqs=null", None), ("vllm.args.seed=1", 8)],
)  # fmt: skip
def test_the_command_line_wins(tmp_path, override, seqs):
    """As in vLLM, whichever way it is written."""
    assert settings_with(tmp_path, "max-num-seqs: 8", override).arguments.get("max_num_seqs") == seqs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("load-format: dummy", "serve.yaml: load-format: set load_format instead"),
        ("model: /data/llama", "serve.yaml: model: set model.path instead"),
        ("tensor_parallel_size: 2", "set tensor_parallel_size instead"),
        ("port: 8000", "serve.yaml: port: bench sets it itself"),
        ("config: other.yaml", "a file cannot name another one"),
        ("- a\n- b", "expected the names of vLLM's arguments"),
        ("3: 4", "expected the names of vLLM's arguments"),
        ("a: [", "this file is no YAML"),
        ("a: 1\na: 2", "this file is no YAML"),
        ("a: '\x00'", "this file is no YAML"),
    ],
)
def test_what_cannot_count_is_refused(tmp_path, text, words):
    """By the setting that has it, before anything is started."""
    with pytest.raises(SettingError) as refused:
        settings_with(tmp_path, text)

    assert str(refused.value).startswith(f"vllm.args.config={tmp_path}/serve.yaml: ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"), [("no.yaml", "cannot be read"), (".", "ends in .yaml"), ("x.json", "ends in .yaml")]
)
def test_a_file_that_is_not_there_is_refused(name, words):
    """Or that vLLM would not take by its name."""
    with pytest.raises(SettingError, match=words):
        compose_settings([f"vllm.args.config={name}"])


def test_a_misspelt_word_in_it_costs_no_start(workplace: Workplace):
    """The file is held against vLLM's list too."""
    (workplace.folder / "serve.yaml").write_text("enforce-eagre: true\n")
    done = workplace.bench("vllm.args.config=serve.yaml")

    assert done.code == 2
    assert (
        "vllm.args.config=serve.yaml: enforce_eagre is no argument of vLLM 0.32.0; the nearest: enforce_eager"
        in done.err
    )


def test_its_words_are_params_of_the_start(workplace: Workplace):
    """So two files are two settings, and one that changes is seen."""
    (workplace.folder / "serve.yaml").write_text("max-num-seqs: 8\n")
    done = workplace.bench("vllm.args.config=serve.yaml", "page_cache=as_is")

    assert done.code == 0, done.err
    (run,) = workplace.runs()
    assert run.data.params["vllm.args.max_num_seqs"] == "8"


def test_the_command_line_wins_under_either_name_of_a_switch(tmp_path):
    """`no-x: true` is `x: false`."""
    settings = settings_with(tmp_path, "no-async-scheduling: true", "vllm.args.async_scheduling=true")

    assert settings.vllm.args == {"async_scheduling": True}
