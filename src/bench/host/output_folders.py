"""Checks before the first start that every folder which a command will write to is writable. Disk space: bench.weights.space."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench.config import Settings
from bench.errors import SettingError

OUTPUT_BYTES = 16 << 20  # of a start: its log, its figures, what the probe wrote


def refuse_places(every: Iterable[Settings], folder: Path, setting: str) -> None:
    """Refuses folders that cannot be written. `folder` is for the starts' own files, `setting` the name of its setting. Creates nothing.

    Raises:
        SettingError: names the settings, and what is wrong with each folder.
    """
    folders = {(setting, folder): None}  # in their order, each once
    for settings in every:
        folders["caches_dir", Path(settings.caches_dir)] = None
        if not os.path.lexists(settings.checkpoint_path) and settings.model.random:
            folders["models_dir", Path(settings.models_dir)] = None
    if found := list(filter(None, (why_unwritable(name, place) for name, place in folders))):
        raise SettingError("\n".join(found))


def refuse_current_folder() -> None:
    """Refuses an unusable current folder, before anything else: relative paths start there, and MLflow keeps its name as text.

    Raises:
        SettingError: it is gone, or its name is not UTF-8.
    """
    try:
        here = os.getcwd()  # noqa: PTH109  # a Path would hide what follows
        here.encode()
    except FileNotFoundError as error:
        raise SettingError("the folder that bench was started in is gone. Change to one that is there.") from error
    except UnicodeEncodeError as error:
        raise SettingError(
            f"the folder that bench was started in has a name that is not UTF-8, or the locale is not: {os.fsencode(here)!r}. "
            "Start bench in another folder, or set LC_ALL=C.UTF-8."
        ) from error


def why_unwritable(setting: str, place: Path) -> str | None:
    """Why this place cannot be written, in a sentence; None: it can."""
    shown = f"{setting}={place}"
    try:
        above = _nearest(place)
        if not above.is_dir():
            return f"{shown}: {above} is {'a link that leads nowhere' if above.is_symlink() else 'no folder'}."
        with tempfile.TemporaryFile(dir=above) as file:
            os.posix_fallocate(file.fileno(), 0, OUTPUT_BYTES)
    except ValueError as error:
        return f"{shown}: this is no path: {error}."
    except OSError as error:
        return f"{shown}: {error.strerror or error}: it cannot be written. Choose another folder."
    return None


def _nearest(place: Path) -> Path:
    """The place itself, or the nearest above it that is there, be it a folder or not.

    Raises:
        OSError: a loop of links, a name that is too long, a folder that cannot be looked into.
    """
    try:
        place.stat()
    except FileNotFoundError:
        if place.is_symlink() or place == place.parent:
            return place
        return _nearest(place.parent)
    except NotADirectoryError:
        return _nearest(place.parent)
    return place
