"""What vLLM 0.32.0 would refuse is refused before it starts, by its own list, as recorded."""

from typing import Any

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.vllm_arguments import ANSWER, Taken
from bench.vllm.check_arguments import loader_problems, problems
from command_line import run_command
from conftest import FAKE

TAKEN = ANSWER.validate_json(FAKE.with_name("arguments.json").read_bytes())
VLLM = "vLLM 0.32.0"
(BASE,) = compose_settings([])


def refused(args: dict[str, Any], taken: Taken = TAKEN) -> list[str]:
    return list(problems(BASE.model_copy(update={"vllm": BASE.vllm.model_copy(update={"args": args})}), taken, VLLM))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enforce_eager", True), ("enforce-eager", False), ("no_enable_prefix_caching", True), ("seed", 3), ("seed", "3"),
        ("max_num_batched_tokens", "8k"), ("max_num_batched_tokens", 8192), ("quantization", "fp8"), ("quantization", "None"),
        ("chat_template", "{% for m in messages %}{{ m }}{% endfor %}"), ("chat_template", "{}"),
        ("compilation_config", {"mode": 3}), ("compilation_config", '{"mode": 3}'), ("compilation_config.mode", 3),
        ("kv_transfer_config", '{"kv_buffer_device": "cuda", "kv_port": 1k}'), ("hf_overrides", {"any": {"thing": 1}}),
        ("speculative_config", {"method": "ngram"}), ("lora_modules", [{"name": "a", "path": "/a"}]), ("lora_modules", ["a=/b"]),
        ("allowed_origins", ["*"]), ("allowed_origins", '["*"]'), ("middleware", ["a.b", "c.d"]), ("middleware", "a.b"),
        ("tokenizer_mode", "slow"), ("dtype", "auto"), ("rope_theta", None), ("disable_log_stats", True),
        ("cudagraph_capture_sizes", [1, 2, 4]), ("generation_config", "vllm"), ("revision", 123),
    ],
)  # fmt: skip
def test_what_vllm_takes_is_taken(name, value):
    """In each form in which it takes it."""
    assert refused({name: value}) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enforce_eagre", True, "vllm.args.enforce_eagre is no argument of vLLM 0.32.0; the nearest: enforce_eager"),
        ("max_num_seq", 3, "the nearest: max_num_seqs"),  # argparse would take what it begins
        ("qqqq", 3, "vllm.args.qqqq is no argument of vLLM 0.32.0."),
        ("tp", 2, "vllm.args.tp: write it as tensor_parallel_size."),
        ("pp", 2, "vllm.args.pp: write it as vllm.args.pipeline_parallel_size=2."),
        ("cc", {"mode": 3}, "vllm.args.cc: write it as vllm.args.compilation_config.mode=3."),
        ("O", 3, "vllm.args.O: write it as vllm.args.optimization_level=3."),
        ("O3", True, "vllm.args.O3: write it as vllm.args.optimization_level=3."),
        ("O", {"mode": 3}, "vllm.args.O: write it as vllm.args.compilation_config.mode=3."),
        ("allowed_origins", "*", "takes JSON, a list, as ["),
        ("device_memory_utilization", 0.5, "another name of gpu_memory_utilization; set gpu_memory_utilization instead"),
        ("enforce_eager", 3, "vllm.args.enforce_eager=3: vLLM 0.32.0 takes true or false here."),
        ("disable_log_stats", False, "takes true here, or nothing: null"),
        ("seed", True, "takes a whole number here"),
        ("seed", 1.5, "takes a whole number here"),
        ("max_num_seqs", "many", "takes a whole number here"),
        ("max_num_batched_tokens", "8 thousand", "takes a whole number, or one like 8k here"),
        ("seed", "01", "vllm.args.seed=01: vLLM 0.32.0 takes it as 1."),
        ("seed", "+7", "takes it as 7."),
        ("max_num_batched_tokens", "-008", "takes it as -8."),
        ("seed", [1, 2], "takes a whole number here, not a list"),
        ("seed", {"a": 1}, "takes a whole number here"),
        ("dtype", "bfloat15", "takes one of "),
        ("compilation_config", "{'mode': 3}", "takes JSON, an object here"),
        ("compilation_config", "high", "takes JSON, an object here"),
        ("compilation_config", {"modee": 3}, "takes no modee in it; the nearest: mode"),
        ("speculative_config", "ngram", "takes JSON, an object here"),
        ("lora_modules", [], "takes at least one value here"),
        ("hf_token", [1], "here, not a list"),
    ],
)  # fmt: skip
def test_what_vllm_would_refuse_is_refused_in_a_sentence(name, value, words):
    """The setting, what was given, and what is taken."""
    (sentence,) = refused({name: value})

    assert words in sentence
    assert "\n" not in sentence


ODD = [
    True,
    False,
    None,
    0,
    -1,
    1.5,
    10**400,
    float("inf"),
    "",
    "x" * 10_000,
    "{",
    "[" * 5_000,
    "\ud800",
    [],
    [[]],
    [None],
    {},
    {"": {}},
    {"a": [{}]},
]


@pytest.mark.parametrize(
    "value", ODD, ids=lambda value: f"{type(value).__name__} {str(value)[:9]!r}" if value != 10**400 else "huge"
)
def test_every_argument_has_an_answer_to_every_value(value):
    """Taken, or refused in a sentence; nothing is raised."""
    for name in [*TAKEN.names(), "tp", "", ".", "a.b", "seed.x"]:
        for sentence in refused({name: value}):
            assert "\n" not in sentence
            assert sentence.endswith(".")


def test_a_secret_is_not_shown():
    """What is refused may be one."""
    assert "hunter2" not in "".join(refused({"hf_token": ["hunter2"]}))


def test_settings_of_bench_are_held_against_the_list_too():
    """An older release takes no auto for a length, and has no such load format."""
    arguments = tuple(each for each in TAKEN.arguments if each.name != "max_model_len")
    older = Taken((*arguments, *(each for each in [length()])), {"auto": ()})
    settings = BASE.model_copy(update={"max_model_len": "auto"})

    assert list(problems(settings, older, "vLLM 0.9.1")) == [
        "max_model_len=auto: vLLM 0.9.1 takes a whole number here."
    ]


def length():
    whole = next(each for each in TAKEN.arguments if each.name == "max_num_seqs")
    return whole.__class__(("--max-model-len",), "max_model_len", "value", takes=whole.takes)


def formats(*overrides: str) -> Settings:
    (settings,) = compose_settings(overrides)
    return settings


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["load_format.extra.concurrency=4"], "load_format.extra.concurrency: the loader of auto in vLLM 0.32.0 has no such setting; it takes enable_multithread_load"),
        (["load_format=dummy", "load_format.extra.num_threads=4"], "has no such setting; it takes none"),
        (["load_format=runai_streamer_sharded", "load_format.extra.concurrency=4"], "it takes pattern"),
        (["load_format=runai_streamer", "load_format.extra.num_threads=4"], "it takes concurrency, memory_limit, distributed"),
    ],
)  # fmt: skip
def test_a_setting_of_another_loader_is_refused(overrides, words):
    """With the list and without, where what is known of all releases decides."""
    for taken in (TAKEN, None):
        (sentence,) = loader_problems(formats(*overrides), taken, VLLM)
        assert words in sentence


def test_a_setting_that_this_release_does_not_have_yet_is_refused():
    """vLLM 0.9 took nothing for auto; its loader's code decides, not the name alone."""
    older = Taken((), {"auto": ("load_config",)})

    (sentence,) = loader_problems(formats("load_format.extra.num_threads=4"), older, "vLLM 0.9.1")
    assert sentence.endswith("in vLLM 0.9.1 has no such setting; it takes none.")


def test_a_setting_of_a_later_release_is_taken():
    """Its loader's code has the name, which bench does not know."""
    later = Taken((), {"auto": ("num_threads", "read_ahead")})

    assert not [*loader_problems(formats("load_format.extra.read_ahead=4"), later, "vLLM 0.40.0")]


def test_an_unknown_load_format_is_refused():
    """With those that come near."""
    (sentence,) = loader_problems(formats("load_format.name=runai_steamer"), TAKEN, VLLM)

    assert (
        sentence
        == "load_format.name=runai_steamer: vLLM 0.32.0 has no such load format; the nearest: runai_streamer, runai_streamer_sharded."
    )


def test_a_misspelt_argument_costs_no_start(workplace):
    """Refused by a plan, by a start and by a sweep, and nothing is left behind."""
    before = sorted(workplace.folder.rglob("*"))
    for words in (["dry_run=true"], [], ["-m", "load_format=auto,safetensors"]):
        done = workplace.bench(*words, "vllm.args.enforce_eagre=true")

        assert done.code == 2
        assert "vllm.args.enforce_eagre is no argument of vLLM 0.32.0; the nearest: enforce_eager" in done.err
        assert sorted(workplace.folder.rglob("*")) == before


def test_a_preparation_is_held_against_the_list_too(workplace):
    """What decides how a checkpoint is cut is an argument of vLLM."""
    done = run_command(
        workplace, "prepare", f"vllm.python={FAKE}", "load_format=sharded_state", "vllm.args.quantisation=fp8"
    )

    assert done.code == 2
    assert "vllm.args.quantisation is no argument of vLLM 0.32.0; the nearest: quantization" in done.err
    assert not workplace.models.exists()
