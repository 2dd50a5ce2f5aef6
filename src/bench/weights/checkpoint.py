"""Checkpoints on disk: their files and bytes, and the manifest of those that were made here.

A checkpoint made here is written to a hidden folder beside its place and moved there whole, its manifest in it. So a
folder without a manifest was never finished here, and a finished one records what it was made from.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.errors import CheckpointError, OwnershipError
from bench.system.ownership import MARKER, is_real_folder, mark, marker_of, remove_marked, was_left_behind
from bench.weights.content import content_digest

MANIFEST = "bench_manifest.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt")  # in vLLM's order of preference
GIB = 1024**3
# Config and tokenizer, as they are called in checkpoints that bench made before it wrote down which files are its own.
BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "*.py", "*.tiktoken", "merges.txt", "vocab.txt", "README.md")


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint was made from, by what, and what it consists of."""

    made_from: dict[str, Any]  # the recipe of random weights; the source's path, files and sizes of a pre-sharded one
    made_by: dict[str, str]  # versions
    tensor_parallel_size: int | None  # None: not cut for any
    files: dict[str, int]  # bytes, by name
    content: str | None = None  # content_digest of the finished folder; None: made before it was taken
    cut: str | None = (
        None  # how: before or (None) after weights are processed for a kernel; nothing where it is not cut
    )
    format: int = 1  # of this manifest
    source_path: str | None = None  # where the original lay when it was cut


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


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None: it has none."""
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / MANIFEST} cannot be read: {error}. Remove {folder} and prepare it again."
        ) from error


def check_manifest(folder: Path, required: Manifest, command: str) -> None:
    """Refuse a checkpoint that is not the required one, or whose files were changed since they were written.

    Of `required`, the files do not count: they are compared with the disk.

    Raises:
        CheckpointError: names the difference, and the command that makes the required one.
    """
    found = read_manifest(folder)
    if found is None:
        raise _refusal(folder, f"it has no {MANIFEST}, so it is unfinished or was not made by bench", command)
    if (found.cut, found.format) != (required.cut, required.format) and required.cut is not None:
        how = "an earlier bench has cut it after its weights were processed for a kernel"
        raise _refusal(folder, how if found.cut is None else f"it was cut {found.cut}, format {found.format}", command)
    for name in ("tensor_parallel_size", "made_from", "made_by"):
        was, should = getattr(found, name), getattr(required, name)
        if was != should:
            raise _refusal(folder, f"{name}: {_shortest_difference(was, should)}", command)
    if (on_disk := weight_files(folder)) != found.files:
        changed = sorted(set(on_disk.items()) ^ set(found.files.items()))
        raise _refusal(folder, f"its files changed since they were written, among them {changed[0][0]}", command)
    if found.content is not None and found.content != content_digest(folder):
        raise _refusal(folder, "what its files contain changed since they were written, at equal sizes", command)


def _shortest_difference(was: Any, should: Any) -> str:
    if isinstance(was, dict) and isinstance(should, dict):
        key = next(
            key for key in sorted(was.keys() | should.keys()) if was.get(key, MISSING) != should.get(key, MISSING)
        )
        inner = _shortest_difference(was.get(key, MISSING), should.get(key, MISSING))
        return f"{key}: {inner}"
    return f"{was!r} where {should!r} is needed"


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def _refusal(folder: Path, why: str, command: str) -> CheckpointError:
    return CheckpointError(f"{folder} is not the checkpoint that is needed: {why}.\nMake it:  {command}")


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """A hidden folder to write a checkpoint into; moved to its place when the block ends normally, removed when it raises.

    What an earlier, killed preparation left behind is removed too; not what one writes that may still run.

    Raises:
        OwnershipError: files that bench did not write lie in the checkpoint that would be replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    refuse_foreign_files(folder)
    for ending in ("partial", "replaced"):
        for left in folder.parent.glob(f".{escape(folder.name)}.????????.{ending}"):
            if was_left_behind(left):
                remove_marked(left)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    mark(partial, "a checkpoint that is being made")
    try:
        yield partial
        mark(partial, "a checkpoint", sorted({path.name for path in partial.iterdir()} | {MARKER}))
        _put(partial, folder)
    finally:
        if partial.exists():
            remove_marked(partial)


def _put(partial: Path, folder: Path) -> None:
    """To its place. The checkpoint that lies there goes only when the new one is there."""
    refuse_foreign_files(folder)
    if not folder.exists() or not any(folder.iterdir()):
        partial.rename(folder)
        return
    if marker_of(folder) is None:
        mark(folder, "a checkpoint of an earlier bench")  # it has a manifest
    replaced = partial.with_suffix(".replaced")
    folder.rename(replaced)
    try:
        partial.rename(folder)
    except OSError:
        replaced.rename(folder)
        raise
    remove_marked(replaced)


def refuse_foreign_files(folder: Path) -> None:
    """Refuse to replace a checkpoint in which something lies that bench did not write.

    Raises:
        OwnershipError: names it.
    """
    if not os.path.lexists(folder):
        return
    if not is_real_folder(folder):
        raise OwnershipError(
            f"{folder} is a link or a file, and bench replaces neither. Remove it, or choose another place."
        )
    names = {path.name for path in folder.iterdir()}
    marker = marker_of(folder)
    if marker is None or marker.get("files") is None:  # by an earlier bench, or not by bench
        own = {name for name in names if _written_by_earlier_bench(name)} if read_manifest(folder) else set()
    else:
        own = set(marker["files"])
    if foreign := sorted(names - own):
        raise OwnershipError(
            f"{folder} is not replaced: bench did not write {foreign[0]!r} in it. Move that away, or choose another place."
        )


def _written_by_earlier_bench(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in (*WEIGHTS, *BESIDE_WEIGHTS))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a checkpoint: all others are on the disk before it."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True), encoding="utf-8")
