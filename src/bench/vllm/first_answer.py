"""The first answer of a model: its streamed completion where it generates text, else the answer of another endpoint that it serves.

What it can do, its tasks, vLLM logs before it is ready (0.10.1 and later). Earlier releases serve every path, and refuse what the model
cannot do. Source: register_api_routers in vllm/entrypoints/launchers/api_server/routers.py, vllm/tasks.py (0.32.0).
"""

import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from bench.config import Completion, Settings
from bench.errors import AnswerError, RefusedError, StartError, StartTimeout
from bench.host.container import HOST
from bench.vllm.bounded_http import exchange
from bench.vllm.completion import Answer, refuse_other_model, short
from bench.vllm.server import BROKEN, JSON, Server

ANSWER_AT_MOST = 64 << 20  # bytes; a vector of 16,384 numbers for each of 100 tokens has 35 MB
BOUNDARY = "bench-audio"
AUDIO_HZ, AUDIO_S = 16_000, 1  # of silence

# Arguments of vLLM, of several releases, whose values make a model answer with vectors and scores: all but these.
GENERATING = {
    "runner": {"None", "auto", "generate", "draft"},
    "task": {"None", "auto", "generate", "draft"},
    "convert": {"None", "auto", "none"},
}


@dataclass(frozen=True)
class Endpoint:
    """A path that answers at once, the tasks that it is for, and the field of its answer that holds the result."""

    path: str
    tasks: frozenset[str]
    body: Callable[[str, str], bytes]  # of model and prompt
    holds: str
    content_type: str = JSON


@dataclass(frozen=True)
class OtherAnswer:
    """A whole answer of another endpoint than /v1/completions, `ended_s` seconds after exec."""

    endpoint: str
    ended_s: float


@dataclass(frozen=True)
class FirstAnswer:
    """One of the two; neither where every endpoint of the model refused, with the reasons in `refusals`."""

    completion: Answer | None = None
    other: OtherAnswer | None = None
    refusals: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """That nothing was answered."""
        if self.completion or self.other:
            return []
        why = "; ".join(self.refusals) or "bench asks none of the endpoints that it serves"
        return [f"the model was asked for nothing that it answers, so the start has no first answer: {why}"]


def _of_text(name: str) -> Callable[[str, str], bytes]:
    return lambda model, prompt: json.dumps({"model": model, name: prompt}).encode()


def _of_two_texts(model: str, prompt: str) -> bytes:
    return json.dumps({"model": model, "text_1": prompt, "text_2": prompt}).encode()


def _of_audio(model: str, _prompt: str) -> bytes:
    """A form with a second of silence."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_HZ)
        file.writeframes(bytes(2 * AUDIO_HZ * AUDIO_S))
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="silence.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return field.encode() + head.encode() + sound.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()


# In this order; a path that an older release lacks, or that a model refuses, is followed by the next.
ENDPOINTS = (
    Endpoint("/v1/embeddings", frozenset({"embed"}), _of_text("input"), "data"),
    Endpoint("/classify", frozenset({"classify"}), _of_text("input"), "data"),
    Endpoint("/score", frozenset({"score", "classify"}), _of_two_texts, "data"),
    Endpoint("/v1/audio/transcriptions", frozenset({"transcription"}), _of_audio, "text", f"multipart/form-data; boundary={BOUNDARY}"),
    Endpoint("/pooling", frozenset({"embed", "classify", "token_embed", "token_classify", "embed&token_classify", "encode", "reward", "plugin"}), _of_text("input"), "data"),
)  # fmt: skip


def pools(settings: Settings) -> bool:
    """Whether the settings start a model that generates no text. False: they leave it to the model."""
    return any(str(settings.arguments.get(name)) not in usual for name, usual in GENERATING.items())


def first_answer(server: Server, model: str, asked: Completion, *, generates: bool = True) -> FirstAnswer:
    """Asks the first endpoint that this model serves. `model` is the name that it is served under; `generates`: False where the
    settings say that it does not.

    Raises:
        StartError: vLLM closed the connection, ended, gave an answer that does not match the request, took longer than
            completion.timeout_s, or refused to complete though it generates text.
    """
    refusals: list[str] = []
    if generates and (not server.tasks or "generate" in server.tasks):
        try:
            return FirstAnswer(completion=server.complete(model, asked))
        except RefusedError as error:
            if not error.not_served:
                raise
            refusals.append(str(error))
    for endpoint in _endpoints_for({*server.tasks} - {"generate"}):
        try:
            return FirstAnswer(other=_answer_of(server, endpoint, model, asked))
        except RefusedError as error:
            refusals.append(str(error))
    return FirstAnswer(refusals=tuple(refusals))


def _endpoints_for(tasks: set[str]) -> list[Endpoint]:
    """All of them where the tasks are not known."""
    return [endpoint for endpoint in ENDPOINTS if not tasks or endpoint.tasks & tasks]


def _answer_of(server: Server, endpoint: Endpoint, model: str, asked: Completion) -> OtherAnswer:
    request = server.post(endpoint.path, endpoint.body(model, asked.prompt), content_type=endpoint.content_type)
    try:
        with exchange(
            (HOST, server.port), request, timeout_s=asked.timeout_s, bytes_at_most=ANSWER_AT_MOST
        ) as response:
            body = response.read(ANSWER_AT_MOST)
            ended_s = server.process.elapsed_s()
    except TimeoutError as error:
        raise StartTimeout(f"no answer of {endpoint.path} within completion.timeout_s={asked.timeout_s:g}") from error
    except BROKEN as error:
        raise StartError(f"vLLM broke off its answer of {endpoint.path}: {short(repr(error).encode())}") from error
    if response.status != HTTPStatus.OK:
        raise RefusedError(f"{endpoint.path} refused with {response.status}: {short(body)}", not_served=True)
    refuse_empty(body, endpoint, model)
    return OtherAnswer(endpoint.path, ended_s)


def refuse_empty(body: bytes, endpoint: Endpoint, model: str) -> None:
    """Refuse an answer that was not computed by this model.

    Raises:
        AnswerError: it is no JSON, of another model, or holds no result.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer of {endpoint.path} is no JSON: {short(body)}") from error
    if not isinstance(answer, dict) or endpoint.holds not in answer or answer[endpoint.holds] in (None, []):
        raise AnswerError(f"the answer of {endpoint.path} has no {endpoint.holds}: {short(body)}")
    refuse_other_model(answer, model)
