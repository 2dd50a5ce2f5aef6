"""A real headless Chromium, driven over its debugging pipe: what a page does there, and what it looks like."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
)


def chromium() -> str | None:
    """The first that is on the PATH; BENCH_TEST_CHROMIUM names another one."""
    return os.environ.get("BENCH_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Browser:
    """One page at a time. `problems`: errors and exceptions of its console; `requests`: every address that it asked for."""

    to: int
    back: int
    session: str = ""
    number: int = 0
    read: bytes = b""
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its answer; what happens meanwhile is written down."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        os.write(self.to, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.read:
            more = os.read(self.back, 1 << 16)
            assert more, "chromium has ended"
            self.read += more
        message, _, self.read = self.read.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.problems.append(str(params["entry"]))
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(str(params))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, page: Path | str, width: int, *, dark: bool = False) -> None:
        """Load a file, or an address, at this width; returns when it is complete."""
        if not self.session:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        self.problems.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    @contextmanager
    def inside(self, scheme: str) -> Iterator[None]:
        """In the frame whose address begins so, instead of the page. A frame in a sandbox is a target of its own."""
        target = None
        while target is None:
            found = self.call("Target.getTargets")["targetInfos"]
            target = next((each["targetId"] for each in found if each["url"].startswith(scheme)), None)
        page = self.session
        self.session = ""
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log"):
            self.call(f"{domain}.enable")
        try:
            yield
        finally:
            self.session = page

    def picture(self, path: Path) -> Path:
        """A PNG of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """A running Chromium, with a profile of its own, until the block ends."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # It reads file descriptor 3 and writes 4: the shell puts them there, and not every sh takes numbers of two digits.
        shell = ["bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "bash"]
        process = subprocess.Popen(
            [*shell, program, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        try:
            yield Browser(our_out, our_in)
        finally:
            process.terminate()
            process.wait()
            os.close(our_in)
            os.close(our_out)
