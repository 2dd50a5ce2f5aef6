"""What a load format needs on disk, made where it is missing and checked where it is there."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.host import Host
from bench.vllm.log_copy import OnLine
from bench.weights.checkpoint import GIB, Manifest, check_manifest, making, read_manifest
from bench.weights.recipes.write import made_from, write_random
from bench.weights.sharded import LOG, command_arguments, cut, required_manifest
from bench.weights.space import needs_of, refuse_without_space


@dataclass(frozen=True)
class Made:
    """A checkpoint that was made just now."""

    folder: Path
    manifest: Manifest
    duration_s: float

    @property
    def size_gib(self) -> float:
        return sum(self.manifest.files.values()) / GIB


def ensure_checkpoint(
    settings: Settings, host: Host, folder: Path, on_line: OnLine, *, remake: bool = False
) -> list[Made]:
    """Everything that a start with these settings reads: made if missing, checked if there. Returns what was made.

    The log of a vLLM that had to run for it goes to `folder`.

    Raises:
        CheckpointError: the existing one is not the required one; names the command that makes it. Or a disk has too little space.
        StartError: vLLM could not cut the checkpoint; with the reason from its log.
    """
    refuse_without_space(needs_of(settings, folder, remake=remake))
    sharded = settings.load_format.checkpoint == "sharded"
    made = _ensure_original(settings, remake=remake and not sharded)
    if sharded:
        made += _ensure_sharded(settings, host, folder, on_line, remake=remake)
    return made


def _ensure_original(settings: Settings, *, remake: bool) -> list[Made]:
    place, recipe = Path(settings.model.path), settings.model.random
    if recipe is None:
        if not place.exists() and _must_be_a_folder(settings.model.path):
            raise CheckpointError(
                f"model.path={settings.model.path}: there is no such folder, and it cannot be a hub id."
            )
        return []
    required = Manifest(made_from(recipe), {}, None, {})
    found = read_manifest(place)
    known = found.made_from.get(f"random_{recipe.family}", {}) if found else recipe.model_dump()
    changed = [
        f"model.random.{name}={value}" for name, value in recipe if name != "family" and known.get(name) != value
    ]
    command = _command([f"model={settings.model.name}", *changed])
    return _ensure(place, required, command, lambda partial: write_random(recipe, partial), remake=remake)


def _must_be_a_folder(path: str) -> bool:
    """A hub id is `name` or `organisation/name`."""
    return not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path)


def _ensure_sharded(settings: Settings, host: Host, folder: Path, on_line: OnLine, *, remake: bool) -> list[Made]:
    def make(partial: Path) -> Manifest:
        return cut(settings, host, partial, folder / LOG, on_line)

    command = _command(command_arguments(settings))
    return _ensure(Path(settings.checkpoint_path), required_manifest(settings, host), command, make, remake=remake)


def _ensure(
    place: Path, required: Manifest, command: str, make: Callable[[Path], Manifest], *, remake: bool
) -> list[Made]:
    if place.exists() and not remake:
        check_manifest(place, required, command)
        return []
    if place.exists() and any(place.iterdir()) and read_manifest(place) is None:
        raise CheckpointError(
            f"{place} was not made by bench, so it is not overwritten. Move it away, or choose another place."
        )
    began_s = time.monotonic()
    with making(place) as partial:
        manifest = make(partial)
    return [Made(place, manifest, time.monotonic() - began_s)]


def _command(words: list[str]) -> str:
    return f"python -m bench.prepare {' '.join(words)} remake=true"
