"""The first requests after ready, one after the other: whether the server answers as fast as it will, or still compiles, captures and allocates.

A request is as fast as usual if it takes at most `within` more than the median of its kind, short or long, in the last half. Service is steady
behind the last one of the first half that is not, and never where more than one in ten of the last half is not.
"""

import json
import random
import string
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.config import Completion, Settings
from bench.errors import StartTimeout
from bench.vllm.server import Server

FILE = "steady.json"  # in a start's folder: every request
SHORT, LONG = "short", "long"
TIMES_AS_LONG = 16
AMONG_TEN = 0.9  # of the last half: one that the host disturbed is no sign of a server that still warms up


@dataclass(frozen=True)
class Request:
    """Sent `sent_s` seconds after exec; its whole answer took `latency_s`."""

    kind: str
    sent_s: float
    latency_s: float


def send_requests(server: Server, model: str, settings: Settings, first: Request) -> list[Request]:
    """`first`, which was the start's own completion, and then those of `steady`: pairs of a short and a long prompt, in random order.

    Raises:
        StartError: one was not answered, or all together took longer than steady.timeout_s.
    """
    asked, completion = settings.steady, settings.completion
    assert completion is not None
    assert asked.requests is not None
    rng = random.Random(asked.seed)  # noqa: S311  # texts, no secrets
    found, ends_s = [first], time.monotonic() + asked.timeout_s
    while len(found) < asked.requests:
        for kind in rng.sample((SHORT, LONG), 2):
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                raise StartTimeout(
                    f"{len(found)} of {asked.requests} requests were answered within steady.timeout_s={asked.timeout_s:g}"
                )
            found.append(
                _sent(
                    server,
                    model,
                    kind,
                    completion.model_copy(update={"prompt": _prompt(kind, settings, rng), "timeout_s": left_s}),
                )
            )
    return found[: asked.requests]


def _sent(server: Server, model: str, kind: str, asked: Completion) -> Request:
    sent_s = server.process.elapsed_s()
    return Request(kind, sent_s, server.complete(model, asked).ended_s - sent_s)


def _prompt(kind: str, settings: Settings, rng: random.Random) -> str:
    """Letters that no prompt before had, as long as the start's own prompt or a multiple of it. With a token a byte it still fits."""
    completion, most = settings.completion, settings.max_model_len
    assert completion is not None
    length = len(completion.prompt) * (TIMES_AS_LONG if kind == LONG else 1)
    if isinstance(most, int):
        length = max(1, min(length, most - completion.max_tokens - 1))
    return "".join(rng.choices(f"{string.ascii_lowercase} ", k=length))


def steady_request_s(requests: Sequence[Request]) -> float | None:
    """The median latency of the short ones in the last half."""
    return _medians(requests).get(SHORT)


def steady_s(requests: Sequence[Request], within: float) -> float | None:
    """When the first request was sent from which on the service is steady, in seconds since exec. None: it never was."""
    usual, half = _medians(requests), len(requests) // 2
    is_usual = [each.latency_s <= (1 + within) * usual.get(each.kind, 0.0) for each in requests]
    last = is_usual[half:]
    if not last or sum(last) < AMONG_TEN * len(last):
        return None
    return requests[max((number + 1 for number in range(half) if not is_usual[number]), default=0)].sent_s


def _medians(requests: Sequence[Request]) -> dict[str, float]:
    last = requests[len(requests) // 2 :]
    return {kind: median(each.latency_s for each in last if each.kind == kind) for kind in {each.kind for each in last}}


def write_requests(requests: Sequence[Request], folder: Path) -> None:
    """steady.json: every request, in its order."""
    (folder / FILE).write_text(json.dumps([asdict(each) for each in requests], indent=1), encoding="utf-8")
