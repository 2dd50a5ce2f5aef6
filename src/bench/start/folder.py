"""A start's folder: that it can be written before vLLM is started, and that startup.json is in it at the end, also on a full disk."""

import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.start.files import PRIME, refuse_taken
from bench.start.record import Startup
from bench.start.steps import Steps
from bench.system.output import print_message

RESERVE = ".bench-reserve"
RESERVE_BYTES = 4 << 20  # as much as a startup.json ever takes


def place_for(folder: Path, steps: Steps) -> Path:
    """`folder`, made, and with space set aside for what must be written in the end.

    Where that is not possible this start fails, and what is left of it goes to a temporary folder.
    """
    if steps.run("making the start's folder", lambda: _prepared(folder), default=False):
        return folder
    return _elsewhere(folder)


def _prepared(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    refuse_taken(folder, "the start's folder", but=frozenset({PRIME}))
    descriptor = os.open(folder / RESERVE, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    except OSError:
        _free(folder)
        raise
    finally:
        os.close(descriptor)
    return True


def _free(folder: Path) -> None:
    with suppress(OSError):
        (folder / RESERVE).unlink()


def _elsewhere(folder: Path) -> Path:
    place = Path(tempfile.mkdtemp(prefix="bench-start-"))
    print_message(f"  {folder} cannot be written: this start is kept in {place}")
    return place


def saved(startup: Startup, folder: Path, steps: Steps) -> Path:
    """startup.json and error.txt, written with the space that was set aside. Returns the folder that has them: another where this one
    is gone or takes no more.
    """
    _free(folder)
    if steps.run("saving the start", lambda: _save(startup, folder, steps), default=False):
        return folder
    if steps.run("saving the least of it", lambda: _save(least(startup), folder, steps), default=False):
        return folder
    place = _elsewhere(folder)
    return (
        place
        if steps.run("saving the start elsewhere", lambda: _save(startup, place, steps), default=False)
        else folder
    )


def _save(startup: Startup, folder: Path, steps: Steps) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    startup.save(folder)
    steps.write_errors(folder)
    return True


def least(startup: Startup) -> Startup:
    """Without what can be made again from the log and the probe's files."""
    return replace(startup, spans=[], host_state=None)
