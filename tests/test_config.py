"""The schema of conf/: what it accepts, and how it says what it does not."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from bench.compose import compose_settings, settings_from
from bench.config import RigLimits, Settings, conf_dir
from bench.errors import SettingError
from bench.masking import masked, masked_value
from bench.overrides.override_checks import normalised
from bench.overrides.points import compose_points, points_of

CONF = Path(conf_dir())

# What a user must say besides the choice itself.
REQUIRED = {
    "load_format=tensorizer": ["load_format.extra.tensorizer_uri=/data/model.tensors"],
    "model=hf": ["model.path=/data/models/llama"],
    "tracking=server": ["tracking.uri=http://mlflow.example:5000"],
}


def choices(group: str) -> list[str]:
    return [f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))]


@cache
def composed(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


def refusal(*overrides: str) -> str:
    with pytest.raises(SettingError) as refused:
        compose_settings(overrides)
    return str(refused.value)


@cache
def defaults() -> DictConfig:
    (config,) = compose_points(())
    return config


def settings_with(name: str, value: Any) -> Settings:
    """As composed, but with one value changed behind Hydra's back: a hundred times as fast."""
    config = defaults().copy()
    OmegaConf.update(config, name, value, force_add=True)
    return settings_from(config)


def refusal_of(name: str, value: Any) -> str:
    with pytest.raises(SettingError) as refused:
        settings_with(name, value)
    return str(refused.value)


@pytest.mark.parametrize("choice", [*choices("load_format"), *choices("model"), *choices("tracking")])
def test_every_choice_in_conf_is_allowed(choice):
    """With what it requires, each file composes into settings."""
    settings = composed(choice, *REQUIRED.get(choice, []))
    group, _, name = choice.partition("=")

    assert group == "tracking" or settings.flat()[group] == {"hf": "llama"}.get(name, name)


@pytest.mark.parametrize("choice", choices("experiment"))
@pytest.mark.parametrize("plus", ["", "+"])
def test_every_experiment_is_allowed(choice, plus):
    """An experiment is chosen with or without Hydra's plus, and brings all points of its sweep."""
    points = compose_settings([plus + choice])

    assert len(points) > 1
    assert points == compose_settings([choice])


@pytest.mark.parametrize(
    ("experiment", "points"),
    [("load_formats_gpu", 6), ("tensor_parallel_cpu", 10), ("gpt_oss_120b", 3), ("storage_read_ahead", 4)],
)
def test_what_an_experiment_sweeps_can_be_listed(experiment, points):
    """The sweep that it brings along names load formats that there are, and as many points as its title says."""
    params = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml").hydra.sweeper.params
    listed = points_of([f"{key}={value}" for key, value in params.items()])
    formats = {override for point in listed for override in point if override.startswith("load_format=")}

    assert len(listed) == points
    assert formats <= set(choices("load_format"))


def test_every_experiment_has_been_counted():
    """An experiment that is added comes with its number of points."""
    assert choices("experiment") == [
        "experiment=gpt_oss_120b",
        "experiment=load_formats_gpu",
        "experiment=storage_read_ahead",
        "experiment=tensor_parallel_cpu",
    ]


def test_the_seeds_experiment_asks_for_what_the_seed_was():
    """Two GPUs, 0.92 of their memory, 4,096 tokens: as the report says that started this project."""
    settings, _, sharded = compose_settings(["experiment=gpt_oss_120b"])

    assert (settings.load_format.name, sharded.load_format.name) == ("auto", "runai_streamer_sharded")
    assert settings.model.path == "models/random_gpt_oss_120b"
    assert settings.model.name == "random_gpt_oss_120b"
    assert (settings.tensor_parallel_size, settings.gpu_memory_utilization, settings.max_model_len) == (2, 0.92, 4096)
    assert settings.vllm.args == {"dtype": "auto"}


@pytest.mark.parametrize(
    ("overrides", "environment", "models", "caches"),
    [
        ((), {}, "/home/me/.cache/bench/models", "/home/me/.cache/bench/caches"),
        ((), {"XDG_CACHE_HOME": "/fast"}, "/fast/bench/models", "/fast/bench/caches"),
        ((), {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/bench/models", "/home/me/.cache/bench/caches"),
        ((), {"XDG_CACHE_HOME": "/fast", "BENCH_CACHE_DIR": "/mine"}, "/mine/models", "/mine/caches"),
        (("cache_dir=/typed",), {"BENCH_CACHE_DIR": "/mine"}, "/typed/models", "/typed/caches"),
        (("cache_dir=.",), {}, "models", "caches"),
        (("cache_dir=/typed", "models_dir=/data"), {}, "/data", "/typed/caches"),
        (("caches_dir=/fast",), {"BENCH_CACHE_DIR": "/mine"}, "/mine/models", "/fast"),
    ],
)
def test_checkpoints_and_caches_are_kept_in_the_users_cache(monkeypatch, overrides, environment, models, caches):
    """Whatever folder bench is used in, unless another place is typed or in the environment."""
    for name in ("XDG_CACHE_HOME", "BENCH_CACHE_DIR"):
        monkeypatch.delenv(name)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    (settings,) = compose_settings(overrides)

    assert (settings.models_dir, settings.caches_dir) == (models, caches)
    assert settings.model.path == f"{models}/tiny_llama"
    assert "cache_dir" not in settings.flat()


def test_nothing_at_all_is_a_start():
    """python -m bench, without a word, measures something that runs anywhere."""
    settings = composed()

    assert (settings.model.name, settings.load_format.name, settings.tensor_parallel_size) == ("tiny_llama", "auto", 1)
    assert settings.gpu_memory_utilization is None


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        (("load_format=auto",), "models/tiny_llama"),
        (("load_format=dummy",), "models/tiny_llama"),
        (("load_format=sharded_state",), r"models/tiny_llama-[0-9a-f]{8}-tp1"),
        (("load_format=runai_streamer_sharded", "tensor_parallel_size=2"), r"models/tiny_llama-[0-9a-f]{8}-tp2"),
        (
            ("load_format=sharded_state", "tensor_parallel_size=4", "models_dir=/data"),
            r"/data/tiny_llama-[0-9a-f]{8}-tp4",
        ),
        (("model=hf", "model.path=organisation/Llama-3.1-8B"), "organisation/Llama-3.1-8B"),
        (("model=hf", "model.path=/data/llama/", "load_format=sharded_state"), r"models/llama-[0-9a-f]{8}-tp1"),
        (("load_format=sharded_state", "model.sharded_path=/data/mine"), "/data/mine"),
    ],
)
def test_each_format_reads_the_checkpoint_of_its_layout(overrides, path):
    """Sharded formats read one that was cut for just as many ranks, from this content; the model's name is the last part of its path."""
    assert re.fullmatch(path, composed(*overrides).checkpoint_path)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("tensor_parallel_size", 0, "greater than or equal to 1"),
        ("tensor_parallel_size", 2000, "less than or equal to 1024"),
        ("tensor_parallel_size", "two", "a whole number"),
        ("tensor_parallel_size", 1.5, "a whole number"),
        ("tensor_parallel_size", None, "a whole number"),
        ("gpu_memory_utilization", 0, "greater than 0"),
        ("gpu_memory_utilization", 1.5, "less than or equal to 1"),
        ("gpu_memory_utilization", "most", "a number"),
        ("max_model_len", -2, "greater than or equal to 1"),
        ("repeats", 0, "greater than or equal to 1"),
        ("repeats", True, "a whole number"),
        ("repeats", "3", "a whole number"),
        ("vllm.ready_timeout_s", 0, "greater than 0"),
        ("vllm.ready_timeout_s", float("inf"), "a finite number"),
        ("vllm.stop_timeout_s", float("nan"), "a finite number"),
        ("vllm.args", 3, "a dictionary"),
        ("completion", "nothing", "must be a group of settings. They are completion.NAME=VALUE."),
        ("completion", "none", "must be a group of settings. For none type completion=null."),
        ("dry_run", "yes", "must be true or false."),
        ("precision", 10, "must be less than 1. 10 % are precision=0.1."),
        ("gpu_memory_utilization", 90, "90 % are gpu_memory_utilization=0.9."),
        ("gpu_memory_utilization", "90%", "90 % are gpu_memory_utilization=0.9."),
        ("load_format", "dummy", "In a file a choice is made by `defaults: [override /load_format: dummy]`."),
        ("completion.max_tokens", 0, "greater than or equal to 1"),
        ("completion.prompt", "", "at least 1"),
        ("load_format.checkpoint", "cut", "'original', 'sharded', 'serialized' or 'config_only'"),
        ("model.random.vocab_size", 100, "greater than or equal to 260"),
        ("model.random.shard_gib", 0, "greater than 0"),
        ("model.name", "a b", "must be letters, digits, _, . and - alone"),
        ("sweep.position", 0, "greater than or equal to 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(name, value, allowed):
    """The setting, what stood there, and what may stand there."""
    message = refusal_of(name, value)

    assert message.startswith(f"{name}={value!r}: ")
    assert allowed in message


@pytest.mark.parametrize("names", ["''", "{}", "[null]", "[a,'']", "true"])
def test_what_is_no_name_is_no_served_name(names):
    """The first request calls the model by it."""
    assert "must be a name, or a list of names" in refusal(f"vllm.args.served_model_name={names}")


def test_a_value_is_refused_as_it_was_typed():
    """Hydra gives 0 and nope the types that they look like, and the message shows them again."""
    assert refusal("tensor_parallel_size=0") == "tensor_parallel_size=0: must be greater than or equal to 1."
    assert refusal("max_model_len=long") == "max_model_len='long': must be a whole number or be 'auto'."


@pytest.mark.parametrize(("name", "value"), [("completion.prompt", ""), ("model.name", "a b")])
def test_a_refusal_reads_as_a_sentence(name, value):
    """pydantic begins some messages with "String should", which makes no sentence behind "must be"."""
    assert "must be String" not in refusal_of(name, value)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}])
def test_a_variable_that_is_no_single_value_is_refused_once(value):
    """The name of the setting is the user's own; pydantic's branches of a union are nothing to them."""
    message = refusal_of("vllm.env.FOO", value)

    assert message.startswith("vllm.env.FOO=")
    assert len(message.splitlines()) == 1


def test_all_that_is_wrong_is_said_at_once():
    """Nobody wants to learn of the second mistake after the first was repaired."""
    message = refusal("tensor_parallel_size=0", "repeats=0", "completion.max_tokens=0")

    assert [line.partition("=")[0] for line in message.splitlines()] == [
        "tensor_parallel_size",
        "repeats",
        "completion.max_tokens",
    ]


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("tensor_paralel_size=2", "tensor_paralel_size"),
        ("+tensor_paralel_size=2", "tensor_paralel_size"),
        ("model.size=2", "model.size"),
        ("+vllm.arguments.dtype=auto", "vllm.arguments"),
    ],
)
def test_a_setting_that_there_is_not_is_refused_by_its_name(override, name):
    """A typing error must not become a start with the default."""
    assert name in refusal(override)


def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are():
    """Whoever mistyped a load format sees what could have been meant."""
    message = refusal("load_format=runai")

    assert message.startswith("load_format=runai: there is no such load_format")
    assert "runai_streamer_sharded" in message


@pytest.mark.parametrize("choice", REQUIRED)
def test_a_setting_that_has_no_value_yet_is_named(choice):
    """By its whole name: the user has to type it."""
    (needed,) = REQUIRED[choice]

    assert needed.partition("=")[0] in refusal(choice)


def test_a_setting_cannot_be_deleted():
    """Hydra's grammar can take a setting away; the schema is complete. What an experiment adds can be taken away."""
    assert refusal("~completion.prompt").startswith("~completion.prompt: a setting of bench always has a value.")
    assert compose_settings(["experiment=tensor_parallel_cpu", "~vllm.args.enforce_eager"])[0].vllm.args == {}
    assert refusal("~vllm.args.x").startswith("~vllm.args.x: it is not set")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("model", "model.path"),
        ("load_format", "load_format"),
        ("load-format", "load_format"),
        ("model_loader_extra_config", "load_format.extra"),
        ("tensor_parallel_size", "tensor_parallel_size"),
        ("tensor-parallel-size", "tensor_parallel_size"),
        ("gpu_memory_utilization", "gpu_memory_utilization"),
        ("gpu-memory-utilization", "gpu_memory_utilization"),
        ("max_model_len", "max_model_len"),
    ],
)
@pytest.mark.parametrize("section", ["vllm.args", "load_format.args"])
def test_an_argument_with_a_setting_of_its_own_is_refused_with_that_setting(section, name, instead):
    """Said in two places, nobody could tell from the params which of the two was measured."""
    assert refusal_of(f"{section}.{name}", 1) == f"{section}.{name}: set {instead} instead."


@pytest.mark.parametrize("name", ["host", "port", "api_key", "api-key", "uds"])
def test_an_argument_that_belongs_to_bench_is_refused(name):
    """How bench reaches its vLLM is for bench to choose, anew for each start. Nothing in this sentence is taken for a secret."""
    message = refusal_of(f"vllm.args.{name}", 1)

    assert masked(message) == f"bench sets vllm.args.{name} itself, for each start."


def test_an_experiment_whose_name_is_a_secret_is_refused():
    """MLflow finds it by this name, so it cannot be hidden; the refusal does not repeat it."""
    message = refusal("tracking.experiment=runs-hf_abcdEFGH12345678")

    assert message.startswith("tracking.experiment: a secret stands in it")
    assert "abcdEFGH" not in message


def test_any_other_argument_and_variable_is_vllms_business():
    """Whatever vLLM takes can be swept, without a word about it in conf/."""
    settings = composed("vllm.args.enforce-eager=true", "vllm.args.compilation_config.level=3", "vllm.env.VLLM_X=DEBUG")

    assert settings.vllm.args == {"enforce-eager": True, "compilation_config": {"level": 3}}
    assert settings.vllm.env == {"VLLM_X": "DEBUG"}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("vllm.args.dtype=auto", "++vllm.args.dtype=auto"),
        ("+vllm.args.dtype=auto", "++vllm.args.dtype=auto"),
        ("++vllm.args.dtype=auto", "++vllm.args.dtype=auto"),
        ("vllm.env.VLLM_X=1", "++vllm.env.VLLM_X=1"),
        ("load_format.args.x=1", "++load_format.args.x=1"),
        ("load_format.env.X=1", "++load_format.env.X=1"),
        ("load_format.extra.concurrency=16", "++load_format.extra.concurrency=16"),
        ("~vllm.args.dtype", "~vllm.args.dtype"),
        ("vllm.python=/env/bin/python", "vllm.python=/env/bin/python"),
        ("vllm.argsx=1", "vllm.argsx=1"),
        ("load_format=auto", "load_format=auto"),
        ("experiment=gpt_oss_120b", "experiment=gpt_oss_120b"),
        ("+experiment=gpt_oss_120b", "experiment=gpt_oss_120b"),
        ("seed=1", "seed=1"),
        ("++seed=1", "seed=1"),
        ("+load_format=auto", "load_format=auto"),
        ("model.random.layers=2", "++model.random.layers=2"),
        ("completion.prompt=vllm.args.x=1", "completion.prompt=vllm.args.x=1"),
        ("--multirun", "--multirun"),
    ],
)
def test_nobody_has_to_know_hydras_pluses(given, becomes):
    """Hydra asks for ++ where a key is not in conf/ yet; whether it is, is nothing a user should have to look up."""
    assert normalised([given]) == [becomes]


@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        ([], [()]),
        (["a=1"], [("a=1",)]),
        (["a=1,2"], [("a=1",), ("a=2",)]),
        (["a=choice(x,y)"], [("a=x",), ("a=y",)]),
        (["a=range(1,4)"], [("a=1",), ("a=2",), ("a=3",)]),
        (["a=range(0.2,0.7,0.2)"], [("a=0.2",), ("a=0.4",), ("a=0.6000000000000001",)]),
        (["a=sort(3,1,2)"], [("a=1",), ("a=2",), ("a=3",)]),
        (["a=[1,2],[3]"], [("a=[1,2]",), ("a=[3]",)]),
        (["a=null,x"], [("a=null",), ("a=x",)]),
        (["++a.b=1,2"], [("++a.b=1",), ("++a.b=2",)]),
        (["a=1,2", "b=x,y"], [("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y")]),
        (["a=1,2", "b=x"], [("a=1", "b=x"), ("a=2", "b=x")]),
    ],
)
def test_every_combination_is_a_point(overrides, points):
    """The last key changes fastest, and a key with one value stands in every point."""
    assert points_of(overrides) == points


@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        (["a=1", "a=2"], [("a=2",)]),
        (["a=1,2,3", "a=5"], [("a=5",)]),
        (["a=5", "a=1,2"], [("a=1",), ("a=2",)]),
        (["a=1,2", "b=x", "a=3"], [("a=3", "b=x")]),
    ],
)
def test_of_a_key_that_comes_twice_the_last_counts(overrides, points):
    """So a command line wins over the sweep that an experiment brings along."""
    assert points_of(overrides) == points


@pytest.mark.parametrize(
    ("override", "points"),
    [
        ("a='x, y'", [("a='x, y'",)]),
        ("a='x, y','z w'", [("a='x, y'",), ("a='z w'",)]),
        ('a="it\'s, so"', [('a="it\'s, so"',)]),
        ("a=x y,z", [("a=x\\ y",), ("a=z",)]),
        ("a='interval(1,2)'", [("a='interval(1,2)'",)]),
    ],
)
def test_a_quoted_value_stays_one_value(override, points):
    """A comma, a blank or a bracket in quotes is text."""
    assert points_of([override]) == points


def test_quoted_values_arrive_as_they_were_meant():
    """Through Hydra's grammar twice: once to list the points, once to compose each."""
    settings = compose_settings(["completion.prompt='a, b','it\\'s','c  d'"])

    assert [each.completion.prompt for each in settings] == ["a, b", "it's", "c  d"]


@hypothesis(max_examples=50, deadline=None, database=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\\'\n\r"), min_size=1), min_size=1, unique=True)
)
def test_whatever_is_quoted_is_listed_as_it_is(values):
    """A sweep over prompts takes any text."""
    quoted = [f"'{value}'" for value in values]
    points = points_of([f"a={','.join(quoted)}"])

    assert points == [(f"a={value}",) for value in quoted]


@pytest.mark.parametrize("override", ["a=interval(0,1)", "seed=tag(x,interval(1,2))"])
def test_an_interval_is_refused_with_what_can_be_listed(override):
    """It has no values, only bounds: other sweepers choose from it, this one starts every point."""
    with pytest.raises(SettingError) as refused:
        points_of([override])

    assert override in str(refused.value)
    assert "range(1,5)" in str(refused.value)


@pytest.mark.parametrize("override", ["a=1,2,1", "a=x,x", "a=choice(1,1)"])
def test_a_value_that_is_listed_twice_is_refused(override):
    """Two points that are one: bench has repeats and aa for that."""
    with pytest.raises(SettingError, match=r"is listed twice\. aa=true starts the baseline a second time"):
        points_of([override])


def test_a_range_without_a_value_is_refused():
    """It would be a sweep of no start."""
    with pytest.raises(SettingError, match="lists no value at all"):
        points_of(["a=range(3,3)"])


@pytest.mark.parametrize(
    "word",
    [
        "repeats=1,2", "seed=1,2", "aa=true,false", "resume=true,false", "dry_run=true,false", "report=true,false", "precision=0.1,0.2", "verify=true,false",
        "min_blocks=5,6", "max_blocks=5,6", "time_budget_s=60,90", "tracking.experiment=a,b", "rig.wait_s=1,2", "caches_dir=a,b", "cache_dir=a,b",
    ],
)  # fmt: skip
def test_a_setting_of_the_whole_sweep_cannot_vary_in_it(word):
    """The first point's would count for all."""
    assert re.search(r"^[\w.]+=\S+,\S+: a sweep has one [\w.]+, for all of its points", refusal(word))


def test_two_random_models_cannot_be_made_in_one_place():
    """The second would be taken for the first. With a path of its own each is made."""
    assert "both models would be made in models/tiny_llama" in refusal("model.random.layers=2,4")
    apart = compose_settings(["model.random.layers=2,4", "model.path=m-${model.random.layers}"])

    assert [each.model.path for each in apart] == ["m-2", "m-4"]


def test_models_of_a_sweep_may_have_settings_that_the_default_model_has_not():
    """Hydra composes conf/'s first model before it comes to them."""
    settings = compose_settings(["model=random_gpt_oss_20b,random_gpt_oss_120b", "model.random.experts=8"])

    assert [each.model.random.experts for each in settings] == [8, 8]


def test_a_glob_lists_the_files_of_a_group():
    """Every load format whose name begins alike."""
    settings = compose_settings(["load_format=glob(runai*)"])

    assert [each.load_format.name for each in settings] == ["runai_streamer", "runai_streamer_sharded"]


def test_a_line_with_several_values_is_several_settings():
    """The commands that start no sweep still parse several values."""
    settings = compose_settings(["load_format=auto,dummy", "tensor_parallel_size=1,2"])

    assert [(each.load_format.name, each.tensor_parallel_size) for each in settings] == [
        ("auto", 1),
        ("auto", 2),
        ("dummy", 1),
        ("dummy", 2),
    ]


def test_the_flat_names_are_those_that_a_user_types():
    """MLflow's params are searched by these names, and typed again as overrides."""
    flat = composed("load_format=runai_streamer", "vllm.args.enforce_eager=true", "vllm.env.VLLM_X=1").flat()

    assert flat["model"] == "tiny_llama"
    assert flat["load_format"] == "runai_streamer"
    assert flat["load_format.extra.concurrency"] == "None"
    assert flat["model.random.hidden_size"] == "512"
    assert flat["tensor_parallel_size"] == "1"
    assert flat["vllm.args.enforce_eager"] == "True"
    assert flat["vllm.env.VLLM_X"] == "1"
    assert flat["completion.prompt"] == "The quick brown fox"


def test_the_flat_settings_say_what_was_measured_not_where_it_goes():
    """Two starts that differ in these only are equal starts."""
    here = composed("repeats=1", "seed=0", "sweep.position=1")
    there = composed(
        "repeats=9", "seed=7", "sweep.position=3", "tracking.uri=http://elsewhere", "tracking.experiment=other"
    )

    assert here.flat() == there.flat()


def test_the_flat_names_are_sorted_and_their_values_text():
    """As MLflow keeps them, and as a person finds them."""
    flat = composed().flat()

    assert list(flat) == sorted(flat)
    assert {type(value) for value in flat.values()} == {str}


@pytest.mark.parametrize(
    "name",
    [
        "vllm.env.HF_TOKEN",
        "vllm.env.AWS_ACCESS_KEY_ID",
        "vllm.env.AWS_SECRET_ACCESS_KEY",
        "vllm.env.AWS_SESSION_TOKEN",
        "vllm.env.PASSWORD",
        "vllm.env.GOOGLE_APPLICATION_CREDENTIALS",
        "vllm.args.hf_token",
        "vllm.args.hf-token",
        "load_format.extra.s3_secret_access_key",
    ],
)
def test_secrets_are_masked(name):
    """Params are read by everybody who reads the tracking server."""
    settings = settings_with(name, "hunter2")

    assert settings.flat()[name] == "***"
    assert "hunter2" not in str(settings.flat())


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("completion.max_tokens", 16, "16"),
        ("vllm.args.max_num_batched_tokens", 4096, "4096"),
        ("vllm.env.TOKENIZERS_PARALLELISM", "false", "false"),
        ("vllm.env.KEYBOARD", "de", "de"),
        ("vllm.env.HF_TOKEN", None, "None"),  # nothing is nothing to hide
        ("vllm.env.HF_TOKEN", "", ""),
        ("vllm.env.HF_TOKEN", "hunter2", "***"),
        ("HF_TOKEN", "hunter2", "***"),
    ],
)
def test_only_secrets_are_masked(name: str, value: Any, shown: str):
    """A number of tokens is not a token; and whether a secret was set at all is no secret."""
    assert masked_value(name, value) == shown


@pytest.mark.parametrize("section", ["", "model", "load_format", "vllm", "completion", "sweep", "tracking"])
def test_settings_do_not_change(section):
    """Every room sees the same: nobody downstream can measure something else than was asked."""
    settings: Any = composed()
    value = getattr(settings, section) if section else settings
    name = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, "changed")


def test_a_command_from_the_readme_means_what_it_says():
    """As a shell hands it over."""
    line = "load_format=auto,runai_streamer_sharded model=random_llama_8b vllm.args.enforce_eager=true,false"
    settings = compose_settings(shlex.split(line))

    assert [(each.load_format.name, each.vllm.args["enforce_eager"]) for each in settings] == [
        ("auto", True),
        ("auto", False),
        ("runai_streamer_sharded", True),
        ("runai_streamer_sharded", False),
    ]


def test_conf_is_found_wherever_bench_is_called_from(tmp_path, monkeypatch):
    """Its place is absolute: a user stands in a folder of their own."""
    monkeypatch.chdir(tmp_path)

    assert Path(conf_dir()).is_absolute()
    assert composed().model.name == "tiny_llama"


def test_the_limits_on_noise_in_conf_are_bench_s_own():
    """The report names what is looser than these: whoever edits conf/ is found as well as a command line."""
    assert compose_settings([])[0].rig == RigLimits()


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        ("128k", 128_000), ("128K", 131_072), ("25.6k", 25_600), ("1m", 1_000_000), ("2048", 2048), ("'2048'", 2048),
        ("-1", "auto"), ("auto", "auto"), ("AUTO", "auto"), ("null", None),
    ],
)  # fmt: skip
def test_a_length_is_taken_as_vllm_takes_it_and_recorded_as_one_value(given, recorded):
    """Equal lengths are equal points, however they were written."""
    assert composed(f"max_model_len={given}").max_model_len == recorded


@pytest.mark.parametrize("given", ["1.5K", "2.5", "k", "1e3", "0", "-2", "true", "1x", "''"])
def test_what_vllm_takes_for_no_length_is_refused(given):
    """Decimals of 1,024 too, which vLLM does not take."""
    assert refusal(f"max_model_len={given}").startswith("max_model_len=")


@pytest.mark.parametrize(
    ("given", "recorded"), [("8k", 8000), ("8K", 8192), ("8192", 8192), ("auto", "auto"), ("x", "x")]
)
def test_arguments_that_vllm_reads_with_a_suffix_are_recorded_as_numbers(given, recorded):
    """Equal values are equal points; what vLLM would refuse is left to its list."""
    assert composed(f"vllm.args.max_num_batched_tokens={given}").arguments["max_num_batched_tokens"] == recorded
    assert composed(f"load_format.args.max-num-batched-tokens={given}").arguments["max_num_batched_tokens"] == recorded


def test_a_value_can_differ_by_load_format():
    """Of any setting, on one line; a format that is not named has null."""
    points = compose_settings(
        [
            "load_format=auto,runai_streamer,dummy",
            "gpu_memory_utilization=${by_load_format:auto:0.9,runai_streamer:0.8}",
        ]
    )

    assert [point.gpu_memory_utilization for point in points] == [0.9, 0.8, None]
    assert "it is written as" in refusal("gpu_memory_utilization=${by_load_format:auto,0.9}")
    assert "there is no load format dumy; nearest: dummy" in refusal(
        "gpu_memory_utilization=${by_load_format:dumy:0.8}"
    )
    assert refusal("gpu_memory_utilization=${by_load_format:auto:x}").startswith("gpu_memory_utilization='x': must be")


@pytest.mark.parametrize("name", ["headless", "grpc"])
def test_a_vllm_that_answers_no_http_is_refused(name):
    """It would never be ready."""
    assert f"vllm.args.{name}=True: such a vLLM answers no HTTP on this host" in refusal(f"vllm.args.{name}=true")
    assert composed(f"vllm.args.{name}=false").arguments == {name: False}


@pytest.mark.parametrize(
    "text", ["repeats: 3", "hydra: {mode: MULTIRUN}", "# three\n# @package _global_\nrepeats: 3", "defaults: [override /load_format: dummy]"]
)  # fmt: skip
def test_an_experiment_whose_settings_would_not_count_is_refused(tmp_path, text):
    """Hydra puts them below `experiment` where the file's first line does not say otherwise."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text)

    with pytest.raises(SettingError, match="its first line is not `# @package _global_`"):
        compose_settings(["experiment=mine"], tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["storage.read_iops=500"], "storage=as_is is the host's own. Add storage=limited"),
        (["storage=limited"], "nothing of it is set"),
        (["storage=gp3", "storage.allow_read_ahead_of=/dev/vda"], "no effect without storage.read_ahead_kb"),
        (["storage=gp3", "vllm.command=docker run x"], "in processes whose reads bench cannot limit"),
        (["storage=limited", "storage.read_ahead_kb=130"], "must be a multiple of 4"),
    ],
)
def test_a_storage_that_could_not_be_or_would_not_count_is_refused(words, why):
    """Before anything is started, with what to set instead."""
    with pytest.raises(SettingError, match=why):
        compose_settings(words)
