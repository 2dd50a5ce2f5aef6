"""A start's folder: that it can be written before vLLM is started, and that startup.json is in it at the end, also on a full disk, and
where bench was killed.
"""

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.config import Settings
from bench.start.describe import minimal_startup
from bench.start.execution import Execution, Stop, StopKind
from bench.start.files import BEGUN, LOG, PREPARE_LOG, PRIME, PROBE, STARTUP, UNMASKED, refuse_taken
from bench.start.record import Startup, load_startup
from bench.start.steps import Steps
from bench.system.output import print_message
from bench.system.process_identity import this_process

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


def begin(settings: Settings, folder: Path) -> None:
    """Writes what is known of the start if this process is killed during it, for `recovered`."""
    reason = f"bench, {this_process()}, was killed during this start; what vLLM wrote is kept in {folder / UNMASKED}, and uploaded nowhere"
    minimal_startup(settings, Execution(time.time(), stop=Stop(StopKind.KILLED, reason))).save(folder, BEGUN)


def recovered(folder: Path) -> bool:
    """Whether there is a startup.json now, of a start whose bench is gone. Made from begun.json it says that the start failed.

    What vLLM wrote is then put aside: only the process that is gone knew all secrets that may be in it.
    """
    if (folder / STARTUP).is_file():
        with suppress(OSError):  # it was killed between the two, or the folder is read-only
            (folder / BEGUN).unlink()
        return True
    if not (folder / BEGUN).is_file():
        return False
    begun = load_startup(folder, BEGUN)
    ended_at = max(path.stat().st_mtime for path in folder.iterdir())
    (folder / UNMASKED).mkdir(mode=0o700, exist_ok=True)
    for name in (LOG, PREPARE_LOG, PROBE):
        if os.path.lexists(folder / name):
            (folder / name).rename(folder / UNMASKED / name)
    _free(folder)
    replace(begun, ended_at=max(begun.started_at, ended_at)).save(folder)
    (folder / BEGUN).unlink()
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
    (folder / BEGUN).unlink(missing_ok=True)
    steps.write_errors(folder)
    return True


def least(startup: Startup) -> Startup:
    """Without what can be made again from the log and the probe's files."""
    return replace(startup, spans=[], host_state=None)
