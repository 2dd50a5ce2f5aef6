"""Greedy tokens with their log-probabilities, for a few fixed prompts: requested by verification starts only."""

import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bench.errors import StartError
from bench.host.container import HOST
from bench.vllm.bounded_http import exchange
from bench.vllm.completion import COMPLETIONS, no_number, refuse_other_model, short
from bench.vllm.server import BROKEN, Server

# Shorter than a block of the KV cache (16 tokens) even where each byte is a token, and salted: so prefix caching never has
# anything to give, and may stay as it is for the compile cache's sake.
PROMPTS = ("The quick", "1 2 3 4 5", "def main():", "Once upon")
MAX_TOKENS = 16
ANSWER_AT_MOST = 1 << 20  # bytes; vLLM's have 3 kB


@dataclass(frozen=True)
class GreedyAnswer:
    """The answer to one prompt, at temperature 0. `logprobs`: of each token; None where vLLM gave none."""

    prompt: str
    tokens: tuple[int | str, ...]  # ids, or texts where this vLLM does not give ids
    logprobs: tuple[float | None, ...]


Round = tuple[GreedyAnswer, ...]


def complete_twice(server: Server, model: str, timeout_s: float) -> tuple[Round, Round]:
    """Sends every prompt, one at a time, and all of them again: the difference of two equal requests is their spread.

    Raises:
        StartError: vLLM refused, closed the connection, or took longer than `timeout_s` for one.
    """
    first, second = (tuple(_request(server, model, prompt, timeout_s) for prompt in PROMPTS) for _ in range(2))
    return first, second


def _request(server: Server, model: str, prompt: str, timeout_s: float) -> GreedyAnswer:
    """Source: vllm/entrypoints/openai/completion/protocol.py; a version ignores fields that it does not have."""
    fields = {
        "model": model, "prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0, "ignore_eos": True,
        "logprobs": 1, "return_token_ids": True, "cache_salt": secrets.token_hex(8),
    }  # fmt: skip
    try:
        with exchange(
            (HOST, server.port),
            server.post(COMPLETIONS, json.dumps(fields).encode()),
            timeout_s=timeout_s,
            bytes_at_most=ANSWER_AT_MOST,
        ) as response:
            body = response.read(ANSWER_AT_MOST)
            if response.status != HTTPStatus.OK:
                raise StartError(f"a verification prompt was refused with {response.status}: {short(body)}")
            answer = json.loads(body, parse_constant=no_number)
            refuse_other_model(answer, model)
            return _answer(prompt, answer["choices"][0])
    except (*BROKEN, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StartError(f"vLLM did not answer a verification prompt: {short(repr(error).encode())}") from error


def _answer(prompt: str, choice: dict[str, Any]) -> GreedyAnswer:
    reported = choice.get("logprobs") or {}
    tokens = choice.get("token_ids") or reported.get("tokens") or [choice["text"]]
    logprobs = reported.get("token_logprobs") or [None] * len(tokens)
    return GreedyAnswer(prompt, tuple(tokens), tuple(logprobs))
