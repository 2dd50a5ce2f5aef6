"""Whatever a server says, a completion ends in time and in a sentence: an answer, or a StartError that says what came."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from bench.config import Completion
from bench.errors import StartError, StartTimeout
from bench.vllm.completion import read_answer
from bench.vllm.server import Server

ASKED = Completion(prompt="x", max_tokens=2, timeout_s=0.5)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ONE = b'data: {"choices": [{"index": 0, "text": " a", "token_ids": [7], "finish_reason": null}]}\n\n'
DONE = b"data: [DONE]\n\n"

Say = Callable[[socket.socket], None]


@dataclass
class Process:
    """As much of a Kept as a Server needs."""

    keeper_pid: int = 0
    unread: threading.Event = field(default_factory=threading.Event)

    began_s: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)

    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_s

    def exit_code(self) -> int | None:
        return 7 if self.ended.is_set() else None

    def how_it_ended(self) -> str:
        return "exit code 7"


@contextmanager
def served(say: Say) -> Iterator[Server]:
    """A server that says this to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        hear(connection)
                        say(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server(Process(), listening.getsockname()[1], "key")
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def hear(connection: socket.socket) -> None:
    """The whole request: what is not read when a connection is closed resets it."""
    request = b""
    while b"\r\n\r\n" not in request or (request.startswith(b"POST") and not request.endswith(b"}")):
        piece = connection.recv(1 << 16)
        if not piece:
            return
        request += piece


def says(text: bytes) -> Say:
    return lambda connection: connection.sendall(text)


def drips(before: bytes, drop: bytes) -> Say:
    """A drop every 50 ms: each read is answered, the whole never."""

    def say(connection: socket.socket) -> None:
        connection.sendall(before)
        for _ in range(200):
            time.sleep(0.05)
            connection.sendall(drop)

    return say


def test_a_vllm_that_ends_is_the_reason_and_not_its_broken_connection():
    """In its completion, and when its key is tried."""
    ended = threading.Event()
    with served(lambda _: ended.set()) as living:
        server = replace(living, process=Process(ended=ended))
        with pytest.raises(
            StartError, match=r"^vLLM ended before its completion was whole: exit code 7 \(vLLM broke off"
        ):
            server.complete("m", ASKED)
        with pytest.raises(StartError, match=r"^vLLM ended after its completion: exit code 7$"):
            server.check("m")


def test_what_health_said_last_is_in_the_sentence():
    """A server that is there and never healthy is something else than one that is not there."""
    with (
        served(says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as server,
        pytest.raises(StartTimeout, match=r"ready_timeout_s=0\.3: the last answer of /health was 503, expected 200$"),
    ):
        server.wait_until_ready(0.3)


@pytest.mark.parametrize("body", [b"\x1b[2J\x1b]0;x\x07", "\u009b31m\u202e".encode(), b"\0\x7f"])
def test_no_control_character_of_an_answer_comes_into_a_sentence(body):
    """They would do something to a terminal."""
    with (
        served(says(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n" + body)) as server,
        pytest.raises(StartError) as raised,
    ):
        server.complete("m", ASKED)

    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "say",
    [
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drips(HEAD, b"d"),
        drips(HEAD + ONE, b": still there\n"),
        drips(HEAD + ONE, b"\n"),
        drips(b"HTTP/1.1 400 Bad\r\nContent-Length: 999\r\n\r\n", b"x"),
    ],
    ids=["status line", "headers", "line", "comments", "empty lines", "error body"],
)
def test_a_time_out_holds_for_the_whole_answer(say):
    """Not for each read."""
    began_s = time.monotonic()
    with served(say) as server, pytest.raises(StartTimeout, match=r"^no completion within completion.timeout_s=0.5$"):
        try:
            server.complete("m", ASKED)
        finally:
            took_s = time.monotonic() - began_s

    assert took_s < 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "got more than 65536 bytes"),
        (HEAD + b"x" * 3_000_000, "more bytes than an answer may have|no stream of events"),
        (HEAD + b"data: {" + b"x" * 3_000_000, "is no JSON"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 999999999999999\r\n\r\nbecause", "refused with 500|broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "broke off"),
        (b"", "broke off"),
        (HEAD + b'{"error": "not a stream"}', "no stream of events: .*not a stream"),
        (HEAD, "broke off the completion after 0 tokens"),
    ],
    ids=["headers", "header", "no event", "event", "body", "chunk", "ssh", "nothing", "json", "no body"],
)
def test_an_answer_of_any_size_and_form_is_a_sentence(text, why):
    """And takes no more memory than an answer may."""
    with served(says(text)) as server, pytest.raises(StartError, match=why):
        server.complete("m", ASKED.model_copy(update={"timeout_s": 20.0}))


@pytest.mark.parametrize(
    "say", [drips(b"", b"H"), drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")], ids=["status", "headers"]
)
def test_a_health_that_drips_is_not_waited_for_longer_than_told(say):
    """Nor does it count as an answer."""
    with served(say) as server, pytest.raises(StartTimeout, match=r"^not ready within vllm.ready_timeout_s=0.5$"):
        server.wait_until_ready(0.5)


def test_a_health_that_redirects_is_not_healthy_and_one_with_an_endless_body_is():
    """Only the status counts, and the body is not read."""
    with served(says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")) as server, pytest.raises(StartTimeout):
        server.wait_until_ready(0.3)
    with served(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n", b"x")) as server:
        assert server.wait_until_ready(5.0) < 5.0


def read(*lines: bytes, asked: int = 2) -> object:
    return read_answer(iter(lines), "mine", asked, lambda: 1.0)


def event(choice: str, rest: str = "") -> bytes:
    return f'data: {{"choices": [{choice}]{rest}}}\n'.encode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'data: {"choices": null}', "choices is NoneType, expected list"),
        (b'data: {"object": "x"}', "choices is NoneType, expected list"),
        (b'data: {"choices": [null]}', "choices holds no objects"),
        (b'data: {"choices": [{"text": null}]}', "text is NoneType, expected str"),
        (b'data: {"choices": [{"text": {"a": 1}}]}', "text is dict, expected str"),
        (b'data: {"choices": [{"text": NaN}]}', "it holds NaN"),
        (b'data: {"choices": [{"text": "a", "logprobs": {"token_logprobs": [-Infinity]}}]}', "it holds -Infinity"),
        (b'data: {"choices": [{"text": "a", "token_ids": ["7"]}]}', "token_ids are no whole numbers"),
        (b'data: {"choices": [{"text": "a", "token_ids": [1.5]}]}', "token_ids are no whole numbers"),
        (b'data: {"choices": [{"text": "a", "token_ids": [true]}]}', "token_ids are no whole numbers"),
        (b'data: {"choices": [{"text": "a", "token_ids": 7}]}', "token_ids are no whole numbers"),
        (b'data: {"choices": [{"text": "a", "token_ids": [-1]}]}', "token_ids are no whole numbers"),
        (b'data: {"choices": [{"text": "a", "finish_reason": 3}]}', "finish_reason is no text"),
        (b"data: [1]", "a chunk is no object"),
        (b"data: 7", "a chunk is no object"),
        (b"data: {", "is no JSON"),
        (b"data: \xff\xfe", "is no JSON"),
        (b"data: " + b"[" * 100_000, "is no JSON .too deeply nested"),
        (b"data: " + b"9" * 5_000, "is no JSON"),
        (b'data: {"error": {"message": "out of memory"}}', "the completion failed: .*out of memory"),
        (b'data: {"model": "other", "choices": []}', "is of the model 'other', 'mine' was asked"),
        (b'data: {"model": "\\ud800", "choices": []}', "is of the model '.', 'mine' was asked"),
    ],
)
def test_what_is_no_chunk_is_a_sentence(line, why):
    """Never another exception."""
    with pytest.raises(StartError, match=why):
        read(line, DONE)


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        (['{"text": "a", "token_ids": [1]}'], "has 1 tokens, completion.max_tokens=2"),
        (['{"text": "a", "token_ids": [1, 2, 3]}'], "has 3 tokens"),
        (['{"text": "a", "token_ids": [1, 2], "finish_reason": "abort"}'], "finish_reason=abort"),
        (['{"text": "a"}', '{"text": "b"}'], "has 2 pieces of text"),
        (['{"text": "", "token_ids": []}'], "ended without a token"),
    ],
)
def test_fewer_or_more_tokens_than_asked_for_are_a_failure(choices, why):
    """Such a start cannot be compared with another."""
    with pytest.raises(StartError, match=why):
        read(*map(event, choices), DONE)


def test_a_version_that_gives_no_ids_is_believed_its_own_word():
    """finish_reason=length: all that were asked for have come, however many pieces of text they are."""
    answer = read(event('{"text": "a"}'), event('{"text": "b\\ud800", "finish_reason": "length"}'), DONE, asked=5)

    assert (answer.text, answer.token_ids) == ("ab?", None)


def test_random_damage_is_an_answer_or_a_sentence():
    """Whatever byte is another, missing, or there twice."""
    whole = ONE + event('{"text": " b", "token_ids": [8], "finish_reason": "length"}', ', "usage": null') + DONE
    for seed in range(2_000):
        dice = random.Random(seed)  # noqa: S311  # no secret
        place = dice.randrange(len(whole))
        damage = dice.choice([b"", bytes([dice.randrange(256)]), whole[place : place + 9] * 2, b'null"[{'])
        damaged = whole[:place] + damage + whole[place + dice.randrange(5) :]
        with suppress(StartError):
            read(*damaged.splitlines(keepends=True))


def test_another_process_on_the_port_is_not_the_vllm_that_was_started():
    """It would be asked in its place, and its times recorded."""
    with served(says(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"))) as server:
        server.process.keeper_pid = 2**22 + 1  # nobody's
        with pytest.raises(StartError, match=r"another process than this vLLM listens on port \d+"):
            server.check("m")


def test_a_server_without_a_key_is_not_accepted(monkeypatch):
    """Anybody could ask it while it is measured; or it is not ours."""
    monkeypatch.setattr("bench.vllm.server.is_elsewhere", lambda *_: False)
    with served(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        server.process.keeper_pid = 2**22 + 1
        with pytest.raises(StartError, match=r"answered a wrong API key with 200, expected 401"):
            server.check("m")


def test_a_chunk_of_any_size_is_a_broken_answer():
    """http.client takes what is announced for a number of bytes."""
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n"
    with served(says(chunk)) as server, pytest.raises(StartError, match=r"^vLLM broke off the completion"):
        server.complete("m", ASKED)
