"""Checkpoints on disk: which of their files a load format reads, with their bytes and tensors."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError

INDEX = "model.safetensors.index.json"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt")  # in vLLM's order of preference
GIB = 1024**3


def weight_files(folder: Path) -> dict[str, int]:
    """All files of weights of the first kind that is there, with their bytes. Links are followed, each inode counts once."""
    return next(filter(None, (_sizes(sorted(folder.glob(pattern))) for pattern in WEIGHTS)), {})


def files_read(settings: Settings) -> dict[str, int]:
    """The files that this load format reads of its checkpoint, with their bytes; nothing where it reads none, or in a hub.

    As vLLM 0.32 chooses them. Source: _prepare_weights in vllm/model_executor/model_loader/default_loader.py and
    runai_streamer_loader.py; filter_duplicate_safetensors_files in weight_utils.py

    Raises:
        CheckpointError: a link or an index names a file that is not there.
    """
    folder = Path(settings.checkpoint_path)
    if settings.load_format.checkpoint == "config_only" or not folder.is_dir():
        return {}
    if settings.load_format.checkpoint == "sharded":
        pattern = settings.load_format.extra.get("pattern") or "model-rank-{rank}-part-{part}.safetensors"
        return _sizes(sorted(folder.glob(re.sub(r"\{\w+\}", "*", pattern)))) or weight_files(folder)
    return _read_of_original(folder, settings.load_format.name)


def _read_of_original(folder: Path, load_format: str) -> dict[str, int]:
    match load_format:
        case "runai_streamer":
            return _sizes(sorted(folder.glob("*.safetensors")))  # the index does not count here
        case "pt":
            return _sizes(sorted(folder.glob("*.pt")))
        case "npcache":
            return _sizes(sorted(folder.glob("*.bin")))
        case "auto" | "mistral" if load_format == "mistral" or any(folder.rglob("consolidated*.safetensors")):
            return _indexed(
                folder, "consolidated*.safetensors", "consolidated.safetensors.index.json"
            )  # Mistral's layout
        case _:
            return _indexed(folder, "*.safetensors", INDEX) or weight_files(folder)


def _indexed(folder: Path, pattern: str, index: str) -> dict[str, int]:
    """Of the files of a pattern those that the index names; all where there is no index."""
    paths = sorted(folder.glob(pattern))
    if not paths or not (folder / index).is_file():
        return _sizes(paths)
    try:
        named = set(json.loads((folder / index).read_bytes())["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{folder / index} is no index of weights: {type(error).__name__}: {error}.") from error
    if missing := sorted(named - {path.name for path in paths}):
        raise CheckpointError(f"{folder / index} names {missing[0]}, which is not there: the checkpoint is not whole.")
    return _sizes([path for path in paths if path.name in named])


def _sizes(paths: Sequence[Path]) -> dict[str, int]:
    """Bytes by name, each inode once, by its first name."""
    if dangling := [path for path in paths if not path.exists()]:
        raise CheckpointError(f"{dangling[0]} is a link to a file that is not there: the checkpoint is not whole.")
    by_inode: dict[tuple[int, int], Path] = {}
    for path in paths:
        stat = path.stat()
        by_inode.setdefault((stat.st_dev, stat.st_ino), path)
    return {path.name: path.stat().st_size for path in by_inode.values()}


def tensors_in(paths: Sequence[Path]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor, by name, from the headers of safetensors files.

    Raises:
        CheckpointError: a file is no safetensors file, is cut off, or has a tensor that another has too.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no dict
                tensors = {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}.") from error
        if twice := sorted(found.keys() & tensors.keys()):
            raise CheckpointError(f"{path} has {twice[0]}, which another file of its rank has too.")
        found |= tensors
    return found


def size_gib(settings: Settings) -> float | None:
    """Unique bytes of the weights that this load format reads. None: it reads no local files, or they are in a hub."""
    return sum(files_read(settings).values()) / GIB or None
