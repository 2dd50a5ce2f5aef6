"""Commands of bench as a user would run them, but forked from a process that has imported them: each saves the seconds of its imports."""

import atexit
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conftest import MARK, PATIENCE_S, Done, Workplace, own_environment, until


class Preloaded:
    """A process that forks commands of bench, which then need no second for their imports."""

    def __init__(self) -> None:
        own = own_environment()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("preloaded.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=own,
        )
        assert self._answer() == {"ready": True}

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        return answer


@cache
def shared() -> Preloaded:
    """The one of this process of pytest."""
    process = Preloaded()
    atexit.register(process.close)
    return process


@dataclass
class Command:
    """A command of bench that runs in a place."""

    preloaded: Preloaded
    place: Workplace
    folder: Path  # its output, and the files of its hook
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.preloaded.ask(poll=self.pid)["code"]
        return self.code

    def ended(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        until(lambda: self.poll() is not None)
        assert self.code is not None
        return self.code

    def done(self) -> Done:
        """Its exit code and output, at its end."""
        return Done(self.ended(), self.out, self.err)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def out(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def has_reached(self) -> bool:
        return (self.folder / "reached").exists()

    def go_on(self) -> None:
        (self.folder / "go").touch()


def command(
    preloaded: Preloaded, place: Workplace, module: str, *words: str, hook: str | None = None, **options: Any
) -> Command:
    """`python -m MODULE WORD...` in that place, running.

    `hook`: module:function, with `#2` behind it for its second call and `>` for its end. Options: `environment`; `ignored`, the signals
    that it ignores; `stdin`, `stdout` and `stderr`, paths or None for closed.
    """
    folder = place.folder.parent / f"{place.folder.name}-{time.monotonic_ns()}"
    folder.mkdir()
    for name in ("stdout", "stderr"):
        (folder / name).touch()
    own = own_environment()
    files = {"stdin": os.devnull, "stdout": str(folder / "stdout"), "stderr": str(folder / "stderr"), "ignored": []}
    request = files | options | {"environment": own | {MARK: place.mark} | (options.get("environment") or {})}
    hooked = parsed(hook, folder) if hook else None
    answer = preloaded.ask(run=[module, *words], cwd=str(place.folder), hook=hooked, **request)
    return Command(preloaded, place, folder, answer["pid"])


def parsed(hook: str, folder: Path) -> dict[str, Any]:
    """`module:function#2>` -> the arguments of hooks.stop_at."""
    where, _, nth = hook.removesuffix(">").partition("#")
    return {"where": where, "folder": str(folder), "nth": int(nth or 1), "after": hook.endswith(">")}


def done(place: Workplace, module: str, *words: str, environment: dict[str, str] | None = None) -> Done:
    """`python -m MODULE WORD...` in that place, to its end."""
    return command(shared(), place, module, *words, environment=environment).done()
