"""One vLLM server, played by the fake: awaited, asked, and told from one that fails."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.config import Completion
from bench.errors import StartError, StartTimeout
from bench.host.container import HOST, free_port
from bench.vllm.command import Command
from bench.vllm.server import Server, serve

MODEL = "models/tiny"
QUESTION = Completion(prompt="The quick brown fox", max_tokens=4, timeout_s=120.0)
READY_TIMEOUT_S = 120.0  # for what takes a fraction of a second

Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def start(fake: str, tmp_path: Path) -> Start:
    """Starts a fake vLLM in this mode; its log is tmp_path/vllm.log."""

    def start(mode: str) -> AbstractContextManager[Server]:
        port = free_port()
        words = ("--model", MODEL, "--host", HOST, "--port", str(port))
        return serve(
            Command((fake, "-m", "vllm.entrypoints.openai.api_server", *words), {"FAKE_MODE": mode}, port),
            api_key="the key of this start",
            log_path=tmp_path / "vllm.log",
            stop_timeout_s=60.0,
            on_line=lambda *_: None,
        )

    return start


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[str]]:
    """What vLLM has printed, without stamps: whole once its block is left."""
    return lambda: [line[10:] for line in (tmp_path / "vllm.log").read_text().splitlines()]


def asked_for_health(lines: list[str]) -> list[str]:
    return [line.split()[-2] for line in lines if "GET /health" in line]


def test_ready_is_the_first_good_answer_of_health(start, log):
    """Not the first answer: vLLM says 503 while its engine is not there yet."""
    with start("slow_health") as vllm:
        vllm.wait_until_ready(READY_TIMEOUT_S)

    assert asked_for_health(log()) == ["503", "503", "503", "200"]


def test_ready_comes_in_seconds_since_exec(start):
    """On the same clock as the log's stamps and the first token."""
    with start("ok") as vllm:
        ready_s = vllm.wait_until_ready(READY_TIMEOUT_S)
        after_s = vllm.process.elapsed_s()

    assert 0 < ready_s <= after_s


def test_a_server_that_hangs_is_not_waited_for_longer_than_told(start):
    """The message names the setting that would give it more time."""
    with start("hang") as vllm, pytest.raises(StartTimeout, match=r"^not ready within vllm.ready_timeout_s=0.3$"):
        vllm.wait_until_ready(0.3)


@pytest.mark.parametrize(
    ("mode", "how"),
    [("exit", "exit code 1"), ("silent_death", "killed by SIGKILL, as when the host is out of memory")],
)
def test_a_server_that_ends_is_not_waited_for(start, mode, how):
    """Its end is reported at once, as what it was."""
    with start(mode) as vllm, pytest.raises(StartError, match=f"^vLLM ended before it was ready: {how}$"):
        vllm.wait_until_ready(READY_TIMEOUT_S)


def test_a_server_is_asked_to_end(start, log):
    """It frees what it holds itself, and says so."""
    with start("ok") as vllm:
        vllm.wait_until_ready(READY_TIMEOUT_S)

    assert log()[-1] == "INFO:     Shutting down"


@pytest.fixture
def ask(start: Start) -> Callable[[str], object]:
    """The answer of a server in this mode."""

    def ask(mode: str, question: Completion = QUESTION) -> object:
        with start(mode) as vllm:
            vllm.wait_until_ready(READY_TIMEOUT_S)
            return vllm.complete(MODEL, question)

    return ask


def test_a_completion_gives_its_tokens(ask):
    """All of them, in order, with the text that they stand for."""
    answer = ask("ok")

    assert answer.token_ids == [100, 101, 102, 103]
    assert answer.text == " t100 t101 t102 t103"


def test_the_first_token_comes_after_ready_and_before_the_last(start):
    """It is stamped when it arrives, not when the stream is over."""
    with start("ok") as vllm:
        ready_s = vllm.wait_until_ready(READY_TIMEOUT_S)
        answer = vllm.complete(MODEL, QUESTION)

    assert ready_s < answer.first_token_s < answer.ended_s


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("break_stream", "vLLM broke off the completion"),
        ("refuse_completion", "the completion was refused with 400: .*maximum context length"),
        ("no_tokens", "the completion ended without a token$"),
        ("other_model", f"vLLM's answer is of the model 'other', '{MODEL}' was asked$"),
    ],
)
def test_an_answer_that_is_not_the_one_that_was_asked_for_is_a_failure(ask, mode, why):
    """Such a start cannot be compared with another."""
    with pytest.raises(StartError, match=f"^{why}"):
        ask(mode)


def test_a_stream_that_stalls_is_not_waited_for_longer_than_told(ask):
    """A connection that stays open says nothing about vLLM."""
    with pytest.raises(StartTimeout, match=r"^no completion within completion.timeout_s=0.5$"):
        ask("stall_stream", QUESTION.model_copy(update={"timeout_s": 0.5}))


def test_another_key_is_refused(start):
    """A start's server answers to nobody but its own bench: another request would disturb what is measured."""
    with start("ok") as vllm:
        vllm.wait_until_ready(READY_TIMEOUT_S)

        with pytest.raises(StartError, match="refused with 401"):
            replace(vllm, api_key="somebody else's").complete(MODEL, QUESTION)


def test_a_server_that_is_gone_gives_no_completion(start):
    """Nobody answers at its port any more."""
    with start("ok") as vllm:
        vllm.wait_until_ready(READY_TIMEOUT_S)

    with pytest.raises(StartError, match=r"^vLLM ended before its completion was whole: .*ConnectionRefusedError"):
        vllm.complete(MODEL, QUESTION)


@pytest.fixture
def check(start: Start) -> Callable[[str], None]:
    """What is looked at when all is measured, of a server in this mode."""

    def check(mode: str) -> None:
        with start(mode) as vllm:
            vllm.wait_until_ready(READY_TIMEOUT_S)
            vllm.complete(MODEL, QUESTION)
            vllm.check(MODEL)

    return check


def test_a_server_that_is_still_there_and_refuses_another_key_is_ours(check, log):
    """The other question is refused before it costs anything."""
    check("ok")

    assert [line.split()[-2] for line in log() if "POST" in line] == ["200", "401"]


def test_a_server_that_dies_of_its_answer_is_a_failure(check):
    """Nobody could use it."""
    with pytest.raises(StartError, match=r"^vLLM ended after its completion: exit code 3$"):
        check("dies_after_answer")


def test_a_server_that_is_not_healthy_any_more_is_a_failure(check):
    """As one whose engine has died, while its API server goes on."""
    with pytest.raises(StartError, match=r"not healthy any more after its completion: /health answered 503"):
        check("sick_after_answer")
