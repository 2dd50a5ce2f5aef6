"""What vLLM's command line takes is taken, in the form in which people have it."""

import shlex

import pytest

from conftest import Workplace

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f'vllm.args.chat_template="{TEMPLATE}"', ["--chat-template", TEMPLATE]),
        ("vllm.args.lora_modules=[{name:a,path:/l/a,base_model_name:x},{name:b,path:/l/b}]",
         ["--lora-modules", '{"name": "a", "path": "/l/a", "base_model_name": "x"}', '{"name": "b", "path": "/l/b"}']),
        ('vllm.args.speculative_config={"method":"ngram","num_speculative_tokens":5}',
         ["--speculative-config", '{"method": "ngram", "num_speculative_tokens": 5}']),
        ("max_model_len=128k", ["--max-model-len", "128000"]),
        ("max_model_len=-1", ["--max-model-len", "auto"]),
        ("vllm.args.hf_overrides.rope_theta=1000000", ["--hf-overrides", '{"rope_theta": 1000000}']),
        ("vllm.args.enable_prefix_caching=false", ["--no-enable-prefix-caching"]),
        ("vllm.args.no_enable_prefix_caching=true", ["--no-enable-prefix-caching"]),
        ("vllm.args.no-enable-prefix-caching=false", ["--enable-prefix-caching"]),
    ],
)  # fmt: skip
def test_a_plan_shows_the_words_that_vllm_reads(workplace: Workplace, override, words):
    """Quoted as a shell would take them."""
    done = workplace.bench("dry_run=true", override)

    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if " --load-format " in line]
    found = shlex.split(line)
    at = found.index(words[0])
    assert found[at : at + len(words)] == words


def test_a_text_in_braces_that_is_no_json_is_started_with(workplace: Workplace):
    """A chat template, in a sweep too: each start is a run with it in its params."""
    done = workplace.bench(
        "-m", "load_format=auto,safetensors", "page_cache=as_is", f'vllm.args.chat_template="{TEMPLATE}"'
    )

    assert done.code == 0, done.err
    starts = [run for run in workplace.runs() if run.data.tags.get("bench.kind") == "start"]
    assert [run.data.params["vllm.args.chat_template"] for run in starts] == [TEMPLATE] * 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("vllm.args.compilation_config=\"{'level': 3}\"", "takes JSON, an object here"),
        ("vllm.args.compilation_config={'level': 3}", "no quotes around its keys"),
        ("vllm.args=3", "vllm.args"),
        ("load_format.extra=3", "load_format.extra"),
        ("vllm.args={1:2}", "vllm.args"),
    ],
)
def test_what_vllm_would_not_read_is_refused(workplace: Workplace, override, words):
    """In a sentence, by a plan too."""
    done = workplace.bench("dry_run=true", override)

    assert done.code == 2, done.out
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["vllm.args.dtype=float16,half"], "vllm.args.dtype=float16 and vllm.args.dtype=half: the same start would run for both"),
        (["vllm.args={async_scheduling:false},{no_async_scheduling:true}"], "the same start would run for both"),
        (["vllm.args.speculative_config={method:ngram,num_speculative_tokens:5},{num_speculative_tokens:5,method:ngram}"], "the same start would run for both"),
        (["vllm.args.seed=1,01"], "takes it as 1."),
        (["vllm.args.async_scheduling=true", "vllm.args.no_async_scheduling=true,false"], "both set vllm.args.async_scheduling,"),
        (["vllm.args={a-b:true,a_b:false}"], "vllm.args.a-b and vllm.args.a_b are one argument of vLLM"),
        (["vllm.args={a:true,no_a:false}"], "vllm.args.a and vllm.args.no_a are one argument of vLLM"),
    ],
)  # fmt: skip
def test_two_spellings_of_one_argument_are_no_two_points(workplace: Workplace, words, answer):
    """Nor does one of them count in silence."""
    done = workplace.bench("-m", "dry_run=true", *words)

    assert done.code == 2, done.out
    assert answer in done.err
