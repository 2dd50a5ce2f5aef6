"""One live vLLM server: started, awaited, asked for a completion, and gone at the end with all that it started."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.config import Completion
from bench.errors import StartError, StartTimeout
from bench.log.rules import SERVING, stage_of
from bench.masking import masked
from bench.processes.kept import Kept, OnLine, how_it_ended, kept
from bench.startup.command import HOST, Command

HEALTH_INTERVAL_S = 0.02
# Before the engine is up nobody answers, and each question takes 0.4 ms of the cores that vLLM needs.
FAR_INTERVAL_S = 0.25
HEALTH_TIMEOUT_S = 5.0
DONE = b"data: [DONE]"


@dataclass(frozen=True)
class Answer:
    """The streamed greedy completion. Times are seconds since exec; `token_ids` is None where vLLM does not tell them."""

    first_token_s: float
    ended_s: float
    text: str
    token_ids: list[int] | None


@dataclass(frozen=True)
class Server:
    """vLLM, from exec on."""

    process: Kept
    port: int
    api_key: str
    engine_is_up: threading.Event = field(default_factory=threading.Event)  # by vLLM's own word

    def wait_until_ready(self, timeout_s: float) -> float:
        """Seconds since exec at the first 200 of /health, asked every 20 ms from the moment that vLLM says that its engine is
        up, one to two seconds before; every 0.25 s until then.

        Raises:
            StartError: vLLM ended, or was not ready in time.
        """
        while True:
            asked_s = self.process.elapsed_s()
            if self._is_healthy():
                return self.process.elapsed_s()
            if (code := self.process.exit_code()) is not None:
                raise StartError(f"vLLM ended before it was ready: {how_it_ended(code)}")
            if self.process.elapsed_s() > timeout_s:
                raise StartTimeout(f"not ready within vllm.ready_timeout_s={timeout_s:g}")
            self._pause(asked_s)

    def _pause(self, since_s: float) -> None:
        if not self.engine_is_up.is_set():
            self.engine_is_up.wait(max(0.0, since_s + FAR_INTERVAL_S - self.process.elapsed_s()))
        if self.engine_is_up.is_set():
            time.sleep(max(0.0, since_s + HEALTH_INTERVAL_S - self.process.elapsed_s()))

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def complete(self, model: str, asked: Completion) -> Answer:
        """One greedy completion, streamed; the first chunk that carries a token is the first token.

        Source: vllm/entrypoints/openai/completion/protocol.py for `return_token_ids`; a version without it ignores it.

        Raises:
            StartError: vLLM refused, closed the connection, or took longer than completion.timeout_s.
        """
        question = {
            "model": model, "prompt": asked.prompt, "max_tokens": asked.max_tokens, "temperature": 0,
            "ignore_eos": True, "stream": True, "return_token_ids": True,
        }  # fmt: skip
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        deadline_s = self.process.elapsed_s() + asked.timeout_s
        connection = http.client.HTTPConnection(HOST, self.port, timeout=asked.timeout_s)
        try:
            connection.request("POST", "/v1/completions", json.dumps(question), headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise StartError(f"the completion was refused with {response.status}: {_short(response.read())}")
            return self._read_stream(response, deadline_s)
        except TimeoutError as error:
            raise StartTimeout(f"no completion within completion.timeout_s={asked.timeout_s:g}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StartError(f"vLLM broke off the completion: {error!r}") from error
        finally:
            connection.close()

    def _read_stream(self, response: http.client.HTTPResponse, deadline_s: float) -> Answer:
        first_token_s, done = None, False
        texts: list[str] = []
        token_ids: list[int] = []
        for line in response:
            if self.process.elapsed_s() > deadline_s:
                raise TimeoutError
            if line.startswith(DONE):
                done = True
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line.removeprefix(b"data: "))
            if "error" in chunk:
                raise StartError(f"the completion failed: {_short(line)}")
            for choice in chunk["choices"]:
                if first_token_s is None and (choice.get("token_ids") or choice["text"]):
                    first_token_s = self.process.elapsed_s()
                texts.append(choice["text"])
                token_ids += choice.get("token_ids") or []
        if not done:  # http.client takes a connection that broke between two chunks for the end
            raise StartError(f"vLLM broke off the completion after {len(token_ids) or len(texts)} tokens")
        if first_token_s is None:
            raise StartError("the completion ended without a token")
        return Answer(first_token_s, self.process.elapsed_s(), "".join(texts), token_ids or None)


def _short(body: bytes) -> str:
    return masked(body.decode(errors="replace").strip())[:300]


@contextmanager
def serve(
    command: Command, *, api_key: str, log_path: Path, stop_timeout_s: float, on_line: OnLine
) -> Iterator[Server]:
    """vLLM, started now and gone, with its whole tree, when the block is left. Its output goes to `log_path`, stamped."""
    environment = command.environment | {"VLLM_API_KEY": api_key}
    engine_is_up = threading.Event()

    def saw(elapsed_s: float, text: str) -> None:
        if stage_of(text) == SERVING:
            engine_is_up.set()
        on_line(elapsed_s, text)

    with kept(command.arguments, environment, log_path=log_path, stop_timeout_s=stop_timeout_s, on_line=saw) as process:
        yield Server(process, command.port, api_key, engine_is_up)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
