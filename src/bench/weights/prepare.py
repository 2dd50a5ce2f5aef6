"""What a load format needs on disk, made where it is missing and checked where it is there."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.errors import CheckpointError, StartError
from bench.host.measured import Host
from bench.interrupts import deferred, interruptible
from bench.log.failure import reason_in
from bench.log.lines import read_log
from bench.processes.kept import kept
from bench.processes.log_copy import OnLine
from bench.processes.running import how_it_ended
from bench.startup.command import as_environment
from bench.weights import save_sharded_state
from bench.weights.checkpoint import (
    GIB,
    Manifest,
    check_manifest,
    count_elements,
    making,
    read_manifest,
    weight_files,
    write_manifest,
)
from bench.weights.recipes.write import made_from, write_random

LOG = "prepare.log"
STOP_TIMEOUT_S = 30.0
LEAST_OF_MODEL = 0.9  # of its weights, that a cut checkpoint holds
CUTTING_MAX_MODEL_LEN = 256  # tokens; the weights do not depend on it, and a small KV cache starts anywhere


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
        CheckpointError: what is there is not what is needed; says the command that makes the right one.
        StartError: vLLM could not cut the checkpoint; the reason in its own words.
    """
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
    wanted = Manifest(made_from(recipe), {}, None, {})
    found = read_manifest(place)
    known = found.made_from.get(f"random_{recipe.family}", {}) if found else recipe.model_dump()
    changed = [
        f"model.random.{name}={value}" for name, value in recipe if name != "family" and known.get(name) != value
    ]
    command = _command([f"model={settings.model.name}", *changed])
    return _ensure(place, wanted, command, lambda partial: write_random(recipe, partial), remake=remake)


def _must_be_a_folder(path: str) -> bool:
    """A hub id is `name` or `organisation/name`."""
    return not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path)


def _ensure_sharded(settings: Settings, host: Host, folder: Path, on_line: OnLine, *, remake: bool) -> list[Made]:
    source = Path(settings.model.path)
    origin = read_manifest(source)
    came_from: dict[str, Any] = {"model": settings.model.name, "files": weight_files(source)}
    came_from |= origin.made_from if origin else {}
    wanted = Manifest(came_from, {"vllm": host.versions["vllm"]}, settings.tensor_parallel_size, {})

    def cut(partial: Path) -> Manifest:
        _run_vllm(settings, host, partial, folder / LOG, on_line)
        _check_whole(source, partial)
        manifest = Manifest(wanted.made_from, wanted.made_by, wanted.tensor_parallel_size, weight_files(partial))
        write_manifest(partial, manifest)
        return manifest

    model = [f"model={settings.model.name}"] if settings.model.random else ["model=hf", f"model.path={source}"]
    format_and_size = [
        f"load_format={settings.load_format.name}",
        f"tensor_parallel_size={settings.tensor_parallel_size}",
    ]
    command = _command([*model, *format_and_size])
    return _ensure(Path(settings.model.sharded_path), wanted, command, cut, remake=remake)


def _check_whole(source: Path, cut: Path) -> None:
    """Refuse what vLLM's writer left most of the model out of, as it does where weights were packed or moved once they were loaded.

    All ranks' files hold every weight at least once, in whatever type. A few are left out of a load itself: layers for drafting.
    """
    has, should = count_elements(cut), count_elements(source)
    if has is not None and should is not None and has < LEAST_OF_MODEL * should:
        raise CheckpointError(
            f"vLLM wrote {has:,} of {source}'s {should:,} weights, so what it cut is not the model. Here and with these settings "
            "it changes weights while it loads them. Choose one that reads the original: load_format=auto or load_format=runai_streamer."
        )


def _ensure(
    place: Path, wanted: Manifest, command: str, make: Callable[[Path], Manifest], *, remake: bool
) -> list[Made]:
    if place.exists() and not remake:
        check_manifest(place, wanted, command)
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


def _run_vllm(settings: Settings, host: Host, partial: Path, log_path: Path, on_line: OnLine) -> None:
    """vLLM's own writer, in the measured environment."""
    log_path.unlink(missing_ok=True)
    arguments = {
        **{name: value for name, value in host.needs.arguments.items() if name != "enforce_eager"},
        "tensor_parallel_size": settings.tensor_parallel_size,
        "max_model_len": CUTTING_MAX_MODEL_LEN,
    }
    for name in ("dtype", "quantization", "trust_remote_code", "hf_overrides"):  # what decides how the weights look
        if name in settings.vllm.args:
            arguments[name] = settings.vllm.args[name]
    words = [
        host.python,
        save_sharded_state.__file__,
        settings.model.path,
        str(partial.resolve()),
        json.dumps(arguments),
    ]
    environment = {"VLLM_NO_USAGE_STATS": "1", **host.needs.environment, **as_environment(settings.vllm.env)}
    with (
        deferred("vLLM, which cuts a checkpoint, to end"),
        kept(words, environment, log_path=log_path, stop_timeout_s=STOP_TIMEOUT_S, on_line=on_line) as process,
        interruptible(),
    ):
        code = process.wait()
    if code != 0 or not weight_files(partial):
        reason = reason_in(read_log(log_path.read_bytes().splitlines(keepends=True)))
        raise StartError(
            f"vLLM could not cut {settings.model.path} ({how_it_ended(code)}): {reason or f'see {log_path}'}"
        )
