"""What bench may remove from a disk: only a folder that carries its own marker.

The marker is a file, `.bench`, that bench writes into each folder which it will have to empty or replace one day: caches, and checkpoints
that it makes. A folder without it is not bench's, whatever its name. Links are never followed: neither a folder
that is a link, nor a marker that is one.
"""

import json
import shutil
import stat
from pathlib import Path
from typing import Any

from bench.errors import EvidenceError, OwnershipError
from bench.system.process_identity import parse, this_process
from bench.system.regular_files import open_regular
from bench.system.whole_files import write_whole

MARKER = ".bench"
MARKER_BYTES_AT_MOST = 1 << 20


def mark(folder: Path, what: str, files: list[str] | None = None) -> None:
    """Makes `folder` one that bench may remove. `files`: the names of all that bench wrote there; None: whatever is in it is bench's."""
    marker = {"made_by": "bench", "what": what, "files": files, "process": this_process().as_text()}
    write_whole(folder / MARKER, json.dumps(marker, indent=1))


def marker_of(folder: Path) -> dict[str, Any] | None:
    """What the folder's marker holds. None: it has none, or one that bench did not write; or the folder is a link."""
    if not is_real_folder(folder):
        return None
    try:
        with open_regular(folder / MARKER) as file:
            marker = json.loads(file.read(MARKER_BYTES_AT_MOST))
    except (EvidenceError, OSError, ValueError, RecursionError):
        return None
    return marker if isinstance(marker, dict) and marker.get("made_by") == "bench" else None


def was_left_behind(folder: Path) -> bool:
    """Whether bench marked this folder and the process that did has certainly ended."""
    marker = marker_of(folder)
    maker = parse(str(marker.get("process"))) if marker else None
    return maker is not None and maker.is_gone


def is_real_folder(path: Path) -> bool:
    """Whether a folder lies here: not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def remove_marked(folder: Path) -> None:
    """Removes a folder of bench's with all that is in it, the marker last: what an interruption leaves is still marked.

    Raises:
        OwnershipError: it carries no marker, or cannot be removed.
    """
    if marker_of(folder) is None:
        raise OwnershipError(f"{folder} is not removed: it has no {MARKER} file of bench's. Move it away yourself.")
    try:
        _empty(folder)
        (folder / MARKER).unlink()
        folder.rmdir()
    except OSError as error:
        raise OwnershipError(f"{folder} cannot be removed: {error.strerror or error}. Remove it yourself.") from error


def renew(folder: Path, what: str) -> None:
    """An empty folder with bench's marker in it: made where it is missing, emptied where it has the marker.

    Raises:
        OwnershipError: something else lies there, or it cannot be written.
    """
    try:
        if marker_of(folder) is not None:
            _empty(folder)
        elif is_real_folder(folder):
            _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not is_real_folder(folder):
            raise OwnershipError(
                f"{folder} is a link, and bench empties none. Remove the link, or choose another folder."
            )
        mark(folder, what)
    except OSError as error:
        raise OwnershipError(f"{folder} cannot be emptied and written: {error.strerror or error}.") from error


def _refuse_foreign(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir())
    if found:
        raise OwnershipError(
            f"{folder} would have to be emptied, but it has no {MARKER} file of bench's: {found[0]!r} in it may be somebody's. Move it away."
        )


def _empty(folder: Path) -> None:
    """All but the marker goes; links go themselves, not what they lead to."""
    for path in folder.iterdir():
        if path.name == MARKER:
            continue
        if is_real_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()
