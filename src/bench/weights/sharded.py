"""A checkpoint cut for a tensor-parallel size: each rank's part of every tensor, as vLLM has it before weights are processed.

What it was cut from is known by content, not by path: the content's digest is in the manifest, and in the folder's name
(see bench.compose).
"""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.config import Settings, conf_dir
from bench.errors import CheckpointError, StartError
from bench.host.host import Host
from bench.log.start_log import read_start
from bench.system.interrupts import deferred, interruptible
from bench.system.user_cache import default_cache_dir
from bench.vllm.command import as_environment
from bench.vllm.keeper_reports import how_it_ended
from bench.vllm.log_copy import OnLine
from bench.vllm.process import kept
from bench.weights import save_before_processing
from bench.weights.checkpoint import tensors_in, weight_files
from bench.weights.content import content_digest
from bench.weights.manifest import Manifest, write_manifest

LOG = "prepare.log"
STOP_TIMEOUT_S = 30.0
MAX_MODEL_LEN = 256  # tokens; the weights do not depend on it, and a short context is accepted anywhere
BEFORE_PROCESSING = "before_processing"  # how it was cut, in the manifest
FORMAT = 2  # of the manifest


def required_manifest(settings: Settings, host: Host) -> Manifest:
    """The manifest of a checkpoint that is cut for these settings, without its files and content, which are not known before.

    Raises:
        CheckpointError: the original cannot be read.
    """
    source = Path(settings.model.path)
    made_from: dict[str, Any] = {"arguments": settings.cut_arguments}
    if source.is_dir():
        try:
            made_from["content"] = content_digest(source)
        except OSError as error:
            raise CheckpointError(f"{source} cannot be read: {error}.") from error
    else:
        made_from["hub"] = settings.model.path
    path = str(source.resolve()) if source.is_dir() else settings.model.path
    by, ranks = {"vllm": host.versions["vllm"]}, settings.tensor_parallel_size
    return Manifest(made_from, by, ranks, {}, cut=BEFORE_PROCESSING, format=FORMAT, source_path=path)


def cut(settings: Settings, host: Host, partial: Path, log_path: Path, on_line: OnLine) -> Manifest:
    """Have vLLM cut the original into `partial`, and check that every tensor is there.

    Raises:
        StartError: vLLM could not; the reason in its own words.
        CheckpointError: what it wrote is not whole.
    """
    required = required_manifest(settings, host)
    run_vllm(settings, host, partial, log_path, on_line)
    check_whole(partial, settings.tensor_parallel_size)
    if required_manifest(settings, host).made_from != required.made_from:
        raise CheckpointError(f"{settings.model.path} changed while it was cut. Cut it again when nobody writes to it.")
    manifest = replace(required, files=weight_files(partial), content=content_digest(partial))
    write_manifest(partial, manifest)
    return manifest


def check_whole(folder: Path, ranks: int) -> None:
    """Refuse a cut checkpoint that lacks a tensor of a fresh model, has one more, or has one in another shape or type.

    Raises:
        CheckpointError: names the rank and the first such tensor.
    """
    for rank in range(ranks):
        path = folder / save_before_processing.list_of(rank)
        if not path.exists():
            raise CheckpointError(f"{folder}: rank {rank} of {ranks} has written no list of its tensors ({path.name}).")
        required = {
            name: (dtype, tuple(shape)) for name, (dtype, shape) in json.loads(path.read_text(encoding="utf-8")).items()
        }
        found = tensors_in(sorted(folder.glob(f"model-rank-{rank}-part-*.safetensors")))
        if wrong := sorted(name for name in required.keys() | found.keys() if required.get(name) != found.get(name)):
            name = wrong[0]
            raise CheckpointError(
                f"{folder}: of rank {rank}'s {len(required)} tensors {len(wrong)} are not as in a fresh model, among them {name}: "
                f"{_in_words(found.get(name))} where {_in_words(required.get(name))} is needed."
            )


def _in_words(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return "nothing" if tensor is None else f"{tensor[0]} {list(tensor[1])}"


def command_arguments(settings: Settings) -> list[str]:
    """The settings that make this checkpoint, as they are typed."""
    words = random_arguments(settings) if settings.model.random else ["model=hf", f"model.path={settings.model.path}"]
    words += [f"load_format={settings.load_format.name}", f"tensor_parallel_size={settings.tensor_parallel_size}"]
    for name, value in settings.cut_arguments.items():
        words.append(f"vllm.args.{name}={value if isinstance(value, str) else json.dumps(value)}")
    if not settings.model.random:
        words += _models_dir(settings)
    if Path(settings.checkpoint_path).parent != Path(settings.models_dir):
        words.append(f"model.sharded_path={settings.checkpoint_path}")
    return [shlex.quote(word) for word in words]


def random_arguments(settings: Settings) -> list[str]:
    """The settings that make this random model in its place, as they are typed but for quotes."""
    model = settings.model
    is_own = Path(model.path) == Path(settings.models_dir) / model.name
    place = [] if is_own else [f"model.path={model.path}"]
    return [f"model={model.name}", *_changed(settings), *place, *_models_dir(settings)]


def _models_dir(settings: Settings) -> list[str]:
    is_default = Path(settings.models_dir) == default_cache_dir() / "models"
    return [] if is_default else [f"models_dir={settings.models_dir}"]


def _changed(settings: Settings) -> list[str]:
    """What was typed of a random model's recipe: all that is not as in conf/."""
    path = Path(conf_dir()) / "model" / f"{settings.model.name}.yaml"
    known = OmegaConf.select(OmegaConf.load(path), "random") or {} if path.exists() else {}
    return [f"model.random.{name}={value}" for name, value in settings.model.random or () if known.get(name) != value]


def run_vllm(settings: Settings, host: Host, partial: Path, log_path: Path, on_line: OnLine) -> None:
    """Every worker writes its state, in the measured environment."""
    arguments = {
        **{name: value for name, value in host.needs.arguments.items() if name != "enforce_eager"},
        **settings.cut_arguments,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "max_model_len": MAX_MODEL_LEN,
    }
    script = save_before_processing.__file__
    words = [host.python, script, settings.model.path, str(partial.resolve()), json.dumps(arguments)]
    environment = {"VLLM_NO_USAGE_STATS": "1", **host.needs.environment, **as_environment(settings.vllm.env)}
    with (
        deferred("vLLM, which cuts a checkpoint, to end"),
        kept(words, environment, log_path=log_path, stop_timeout_s=STOP_TIMEOUT_S, on_line=on_line) as process,
        interruptible(),
    ):
        code = process.wait()
    if code != 0:
        reason = read_start(log_path.read_bytes().splitlines(keepends=True)).reason
        raise StartError(
            f"vLLM could not cut {settings.model.path} ({how_it_ended(code)}): {reason or f'see {log_path}'}"
        )
