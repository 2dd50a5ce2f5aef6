"""What bench changes of a host for the length of a start, and how it is put back, whoever is killed. Standard library only: the keeper imports it.

A journal is a file that is written before each change: `{"driver": …, "steps": […]}`. Whoever made it puts all back at the end. Where
that process was killed, the keeper of its vLLM does, or the next command. A step is put back only where it is still as bench made it.

    {"write": PATH, "ours": "128", "was": "8192"}   a setting of the kernel's
    {"remove": PATH}                                an empty folder: a cgroup
"""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.system.process_identity import parse, this_process

NAME = "bench-undo"
TRIES, AGAIN_S = 20, 0.05


def folder() -> Path:
    """Where journals lie: a place that is emptied when the host is restarted, as what they are about is."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path("/run") / NAME if os.geteuid() == 0 or not own else Path(own) / NAME


class Journal:
    """What was changed by this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._steps: list[dict[str, str]] = []

    def write(self, path: Path, text: str) -> None:
        """Sets a setting of the kernel's.

        Raises:
            OSError: it cannot be read or written.
        """
        was = path.read_text(encoding="utf-8").strip()
        self._add({"write": str(path), "ours": text, "was": was})
        path.write_text(text, encoding="utf-8")

    def make(self, path: Path) -> None:
        """Makes a folder that is removed when it is empty.

        Raises:
            OSError: it cannot be made, or is there already.
        """
        self._add({"remove": str(path)})
        path.mkdir()

    def _add(self, step: dict[str, str]) -> None:
        self._steps.append(step)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"driver": this_process().as_text(), "steps": self._steps}), encoding="utf-8")
        partial.rename(self.path)


@contextmanager
def journal() -> Iterator[Journal]:
    """Everything that is changed by it is put back at the end of the block.

    Raises:
        OSError: no journal can be written.
    """
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Journal(place / f"{os.getpid()}-{time.time_ns()}.json")
    try:
        yield made
    finally:
        undo(made.path)


def undo(path: Path) -> list[str]:
    """Puts back what this journal holds, the last change first. Returns what could not be put back; the journal stays then."""
    steps = _read(path).get("steps", [])
    left = [str(step.get("write") or step.get("remove")) for step in reversed(steps) if not _is_undone(step)]
    if not left:
        path.unlink(missing_ok=True)
    return left


def undo_forsaken(path: Path | None = None) -> list[str]:
    """The same of a journal, or of all, whose process is gone. Returns what could not be put back."""
    paths = [path] if path else sorted(folder().glob("*.json"))
    return [left for each in paths if _is_forsaken(each) for left in undo(each)]


def _is_forsaken(path: Path) -> bool:
    driver = parse(str(_read(path).get("driver", "")))
    return driver is not None and driver.is_gone


def _is_undone(step: dict[str, str]) -> bool:
    try:
        if "remove" in step:
            _remove(Path(step["remove"]))
        elif Path(step["write"]).read_text(encoding="utf-8").strip() == step["ours"]:
            Path(step["write"]).write_text(step["was"], encoding="utf-8")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove(folder: Path) -> None:
    """A cgroup is busy for a moment after its last process has ended."""
    for _ in range(TRIES):
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(AGAIN_S)
        else:
            return
    folder.rmdir()


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
