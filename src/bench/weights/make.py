"""What a load format needs on disk, made where it is missing and checked where it is there."""

import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.host import Host
from bench.vllm.log_copy import OnLine
from bench.weights.checkpoint import GIB, is_here, paths_read, refuse_holes, serialized_files
from bench.weights.hub import could_be_hub_id, is_remote, reads_hub
from bench.weights.manifest import Manifest, check_manifest, making, read_manifest
from bench.weights.recipes.write import made_from, write_random
from bench.weights.sharded import LOG, command_arguments, cut, random_arguments, required_manifest
from bench.weights.space import needs_of, refuse_without_space

# In which vLLM knows no model, and what was meant: a folder, or a hub id.
ADDRESS = re.compile(r"file://(?P<folder>/.*)|(?:https?://[^/]*/?|hf://)(?P<hub>[^/?#]+/[^/?#]+)?")


@dataclass(frozen=True)
class Made:
    """A checkpoint that was made just now."""

    folder: Path
    manifest: Manifest
    duration_s: float

    @property
    def size_gib(self) -> float:
        return sum(self.manifest.files.values()) / GIB


@dataclass(frozen=True)
class Wanted:
    """A checkpoint that a start reads, and how it is made."""

    place: Path
    required: Manifest
    command: str  # that makes it
    make: Callable[[Path], Manifest]
    remake: bool

    def is_there(self) -> bool:
        """Whether it need not be made.

        Raises:
            CheckpointError: something else lies in its place.
        """
        if not self.place.exists():
            return False
        if not self.remake:
            check_manifest(self.place, self.required, self.command)
            return True
        if any(self.place.iterdir()) and read_manifest(self.place) is None:
            raise CheckpointError(
                f"{self.place} was not made by bench, so it is not overwritten. Move it away, or choose another place."
            )
        return False

    def made(self) -> Made:
        began_s = time.monotonic()
        with making(self.place) as partial:
            manifest = self.make(partial)
        return Made(self.place, manifest, time.monotonic() - began_s)


def ensure_checkpoint(
    settings: Settings, host: Host, folder: Path, on_line: OnLine, *, remake: bool = False
) -> list[Made]:
    """Everything that a start with these settings reads: made if missing, checked if there. Returns what was made.

    The log of a vLLM that had to run for it goes to `folder`. `remake`: the one that the start reads itself is made anew.

    Raises:
        CheckpointError: the existing one is not the required one; names the command that makes it. Or a disk has too little space.
        StartError: vLLM could not cut the checkpoint; with the reason from its log.
    """
    refuse_without_space(needs_of(settings, folder, remake=remake))
    every = wanted(settings, host, folder, on_line, remake=remake)
    made = [each.made() for each in every if not each.is_there()]
    refuse_part(settings)
    return made


def refuse_checkpoint(settings: Settings, host: Host, *, remake: bool = False) -> None:
    """What `ensure_checkpoint` would refuse, as far as it is known before anything is made.

    Raises:
        CheckpointError: an existing one is not the required one; names the command that makes it.
    """
    every = wanted(settings, host, Path(), lambda *_: None, remake=remake)
    while (each := next(every, None)) and each.is_there():
        pass
    if each is None:
        refuse_part(settings)


def refuse_part(settings: Settings) -> None:
    """Refuse a checkpoint of which a part is missing: a file, or what a hole stands for. One in a hub may still be downloaded.

    Raises:
        CheckpointError: names the file.
    """
    is_serialized = settings.load_format.checkpoint == "serialized" and not settings.vllm.command
    files = serialized_files(settings) if is_serialized else []
    if missing := [path for path in files if not path.is_file()]:
        raise CheckpointError(f"load_format.extra.tensorizer_uri: there is no file {missing[0]}.")
    if not reads_hub(settings) or is_here(settings):
        refuse_holes(paths_read(settings))


def wanted(settings: Settings, host: Host, folder: Path, on_line: OnLine, *, remake: bool) -> Iterator[Wanted]:
    """The original, if bench makes it, then the one that is cut from it: what that must be is known when the original is there.
    `remake` is for the last.
    """
    refuse_place(settings)
    if is_remote(settings.checkpoint_path):
        return
    place, recipe, is_cut = (
        Path(settings.model.path),
        settings.model.random,
        settings.load_format.checkpoint == "sharded",
    )
    if recipe:
        command = _command(map(shlex.quote, random_arguments(settings)))
        required, make = Manifest(made_from(recipe), {}, None, {}), partial(write_random, recipe)
        yield Wanted(place, required, command, make, remake=remake and not is_cut)
    elif is_remote(settings.model.path):
        raise CheckpointError(
            f"model.path={settings.model.path}: only files of this host can be cut. Set model.sharded_path to a checkpoint that is cut already."
        )
    if is_cut:
        make = partial(cut, settings, host, log_path=folder / LOG, on_line=on_line)
        command = _command(command_arguments(settings))
        if settings.vllm.command and (remake or not Path(settings.checkpoint_path).exists()):
            raise CheckpointError(
                f"{settings.checkpoint_path} is not there, and bench cuts no checkpoint behind vllm.command. Cut it by a vLLM on this host: {command}."
            )
        yield Wanted(Path(settings.checkpoint_path), required_manifest(settings, host), command, make, remake=remake)


def refuse_place(settings: Settings) -> None:
    """Refuse a `model.path` that is nothing vLLM loads a model from, and one at which nobody expects random weights. What a container has of
    its own is not known here.

    Raises:
        CheckpointError: says what it is, and what is expected.
    """
    path = settings.model.path
    place, setting = Path(path), f"model.path={path}"
    if settings.model.random:
        _refuse_random_weights_at(place, settings)
        return
    if found := ADDRESS.match(path):
        typed = found["folder"] or found["hub"] or "organisation/name"
        raise CheckpointError(f"{setting}: vLLM loads no model from such an address. Type model.path={typed}")
    if place.is_file() and place.suffix != ".gguf" and not _is_gguf(place):
        raise CheckpointError(
            f"{setting}: this is a file, and none of GGUF. Expected the folder of a checkpoint, a hub id or a GGUF file."
        )
    is_known = place.exists() or is_remote(path) or could_be_hub_id(path)
    if not is_known and not (settings.vllm.command and place.is_absolute()):
        shell = " ~ and $NAME are the shell's, outside of single quotes." if path.startswith(("~", "$")) else ""
        raise CheckpointError(f"{setting}: there is no such file or folder, and it cannot be a hub id.{shell}")


def _refuse_random_weights_at(place: Path, settings: Settings) -> None:
    """Random weights in a folder called as a model of a hub, or in a user's own, would be believed to be that model's."""
    is_below = os.path.abspath(place).startswith(os.path.join(os.path.abspath(settings.models_dir), ""))  # noqa: PTH100, PTH118  # resolves `..`, and no link
    if is_below or read_manifest(place) is not None:
        return
    path, name = settings.model.path, settings.model.name
    raise CheckpointError(
        f"model.path={path}: model={name} has random weights, which are made below models_dir={settings.models_dir}. "
        f"For a checkpoint of your own, or a hub id, type model=hf model.path={path}"
    )


def _is_gguf(file: Path) -> bool:
    with suppress(OSError), file.open("rb") as opened:
        return opened.read(4) == b"GGUF"
    return False


def _command(words: Iterable[str]) -> str:
    return f"python -m bench.prepare {' '.join(words)} remake=true"
