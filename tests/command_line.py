"""The commands of bench other than `python -m bench`, as processes of their own, and as functions of this process where that is enough."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from commands import done
from conftest import MARK, Done, Workplace, own_environment, quiet


def opened(
    place: Workplace, *words: str, folder: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts a program in this place: the environment's python first on PATH, without the variables of the test run."""
    own = own_environment()
    path = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
    return subprocess.Popen(
        words,
        cwd=folder or place.folder,
        env=own | {"PATH": path, MARK: place.mark} | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(place: Workplace, module: str, *words: str) -> Done:
    """Runs `python -m bench.MODULE …` to its end, in a process of its own."""
    return done(place, f"bench.{module}", *words)


def call_command(place: Workplace, main: Callable[[], None], *words: str, stdin: bytes = b"") -> Done:
    """Calls the command in this process. Returns its exit code and output; an unexpected exception fails the test."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    words = (*words, f"tracking.uri={uri(place)}")  # absolute: MLflow keeps a connection for each address
    with (
        contextlib.chdir(place.folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", ["bench", *words]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        quiet(),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def uri(place: Workplace) -> str:
    """The address of this place's store."""
    return f"sqlite:///{place.folder / 'mlflow.db'}"
