"""The streamed greedy completion: its request, and a strict parser of its answer.

Source: vllm/entrypoints/openai/completion/protocol.py. A version without `return_token_ids` ignores it.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NoReturn

from bench.config import Completion
from bench.errors import AnswerError, RefusedError, StartError
from bench.masking import masked
from bench.system.output import visible

COMPLETIONS, MODELS = "/v1/completions", "/v1/models"
# What a release says of a path that this model does not have; of one that does not exist at all FastAPI says it.
NOT_SERVED = re.compile(r"does not support Completions|\"detail\": ?\"Not Found\"")
DATA, DONE = b"data:", b"[DONE]"
LINE_AT_MOST = 1 << 20  # bytes; vLLM's have 300
BYTES_AT_MOST, BYTES_PER_TOKEN = 1 << 20, 1 << 13  # of an answer
SHOWN = 300  # characters of vLLM's answer in a message
TOKEN_ID_BELOW = 1 << 32


@dataclass(frozen=True)
class Answer:
    """The streamed greedy completion. Times are seconds since exec; `token_ids` is None where vLLM does not return them."""

    first_token_s: float
    ended_s: float
    text: str
    token_ids: list[int] | None


def request_body(model: str, asked: Completion) -> bytes:
    """The body of the request, as JSON."""
    return json.dumps({
        "model": model, "prompt": asked.prompt, "max_tokens": asked.max_tokens, "temperature": 0,
        "ignore_eos": True, "stream": True, "return_token_ids": True,
    }).encode()  # fmt: skip


def bytes_at_most(asked: Completion) -> int:
    """The most bytes that a whole answer may have."""
    return BYTES_AT_MOST + BYTES_PER_TOKEN * asked.max_tokens


def read_answer(lines: Iterable[bytes], model: str, asked: int, elapsed_s: Callable[[], float]) -> Answer:
    """Server-sent events -> the answer, stamped as they come. `asked` is the number of tokens.

    Raises:
        AnswerError: it does not match the request: malformed, of another model, without a token, with fewer or more than asked.
        StartError: vLLM broke it off, or reported an error in it.
    """
    stream = _Stream(model)
    for line in lines:
        data = line.strip().removeprefix(DATA).strip()
        if not line.startswith(DATA):
            stream.other += line[:SHOWN] if len(stream.other) < SHOWN else b""
        elif data.startswith(DONE):
            return stream.answer(asked, elapsed_s())
        else:
            stream.take(data, elapsed_s)
    raise stream.broken_off()


@dataclass
class _Stream:
    """The part of the answer that has arrived. `model` is the one that was asked."""

    model: str
    first_token_s: float | None = None
    texts: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    other: bytes = b""  # what is no event

    def take(self, data: bytes, elapsed_s: Callable[[], float]) -> None:
        chunk = _parsed(data)
        if chunk.get("error"):
            raise StartError(f"the completion failed: {short(data)}")
        refuse_other_model(chunk, self.model)
        choices = _checked(chunk, "choices", list, data)
        for choice in choices:
            if not isinstance(choice, dict):
                _malformed("choices holds no objects", data)
            text = _checked(choice, "text", str, data)
            token_ids = _token_ids(choice, data)
            if self.first_token_s is None and (token_ids or text):
                self.first_token_s = elapsed_s()
            self.texts.append(text)
            self.token_ids += token_ids
            reason = choice.get("finish_reason")
            if reason is not None and not isinstance(reason, str):
                _malformed("finish_reason is no text", data)
            self.finish_reason = reason or self.finish_reason

    def answer(self, asked: int, ended_s: float) -> Answer:
        if self.first_token_s is None:
            raise AnswerError("the completion ended without a token")
        came = (
            f"{len(self.token_ids)} tokens" if self.token_ids else f"{len(self.texts)} pieces of text and no token_ids"
        )
        because = f" (finish_reason={self.finish_reason})" if self.finish_reason else ""
        fewer = len(self.token_ids) != asked if self.token_ids else self.finish_reason != "length"
        if fewer or self.finish_reason not in {None, "length"}:
            raise AnswerError(
                f"the completion has {came}{because}, completion.max_tokens={asked} were asked for with ignore_eos"
            )
        text = "".join(self.texts).encode(errors="replace").decode()  # JSON can hold half a character, UTF-8 cannot
        return Answer(self.first_token_s, ended_s, text, self.token_ids or None)

    def broken_off(self) -> StartError:
        """http.client takes a connection that broke between two chunks for the end."""
        if not self.texts and self.other.strip():
            return AnswerError(f"vLLM's answer is no stream of events: {short(self.other)}")
        return StartError(f"vLLM broke off the completion after {len(self.token_ids) or len(self.texts)} tokens")


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(data, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        why = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise AnswerError(f"vLLM's answer is no JSON ({short(why.encode())}): {short(data)}") from error
    if not isinstance(chunk, dict):
        _malformed("a chunk is no object", data)
    return chunk


def refuse_other_model(answer: dict[str, Any], model: str) -> None:
    """Refuse the answer of another model than the one that was asked. vLLM names it in each.

    Raises:
        AnswerError: with both names.
    """
    named = answer.get("model", model)
    if named != model:
        found = short(str(named).encode(errors="replace"))
        raise AnswerError(f"vLLM's answer is of the model {found!r}, {model!r} was asked")


def other_root(listed: bytes, model: str, roots: Collection[str]) -> str | None:
    """That /v1/models has none of these paths behind this name, in words; None: it has, or does not show what is behind it."""
    try:
        cards = json.loads(listed)["data"]
        found = {str(card["id"]): card.get("root") for card in cards}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"{MODELS} does not show which model is served as {model!r}: {short(listed) or 'no answer'}"
    if model not in found:
        return f"{MODELS} lists {', '.join(map(repr, found)) or 'nothing'}, expected {model!r}"
    root = found[model]
    if root is None or root in roots:
        return None
    return (
        f"{MODELS} has {short(str(root).encode(errors='replace'))!r} behind {model!r}, expected {next(iter(roots))!r}"
    )


def refused(status: int, body: bytes) -> RefusedError:
    """The error of a completion that was answered with another status than 200."""
    not_served = status == HTTPStatus.NOT_IMPLEMENTED or NOT_SERVED.search(body.decode(errors="replace")) is not None
    leave_out = "" if not_served else "; completion=null makes a start without it"
    return RefusedError(f"the completion was refused with {status}: {short(body)}{leave_out}", not_served=not_served)


def no_number(name: str) -> NoReturn:
    """For NaN and Infinity, which json takes for numbers."""
    raise ValueError(f"it holds {name}")


def _checked(tree: dict[str, Any], name: str, kind: type, data: bytes) -> Any:
    value = tree.get(name)
    if not isinstance(value, kind):
        _malformed(f"{name} is {type(value).__name__}, expected {kind.__name__}", data)
    return value


def _token_ids(choice: dict[str, Any], data: bytes) -> list[int]:
    found = choice.get("token_ids") or []
    is_whole = isinstance(found, list) and all(type(each) is int and 0 <= each < TOKEN_ID_BELOW for each in found)
    if not is_whole:
        _malformed("token_ids are no whole numbers", data)
    return list(found)


def _malformed(why: str, data: bytes) -> NoReturn:
    raise AnswerError(f"vLLM's answer is malformed: {why}: {short(data)}")


def short(body: bytes) -> str:
    """The beginning of a body, masked, in one line."""
    return visible(masked(" ".join(body[: 4 * SHOWN].decode(errors="replace").split())))[:SHOWN]
