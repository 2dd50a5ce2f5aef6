"""Settings become the words and variables that vLLM is started with."""

import json
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.vllm.command import Command, as_arguments, as_environment, command_for, with_probe
from conftest import cut_name


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


def settings_with(
    *, args: dict[str, Any] | None = None, env: dict[str, Any] | None = None, load_format: dict[str, Any] | None = None
) -> Settings:
    base = composed()
    vllm = base.vllm.model_copy(update={"args": args or {}, "env": env or {}})
    return base.model_copy(update={"vllm": vllm, "load_format": base.load_format.model_copy(update=load_format)})


def command_of(
    settings: Settings,
    *,
    needs: dict[str, Any] | None = None,
    variables: dict[str, str] | None = None,
    entrypoint: str = "serve",
) -> Command:
    host = Host(Device("cpu"), "/env/bin/python", {"vllm": "0.32.0"}, Needs(needs or {}, variables or {}), entrypoint)
    return command_for(settings, host, 8123)


def value_of(command: Command, flag: str) -> str:
    assert command.arguments.count(flag) == 1
    return command.arguments[command.arguments.index(flag) + 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"enforce_eager": True}, ["--enforce-eager"]),
        ({"enforce_eager": False}, ["--no-enforce-eager"]),
        ({"max_model_len": None}, []),
        ({"max_model_len": 2048}, ["--max-model-len", "2048"]),
        ({"gpu_memory_utilization": 0.92}, ["--gpu-memory-utilization", "0.92"]),
        ({"dtype": "bfloat16"}, ["--dtype", "bfloat16"]),
        ({"swap_space": 0}, ["--swap-space", "0"]),  # a number, not False
        ({"data_parallel_size": 1}, ["--data-parallel-size", "1"]),  # a number, not True
        ({"lora_modules": ["a=b", "c d"]}, ["--lora-modules", "a=b", "c d"]),
        ({"lora_modules": [{"name": "a"}, {"name": "b"}]}, ["--lora-modules", '{"name": "a"}', '{"name": "b"}']),
        ({"allowed_origins": ["*", "a"]}, ["--allowed-origins", '["*", "a"]']),
        ({"middleware": ["a.b", "c.d"]}, ["--middleware", "a.b", "--middleware", "c.d"]),
        ({"hf_overrides.rope_theta": 1}, ["--hf-overrides.rope_theta", "1"]),
        ({"stop": [[1, 2], None]}, ["--stop", "[1, 2]", "None"]),
        ({"compilation_config": {}}, []),
        ({"a": 1, "b": True, "c": None}, ["--a", "1", "--b"]),
        ({}, []),
    ],
)
def test_an_argument_becomes_the_words_that_argparse_reads(arguments, words):
    """True is the flag, False its --no- form, None nothing at all; several values are several words."""
    assert as_arguments(arguments) == words


def test_a_dict_becomes_json():
    """vLLM reads nested arguments as JSON, whose words for nothing and for yes differ from Python's."""
    flag, text = as_arguments({"speculative_config": {"method": "ngram", "tokens": 4, "eager": True, "model": None}})

    assert flag == "--speculative-config"
    assert json.loads(text) == {"method": "ngram", "tokens": 4, "eager": True, "model": None}


@pytest.mark.parametrize(
    ("values", "environment"),
    [
        ({"VLLM_USE_V1": True}, {"VLLM_USE_V1": "1"}),
        ({"VLLM_USE_V1": False}, {"VLLM_USE_V1": "0"}),
        ({"VLLM_USE_V1": None}, {}),
        ({"OMP_NUM_THREADS": 4}, {"OMP_NUM_THREADS": "4"}),
        ({"RUNAI_STREAMER_MEMORY_LIMIT": -1}, {"RUNAI_STREAMER_MEMORY_LIMIT": "-1"}),
        ({"SHARE": 0.5}, {"SHARE": "0.5"}),
        ({"EMPTY": ""}, {"EMPTY": ""}),
    ],
)
def test_a_variable_becomes_text_as_vllm_reads_it(values, environment):
    """vLLM reads booleans as 1 and 0; None leaves a variable unset, which is not the same as empty."""
    assert as_environment(values) == environment


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("serve", ["vllm.entrypoints.cli.main", "serve", "models/tiny_llama"]),
        ("module", ["vllm.entrypoints.openai.api_server", "--model", "models/tiny_llama"]),
    ],
)
def test_the_server_is_started_with_what_was_asked(entrypoint, words):
    """Everything that has a setting of its own is said, and bound to this host alone. `vllm serve` takes the model by its place."""
    command = command_of(composed(), entrypoint=entrypoint)

    assert command.arguments == (
        "/env/bin/python",
        "-m",
        *words,
        "--host",
        "127.0.0.1",
        "--port",
        "8123",
        "--load-format",
        "auto",
        "--tensor-parallel-size",
        "1",
        "--max-model-len",
        "2048",
    )


def test_a_sharded_format_is_given_the_checkpoint_cut_for_it():
    """It reads one file a rank, which the original checkpoint does not have."""
    command = command_of(composed("load_format=runai_streamer_sharded", "tensor_parallel_size=2"))

    assert value_of(command, "serve") == f"models/{cut_name('tensor_parallel_size=2')}"
    assert value_of(command, "--load-format") == "runai_streamer_sharded"


def test_a_setting_that_is_null_is_left_to_vllm():
    """max_model_len=null means what the model allows, which only vLLM knows."""
    command = command_of(composed().model_copy(update={"max_model_len": None}))

    assert "--max-model-len" not in command.arguments


def test_what_this_host_needs_is_said_too():
    """On a CPU another share of memory, and no compiler, say."""
    command = command_of(composed(), needs={"gpu_memory_utilization": 0.2, "enforce_eager": True})

    assert value_of(command, "--gpu-memory-utilization") == "0.2"
    assert "--enforce-eager" in command.arguments


@pytest.mark.parametrize("name", ["enforce_eager", "enforce-eager"])
def test_vllm_args_win_over_what_the_host_needs(name):
    """Whoever names an argument means it; it is then said once."""
    command = command_of(settings_with(args={name: False}), needs={"enforce_eager": True})

    assert "--no-enforce-eager" in command.arguments
    assert "--enforce-eager" not in command.arguments


@pytest.mark.parametrize(
    ("of_format", "of_user"),
    [
        ("safetensors_load_strategy", "safetensors-load-strategy"),
        ("safetensors-load-strategy", "safetensors_load_strategy"),
    ],
)
def test_dashes_and_underscores_are_the_same_argument(of_format, of_user):
    """vLLM's help writes the one, Python the other; the user's value wins over the load format's."""
    command = command_of(settings_with(args={of_user: "eager"}, load_format={"args": {of_format: "lazy"}}))

    assert value_of(command, "--safetensors-load-strategy") == "eager"


def test_an_argument_that_is_null_takes_back_what_the_host_needs():
    """vllm.args.x=null is how a user says: vLLM's own default."""
    command = command_of(settings_with(args={"enforce_eager": None}), needs={"enforce_eager": True})

    assert not [word for word in command.arguments if word.endswith("enforce-eager")]


def test_the_extra_config_is_json_without_what_is_null():
    """conf/ lists what a loader takes as null; vLLM refuses keys that it does not know, and null is not its default."""
    extra = {
        "concurrency": 16,
        "memory_limit": None,
        "distributed": False,
        "pattern": "model-*.safetensors",
        "chunk": 0,
    }
    command = command_of(settings_with(load_format={"name": "runai_streamer", "extra": extra}))

    assert json.loads(value_of(command, "--model-loader-extra-config")) == {
        "concurrency": 16,
        "distributed": False,
        "pattern": "model-*.safetensors",
        "chunk": 0,
    }


def test_an_extra_config_of_nulls_is_not_said():
    """Some loaders refuse even an empty one."""
    command = command_of(settings_with(load_format={"extra": {"concurrency": None, "memory_limit": None}}))

    assert "--model-loader-extra-config" not in command.arguments


def test_the_users_variables_win_over_the_formats_and_those_over_the_hosts():
    """The more somebody meant it for this start, the more it counts."""
    settings = settings_with(env={"A": "user"}, load_format={"env": {"A": "format", "B": "format"}})
    command = command_of(settings, variables={"A": "host", "B": "host", "C": "host"})

    assert {name: command.environment[name] for name in "ABC"} == {"A": "user", "B": "format", "C": "host"}


def test_a_variable_of_the_format_that_is_null_leaves_the_hosts():
    """null in conf/ lists a variable; it does not unset it."""
    settings = settings_with(load_format={"env": {"VLLM_CPU_KVCACHE_SPACE": None}})
    command = command_of(settings, variables={"VLLM_CPU_KVCACHE_SPACE": "1"})

    assert command.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_vllm_reports_nothing_home_unless_told():
    """A measurement sends no usage statistics, and waits for no network; the user may want to measure just that."""
    assert command_of(composed()).environment == {"VLLM_NO_USAGE_STATS": "1"}
    assert command_of(settings_with(env={"VLLM_NO_USAGE_STATS": False})).environment == {"VLLM_NO_USAGE_STATS": "0"}


def test_a_shown_command_is_what_a_shell_takes():
    """Copied into a shell, it says the same words with the same variables."""
    words = ("/my env/python", "-m", "x", "--lora-modules", "it's", "a b", '{"a": "$HOME"}', "--model=a b")
    command = Command(words, {"OMP_BIND": "0|1", "PLAIN": "1", "QUOTED": "a 'b'"}, 8123)

    assert shlex.split(command.shown()) == ["OMP_BIND=0|1", "PLAIN=1", "QUOTED=a 'b'", *words]
    assert command.shown().startswith("OMP_BIND='0|1' PLAIN=1 ")


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "S3_PASSWORD", "VLLM_API_KEY"]
)
def test_a_secret_variable_is_masked_where_it_is_shown(name):
    """The command becomes a param in MLflow, which everybody reads; vLLM itself gets the secret."""
    command = command_of(settings_with(env={name: "hunter2"}))

    assert "hunter2" not in command.shown()
    assert f"{name}='***'" in command.shown()
    assert command.environment[name] == "hunter2"


def test_a_secret_argument_is_masked_where_it_is_shown():
    """--hf-token is an argument of vLLM's, and as secret as the variable."""
    command = command_of(settings_with(args={"hf_token": "hunter2"}))

    assert "hunter2" not in command.shown()
    assert value_of(command, "--hf-token") == "hunter2"


def test_a_secret_of_the_loader_is_masked_where_it_is_shown():
    """tensorizer takes the keys of its bucket in --model-loader-extra-config."""
    extra = {"tensorizer_uri": "s3://b/m", "s3_secret_access_key": "hunter2"}
    command = command_of(settings_with(load_format={"name": "tensorizer", "extra": extra}))

    assert "hunter2" not in command.shown()
    assert "s3://b/m" in command.shown()


def test_what_only_sounds_long_is_not_masked():
    """A number of tokens is not a token."""
    command = command_of(settings_with(args={"max_num_batched_tokens": 4096}, env={"MAX_TOKENS": 16}))

    assert "--max-num-batched-tokens 4096" in command.shown()
    assert "MAX_TOKENS=16" in command.shown()


def environment_with_probe(folder, **variables: str) -> dict[str, str]:
    return with_probe(Command((), variables, 8000), folder).environment


def test_the_plugin_comes_in_front_of_what_pythonpath_says_already(tmp_path):
    """The user's own modules stay where they were."""
    probe, *others = environment_with_probe(tmp_path, PYTHONPATH="/mine:/yours")["PYTHONPATH"].split(":")

    assert (Path(probe) / "bench_probe" / "__init__.py").is_file()
    assert others == ["/mine", "/yours"]


def test_a_list_of_allowed_plugins_allows_ours_too(tmp_path, monkeypatch):
    """vLLM loads every plugin where VLLM_PLUGINS is not set, and only those named where it is."""
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)

    assert environment_with_probe(tmp_path, VLLM_PLUGINS="mine")["VLLM_PLUGINS"] == "mine,bench_probe"
    assert "VLLM_PLUGINS" not in environment_with_probe(tmp_path)


def test_the_probe_is_told_where_to_write(tmp_path, monkeypatch):
    """To a folder that is there before vLLM is, and of which a relative path would mislead its workers. The rest stays."""
    monkeypatch.chdir(tmp_path)
    asked = Command(("python", "-m", "vllm"), {"MINE": "1"}, 8000)
    command = with_probe(asked, Path("probe"))

    assert (command.arguments, command.port) == (asked.arguments, asked.port)
    assert command.environment["BENCH_PROBE_DIR"] == str(tmp_path / "probe")
    assert command.environment["MINE"] == "1"
    assert (tmp_path / "probe").is_dir()
