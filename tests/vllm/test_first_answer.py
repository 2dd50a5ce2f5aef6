"""What a model is asked first, by what it can do, and which answers count; the fake serves the paths that vLLM does."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Completion
from bench.errors import AnswerError, StartError
from bench.host.container import HOST, free_port
from bench.vllm.command import Command
from bench.vllm.first_answer import ENDPOINTS, FirstAnswer, first_answer, pools, refuse_empty
from bench.vllm.server import Server, serve

MODEL = "models/tiny"
ASKED = Completion(prompt="The quick brown fox", max_tokens=4, timeout_s=120.0)
READY_TIMEOUT_S = 120.0

Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def start(fake: str, tmp_path: Path) -> Start:
    """Starts a fake vLLM whose model can do this."""

    def start(tasks: str, *words: str, mode: str = "ok") -> AbstractContextManager[Server]:
        port = free_port()
        arguments = (fake, "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL, "--host", HOST, *words)
        return serve(
            Command((*arguments, "--port", str(port)), {"FAKE_MODE": mode, "FAKE_TASKS": tasks}, port),
            api_key="the key of this start",
            log_path=tmp_path / "vllm.log",
            stop_timeout_s=60.0,
            on_line=lambda *_: None,
        )

    return start


@pytest.fixture
def answered(start: Start) -> Callable[..., FirstAnswer]:
    """Its first answer."""

    def answered(tasks: str, *, generates: bool = True, mode: str = "ok") -> FirstAnswer:
        with start(tasks, mode=mode) as vllm:
            ready_s = vllm.wait_until_ready(READY_TIMEOUT_S)
            while tasks and not vllm.tasks:  # the fake is ready in the moment in which it prints them
                time.sleep(0.01)
            found = first_answer(vllm, MODEL, ASKED, generates=generates)
            vllm.check(MODEL)
        assert found.other is None or found.other.ended_s >= ready_s
        return found

    return answered


@pytest.mark.parametrize(
    ("tasks", "endpoint"),
    [
        ("embed", "/v1/embeddings"),
        ("token_embed,embed", "/v1/embeddings"),
        ("classify", "/classify"),
        ("score", "/score"),
        ("token_embed", "/pooling"),
        ("transcription", "/v1/audio/transcriptions"),
        ("", "/v1/embeddings"),  # a release without the line, which refuses to complete
    ],
)
def test_a_model_without_completions_is_asked_for_what_it_serves(answered, tasks, endpoint):
    """And it has no first token, rather than one after 0 s."""
    found = answered(tasks)

    assert found.completion is None
    assert found.other.endpoint == endpoint
    assert found.warnings == []


@pytest.mark.parametrize("tasks", ["generate", "generate,transcription"])
def test_a_model_that_completes_texts_is_asked_for_one(answered, tasks):
    """Whatever else it can do: the first token is what most starts are compared by."""
    found = answered(tasks)

    assert found.completion.token_ids == [100, 101, 102, 103]
    assert found.other is None


@pytest.mark.parametrize(
    ("tasks", "mode", "why"),
    [
        ("realtime", "ok", "asks none of the endpoints"),
        ("embed", "refuse_completion", "/v1/embeddings refused with 400: .*no image.*; /pooling refused with 404"),
    ],
)
def test_a_model_that_answers_nothing_has_been_started_all_the_same(answered, tasks, mode, why):
    """It may want an image or a socket; what it was asked and how it refused is a warning."""
    found = answered(tasks, mode=mode)

    assert (found.completion, found.other) == (None, None)
    assert len(found.warnings) == 1
    assert re.search(why, found.warnings[0])


def test_a_model_that_the_settings_start_for_vectors_is_not_asked_to_complete(answered):
    """Also where its log was not read."""
    assert answered("generate,embed", generates=False).other.endpoint == "/v1/embeddings"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", False), ("vllm.args.runner=pooling", True), ("vllm.args.runner=generate", False), ("vllm.args.convert=embed", True),
        ("vllm.args.convert=none", False), ("vllm.args.task=score", True), ("+vllm.args.task=generate", False),
    ],
)  # fmt: skip
def test_settings_show_whether_a_model_completes_texts(words, expected):
    """In the words of several releases."""
    (settings,) = compose_settings([words] if words else [])

    assert pools(settings) is expected


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"{}", b'{"data": []}', b'{"data": null}', b"[" * 100_000])
def test_an_answer_without_a_result_is_none(body):
    """A proxy that says 200 to everything has computed nothing."""
    with pytest.raises(AnswerError, match=r"^the answer of /v1/embeddings "):
        refuse_empty(body, ENDPOINTS[0], MODEL)


def test_the_answer_of_another_model_is_refused():
    """As with a completion."""
    with pytest.raises(AnswerError, match="of the model 'other'"):
        refuse_empty(b'{"model": "other", "data": [1]}', ENDPOINTS[0], MODEL)


def test_audio_is_a_form_that_holds_a_second_of_silence():
    """16,000 samples of two bytes behind a header of 44."""
    body = ENDPOINTS[3].body(MODEL, ASKED.prompt)

    assert body.count(b"--bench-audio") == 3
    assert b"RIFF" in body
    assert 32_044 < len(body) < 33_000


def test_a_name_behind_which_another_model_stands_is_refused(start):
    """By the list of models that vLLM serves."""
    with start("generate", "--served-model-name", "mine") as vllm:
        vllm.wait_until_ready(READY_TIMEOUT_S)
        assert first_answer(vllm, "mine", ASKED).completion
        vllm.check("mine", [MODEL])
        with pytest.raises(StartError, match=rf"^/v1/models has '{MODEL}' behind 'mine', expected 'models/big'$"):
            vllm.check("mine", ["models/big"])
        with pytest.raises(StartError, match=r"^/v1/models lists 'mine', expected 'yours'$"):
            vllm.check("yours", [MODEL])
