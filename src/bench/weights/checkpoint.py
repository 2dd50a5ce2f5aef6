"""Checkpoints on disk: which of their files a load format reads, with their bytes and tensors."""

import glob
import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.weights.hub import checkpoint_folder, folders_in_caches, is_remote, quantisation_of, reads_hub

INDEX = "model.safetensors.index.json"
WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.pt")  # in vLLM's order of preference
# Of a repository, by quantisation; vLLM's download_gguf.
GGUF = ("*-{}.gguf", "*-{}-*.gguf", "*/*-{}.gguf", "*/*-{}-*.gguf")
GIB = 1024**3
BLOCK_BYTES = 512  # of st_blocks, on every file system; see stat(2)


def weight_files(folder: Path) -> dict[str, int]:
    """All files of weights of the first kind that is there, with their bytes. Links are followed, each inode counts once."""
    return sizes(_weight_files(folder))


def _weight_files(folder: Path) -> list[Path]:
    return next(filter(None, (_unique(folder.glob(pattern)) for pattern in WEIGHT_PATTERNS)), [])


def paths_read(settings: Settings) -> list[Path]:
    """The files that this load format reads of its checkpoint; none where it reads none, or where they are not on this host.

    As vLLM 0.32 chooses them. Source: _prepare_weights in vllm/model_executor/model_loader/default_loader.py and
    runai_streamer_loader.py; filter_duplicate_safetensors_files in weight_utils.py; tensorizer.py

    Raises:
        CheckpointError: a link or an index names a file that is not there.
    """
    layout, place = settings.load_format.checkpoint, checkpoint_folder(settings)
    if layout == "serialized":
        return _unique(path for path in serialized_files(settings) if path.is_file())
    if layout == "config_only" or place is None:
        return []
    if place.is_file():  # of GGUF
        return _unique(_parts_of(place))
    return _read_of_folder(settings, place) if place.is_dir() else []


def _read_of_folder(settings: Settings, folder: Path) -> list[Path]:
    if settings.load_format.checkpoint == "sharded":
        pattern = settings.load_format.extra.get("pattern") or "model-rank-{rank}-part-{part}.safetensors"
        return _unique(folder.glob(re.sub(r"\{\w+\}", "*", pattern))) or _weight_files(folder)
    if quantised := quantisation_of(settings.model.path) if reads_hub(settings) else None:
        return _unique({path for pattern in GGUF for path in folder.glob(pattern.format(quantised))})
    try:
        return _read_of_original(folder, settings.load_format.name)
    except CheckpointError:
        if reads_hub(settings):  # its download has not ended
            return []
        raise


def _parts_of(file: Path) -> Iterable[Path]:
    """All files of which a file's name says that it is one of several; else the file."""
    found = re.fullmatch(r"(.*)-\d+(-of-\d+\.gguf)", file.name)
    return file.parent.glob(f"{glob.escape(found[1])}-*{found[2]}") if found else [file]


def serialized_files(settings: Settings) -> list[Path]:
    """Tensorizer's file, one for each rank where its name has the rank's number in it, there or not. None where it lies in a bucket."""
    extra = settings.load_format.extra
    uri = (
        extra.get("tensorizer_uri") or f"{extra.get('tensorizer_dir') or settings.model.path.rstrip('/')}/model.tensors"
    )
    if "://" in uri:
        return []
    ranks = range(settings.tensor_parallel_size)
    return [Path(re.sub(r"%0(\d)d", lambda width: f"{rank:0{width[1]}}", uri)) for rank in ranks]  # noqa: B023


def is_here(settings: Settings) -> bool:
    """Whether all files that this load format reads of a hub are on this host, by their index or the numbers in their names."""
    names = [path.name for path in paths_read(settings)]
    totals = {int(number[1]) for name in names if (number := re.search(r"-of-(\d+)\.", name))}
    return bool(names) and all(len(names) >= total for total in totals)


def refuse_holes(paths: Iterable[Path]) -> None:
    """Refuse files of weights whose size is not all on the disk: a hole is read as zeros, and without reading.

    Fewer blocks than the size takes are a hole where the file system locates one: others compress, or report no blocks.

    Raises:
        CheckpointError: names the file, its size and what of it is there.
    """
    for path in paths:
        stat = path.stat()
        stored = stat.st_blocks * BLOCK_BYTES
        if stored < stat.st_size and (hole := first_hole(path)) is not None:
            raise CheckpointError(
                f"{path} has a hole at byte {hole}: of its {stat.st_size} bytes {stored} are on the disk, and the rest would be read as zeros "
                "in no time. Copy or download the checkpoint again: cp --sparse=never, rsync without --sparse."
            )


def first_hole(path: Path) -> int | None:
    """Where it begins, in bytes. None: there is none, or this file system does not locate holes."""
    with path.open("rb") as file:
        try:
            hole = os.lseek(file.fileno(), 0, os.SEEK_HOLE)
        except OSError:
            return None
        return hole if hole < os.fstat(file.fileno()).st_size else None


def place_of(settings: Settings) -> Path | None:
    """Where the weights that this load format reads are stored, or will be: the first of its files, every link followed, else a folder.
    None: in an object store.
    """
    if is_remote(settings.checkpoint_path):
        return None
    with suppress(CheckpointError):
        if paths := paths_read(settings):
            return paths[0].resolve()
    return checkpoint_folder(settings) or folders_in_caches(settings)[0]


def _read_of_original(folder: Path, load_format: str) -> list[Path]:
    match load_format:
        case "runai_streamer":
            return _unique(folder.glob("*.safetensors"))  # the index does not count here
        case "pt":
            return _unique(folder.glob("*.pt"))
        case "npcache":
            return _unique(folder.glob("*.bin"))
        case "auto" | "mistral" if load_format == "mistral" or any(folder.rglob("consolidated*.safetensors")):
            # Mistral's layout.
            return _indexed(folder, "consolidated*.safetensors", "consolidated.safetensors.index.json")
        case _:
            return _indexed(folder, "*.safetensors", INDEX) or _weight_files(folder)


def _indexed(folder: Path, pattern: str, index: str) -> list[Path]:
    """Of the files of a pattern those that the index names; all where there is no index."""
    paths = sorted(folder.glob(pattern))
    if not paths or not (folder / index).is_file():
        return _unique(paths)
    try:
        named = set(json.loads((folder / index).read_bytes())["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{folder / index} is no index of weights: {type(error).__name__}: {error}.") from error
    if missing := sorted(named - {path.name for path in paths}):
        raise CheckpointError(f"{folder / index} names {missing[0]}, which is not there: the checkpoint is not whole.")
    return _unique(path for path in paths if path.name in named)


def _unique(paths: Iterable[Path]) -> list[Path]:
    """Each inode once, by its first name."""
    by_inode: dict[tuple[int, int], Path] = {}
    for path in sorted(paths):
        if not path.exists():
            raise CheckpointError(f"{path} is a link to a file that is not there: the checkpoint is not whole.")
        stat = path.stat()
        by_inode.setdefault((stat.st_dev, stat.st_ino), path)
    return list(by_inode.values())


def sizes(paths: Iterable[Path]) -> dict[str, int]:
    """Bytes by name."""
    return {path.name: path.stat().st_size for path in paths}


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
    """Unique bytes of the weights that this load format reads. None: it reads none that are on this host."""
    return sum(sizes(paths_read(settings)).values()) / GIB or None
