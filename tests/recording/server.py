"""A vLLM that is being recorded: started in a session of its own, asked over HTTP, and stopped with all that it started."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

PORT = 8117
READY_LIMIT_S = 180
EXIT_LIMIT_S = 60
GROUP_EXIT_LIMIT_S = 10
POLL_S = 0.05


@dataclass
class Server:
    """A running vLLM and its log."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def text(self) -> str:
        """What is in the log by now."""
        return self.log.read_text(errors="replace")

    def wait_for(self, found: Callable[[], bool], limit_s: float) -> bool:
        """False when vLLM is gone or the time is over before it is found."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(POLL_S)
        return False

    def wait_until_ready(self) -> bool:
        """Until /health answers."""
        return self.wait_for(healthy, READY_LIMIT_S)

    def wait_for_text(self, words: str) -> bool:
        """Until the log has the words."""
        return self.wait_for(lambda: words in self.text, READY_LIMIT_S)

    def wait_for_its_end(self, limit_s: float = READY_LIMIT_S) -> None:
        """Until it is gone."""
        self.wait_for(lambda: False, limit_s)


@contextmanager
def running(command: list[str], environment: dict[str, str], place: Path, log: Path) -> Iterator[Server]:
    """Both outputs go to one file, as they come."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=place,
            env=environment,
            start_new_session=True,
        )
    try:
        yield Server(process, log)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, then SIGKILL to whatever is left of its group."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(EXIT_LIMIT_S)
    end = time.monotonic() + GROUP_EXIT_LIMIT_S
    while group_lives(process.pid) and time.monotonic() < end:
        time.sleep(POLL_S)
    if group_lives(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def group_lives(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def healthy() -> bool:
    """Whether /health answers 200."""
    with suppress(OSError, HTTPException):
        return asked("GET", "/health", limit_s=5)[0] == 200
    return False


def complete() -> None:
    """One completion, of whatever model is served. What comes of it is in the log."""
    with suppress(OSError, HTTPException):
        _, models = asked("GET", "/v1/models", limit_s=30)
        model = json.loads(models)["data"][0]["id"]
        asked("POST", "/v1/completions", json.dumps({"model": model, "prompt": "Hello", "max_tokens": 4}), limit_s=120)


def embed() -> None:
    """One vector of whatever model is served."""
    with suppress(OSError, HTTPException):
        asked("POST", "/v1/embeddings", json.dumps({"input": "Hello"}), limit_s=120)


def asked(method: str, path: str, body: str | None = None, *, limit_s: float) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=limit_s)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
