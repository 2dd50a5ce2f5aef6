"""A named function of a running bench becomes a place where a test can provoke something: only there, and only in tests."""

import sys
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
OURS = ("bench", "hydra_plugins", "__main__")


def stop_at(where: str, folder: str, nth: int = 1, *, after: bool = False, error: str | None = None) -> None:
    """At the nth call of `where` (module:name), before it or `after` it: writes folder/reached, and goes on when there is folder/go.

    `error`, an expression such as OSError(28, 'full'), is raised there instead of waiting.
    """
    module, name = where.split(":")
    owner: Any = import_module(module)
    *outer, last = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    original = getattr(owner, last)
    calls = 0

    @wraps(original)
    def hooked(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != nth:
            return original(*arguments, **named)
        if not after:
            pause(Path(folder), error)
            return original(*arguments, **named)
        result = original(*arguments, **named)
        pause(Path(folder), error)
        return result

    replace_everywhere(owner, last, original, hooked)


def replace_everywhere(owner: Any, name: str, original: Any, hooked: Callable[..., Any]) -> None:
    """Where it is, and in every module of ours that has imported it by name."""
    setattr(owner, name, hooked)
    for module in [each for key, each in sys.modules.items() if key.split(".")[0] in OURS]:
        for known, value in list(vars(module).items()):
            if value is original:
                setattr(module, known, hooked)


def pause(folder: Path, error: str | None) -> None:
    (folder / "reached").touch()
    if error:
        raise eval(error)  # noqa: S307  # a test's own
    deadline_s = time.monotonic() + PATIENCE_S
    while not (folder / "go").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
