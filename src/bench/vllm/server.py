"""One live vLLM server: started, awaited, sent a completion request, and ended with all that it started."""

import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

from bench.config import Completion
from bench.errors import AnswerError, RefusedError, StartError, StartTimeout
from bench.host.container import HOST, env_file
from bench.log.server_info import tasks_in
from bench.log.texts import Stage
from bench.log.texts.phases import stage_of
from bench.system.processes import descendants
from bench.vllm.bounded_http import exchange
from bench.vllm.command import Command
from bench.vllm.completion import (
    COMPLETIONS,
    LINE_AT_MOST,
    MODELS,
    SHOWN,
    Answer,
    bytes_at_most,
    other_root,
    read_answer,
    refused,
    request_body,
    short,
)
from bench.vllm.keeper_reports import Kept
from bench.vllm.listener import is_elsewhere
from bench.vllm.log_copy import OnLine
from bench.vllm.process import kept

HEALTH_INTERVAL_S = 0.02
# Before the engine is up there is no answer, and each request takes 0.4 ms of the cores that vLLM needs.
FAR_INTERVAL_S = 0.25
HEALTH_TIMEOUT_S = 5.0
CHECK_TIMEOUT_S = 10.0  # of each request that follows the completion
END_KNOWN_S = 0.5  # after which the end of a process is known
JSON = "application/json"
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
BROKEN = (OSError, http.client.HTTPException, ValueError, OverflowError)  # the last: of a chunk of 2**64 bytes


@dataclass(frozen=True)
class Server:
    """vLLM, from exec on."""

    process: Kept
    port: int
    api_key: str
    is_behind: bool = False  # another command, whose processes are not those of vLLM
    engine_is_up: threading.Event = field(default_factory=threading.Event)  # by a line of vLLM's log
    tasks: list[str] = field(default_factory=list)  # that the model can do, by a line of it; empty: not known

    def wait_until_ready(self, timeout_s: float) -> float:
        """Seconds since exec at the first 200 of /health. It is polled every 0.25 s until vLLM logs that its engine is up, one to
        two seconds before, or prints so much that the line may be missed; every 20 ms from then on.

        Raises:
            StartError: vLLM ended, or was not ready in time.
        """
        status = None
        while True:
            asked_s = self.process.elapsed_s()
            if asked_s < timeout_s:
                status = self._health(min(HEALTH_TIMEOUT_S, timeout_s - asked_s))
            if status == HTTPStatus.OK:
                return self.process.elapsed_s()
            self._raise_if_ended("before it was ready")
            if self.process.elapsed_s() > timeout_s:
                last = f": the last answer of /health was {status}, expected 200" if status else ""
                raise StartTimeout(f"not ready within vllm.ready_timeout_s={timeout_s:g}{last}")
            self._pause(asked_s)

    def _pause(self, since_s: float) -> None:
        if not self._is_near():
            self.engine_is_up.wait(max(0.0, since_s + FAR_INTERVAL_S - self.process.elapsed_s()))
        if self._is_near():
            time.sleep(max(0.0, since_s + HEALTH_INTERVAL_S - self.process.elapsed_s()))

    def _is_near(self) -> bool:
        return self.engine_is_up.is_set() or self.process.unread.is_set()

    def _health(self, timeout_s: float) -> int | None:
        """The status; None: no answer, or no valid HTTP."""
        try:
            with exchange((HOST, self.port), ("GET", "/health", None, {}), timeout_s=timeout_s) as response:
                return response.status
        except BROKEN:
            return None

    def _raise_if_ended(self, when: str) -> None:
        if self.process.exit_code() is not None:
            raise StartError(f"vLLM ended {when}: {self.process.how_it_ended()}")

    def _ends_soon(self) -> bool:
        """Whether it has ended, which is known a little after its connections are gone."""
        known_s = time.monotonic() + END_KNOWN_S
        while self.process.exit_code() is None and time.monotonic() < known_s:
            time.sleep(HEALTH_INTERVAL_S)
        return self.process.exit_code() is not None

    def complete(self, model: str, asked: Completion) -> Answer:
        """One greedy completion, streamed; the first chunk that carries a token is the first token.

        Raises:
            StartError: vLLM refused, closed the connection, ended, gave an answer that does not match the request, or took longer than
                completion.timeout_s.
        """
        try:
            return self._complete(model, asked)
        except (StartTimeout, AnswerError):
            raise
        except StartError as error:
            is_not_served = isinstance(error, RefusedError) and error.not_served
            if not is_not_served and self._ends_soon():
                how = self.process.how_it_ended()
                raise StartError(f"vLLM ended before its completion was whole: {how} ({error})") from error
            raise

    def _complete(self, model: str, asked: Completion) -> Answer:
        try:
            with exchange(
                (HOST, self.port),
                self.post(COMPLETIONS, request_body(model, asked)),
                timeout_s=asked.timeout_s,
                bytes_at_most=bytes_at_most(asked),
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise refused(response.status, response.read(4 * SHOWN))
                lines = iter(lambda: response.readline(LINE_AT_MOST), b"")
                return read_answer(lines, model, asked.max_tokens, self.process.elapsed_s)
        except TimeoutError as error:
            raise StartTimeout(f"no completion within completion.timeout_s={asked.timeout_s:g}") from error
        except BROKEN as error:
            raise StartError(f"vLLM broke off the completion: {short(repr(error).encode())}") from error

    def post(
        self, path: str, body: bytes, *, key: str | None = None, content_type: str = JSON
    ) -> tuple[str, str, bytes, dict[str, str]]:
        """A request with our key, or another: the argument of `exchange`."""
        return "POST", path, body, {"Content-Type": content_type, "Authorization": f"Bearer {key or self.api_key}"}

    def check(self, model: str, roots: Collection[str] = ()) -> None:
        """Checks that this vLLM answered, and is still healthy. To be called when everything is measured.

        `model` is the name that it is served under. Where that is not the checkpoint's path, `roots` are the paths of which one must
        stand behind it.

        Raises:
            StartError: it ended or is no longer healthy; another process listens on its port; another model has that name; or a wrong
                key was not refused: it is another server, or one that serves other users, who would disturb the measurement.
        """
        health = self._health(CHECK_TIMEOUT_S)
        if not self.is_behind and is_elsewhere(self.port, descendants(self.process.keeper_pid)):
            self._failed_after(
                f"another process than this vLLM listens on port {self.port}: what answered is not what was started"
            )
        if health != HTTPStatus.OK:
            self._failed_after(
                f"vLLM was not healthy any more after its completion: /health answered {health or 'nothing'}"
            )
        if roots and (sentence := other_root(self._served(), model, roots)):
            self._failed_after(sentence)
        status = self._status_with_another_key(model)
        if status not in REFUSALS:
            self._failed_after(
                f"the server on port {self.port} answered a wrong API key with {status or 'nothing'}, expected 401: "
                "it is not the vLLM that was started, or does not check VLLM_API_KEY"
            )
        self._raise_if_ended("after its completion")

    def _failed_after(self, reason: str) -> NoReturn:
        """Raises with this reason, unless vLLM has ended, which would explain it."""
        self._ends_soon()
        self._raise_if_ended("after its completion")
        raise StartError(reason)

    def _served(self) -> bytes:
        """The answer of /v1/models; empty: none came."""
        request = ("GET", MODELS, None, {"Authorization": f"Bearer {self.api_key}"})
        try:
            with exchange(
                (HOST, self.port), request, timeout_s=CHECK_TIMEOUT_S, bytes_at_most=LINE_AT_MOST
            ) as response:
                return response.read(LINE_AT_MOST)
        except BROKEN:
            return b""

    def _status_with_another_key(self, model: str) -> int | None:
        one_token = json.dumps({"model": model, "prompt": "a", "max_tokens": 1}).encode()
        request = self.post(COMPLETIONS, one_token, key=secrets.token_hex(16))
        try:
            with exchange((HOST, self.port), request, timeout_s=CHECK_TIMEOUT_S) as response:
                return response.status
        except BROKEN:
            return None


@contextmanager
def serve(
    command: Command, *, api_key: str, log_path: Path, stop_timeout_s: float, on_line: OnLine
) -> Iterator[Server]:
    """vLLM, started now and gone, with its whole tree, when the block is left. Its output goes to `log_path`, stamped.

    Of one that is started behind another command that command is gone, by SIGTERM if it takes notice of that. If vLLM itself still answers
    then, that is a warning of the process.
    """
    environment = command.environment | {"VLLM_API_KEY": api_key}
    engine_is_up, tasks = threading.Event(), list[str]()

    def on_each(elapsed_s: float, text: str) -> None:
        if stage_of(text) == Stage.SERVER:
            engine_is_up.set()
        tasks.extend(() if tasks else tasks_in(text))
        on_line(elapsed_s, text)

    with env_file(command.behind or "", environment, log_path.parent) as file:
        words = replace(command, places={**command.places, **file}).words(environment)
        with kept(words, environment, log_path=log_path, stop_timeout_s=stop_timeout_s, on_line=on_each) as process:
            yield Server(process, command.port, api_key, command.behind is not None, engine_is_up, tasks)
    if command.behind and _listens(command.port):
        process.warnings.append(
            f"vLLM still listens on port {command.port}, though {words[0]} has ended: end its container before you measure again"
        )


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=CHECK_TIMEOUT_S):
        return True
    return False
