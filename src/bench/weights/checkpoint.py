"""Checkpoints on disk: their files and bytes, and the manifest of those that were made here.

A checkpoint made here is written to a hidden folder beside its place and moved there whole, its manifest in it. So a
folder without a manifest was never finished here, and a finished one says what it was made from.
"""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.errors import CheckpointError

MANIFEST = "bench_manifest.json"
WEIGHTS = ("*.safetensors", "*.bin", "*.pt")  # in vLLM's order of preference
GIB = 1024**3


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint was made from, by what, and what it consists of."""

    made_from: dict[str, Any]  # the recipe of random weights; the source's path, files and sizes of a pre-sharded one
    made_by: dict[str, str]  # versions
    tensor_parallel_size: int | None  # None: not cut for any
    files: dict[str, int]  # bytes, by name


def weight_files(folder: Path) -> dict[str, int]:
    """The files a loader reads, with their bytes: the first kind that is there. Links are followed, each inode counts once."""
    for pattern in WEIGHTS:
        paths = sorted(folder.glob(pattern), reverse=True)
        if dangling := [path for path in paths if not path.exists()]:
            raise CheckpointError(f"{dangling[0]} is a link to a file that is not there: the checkpoint is not whole.")
        by_inode = {path.stat().st_ino: path for path in paths}
        if by_inode:
            return {path.name: path.stat().st_size for path in sorted(by_inode.values())}
    return {}


def count_elements(folder: Path) -> int | None:
    """Of all tensors in its safetensors files. None: it has no such file, or one whose header cannot be read."""
    from safetensors import SafetensorError, safe_open

    count, paths = 0, list(folder.glob("*.safetensors"))
    for path in paths:
        try:
            with safe_open(path, framework="numpy") as file:
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  # no dict
        except SafetensorError:
            return None
    return count if paths else None


def size_gib(settings: Settings) -> float | None:
    """Unique bytes of the weights that this load format reads. None: it reads none that are seen here, or they lie in a hub."""
    folder = Path(settings.checkpoint_path)
    if settings.load_format.checkpoint == "config_only" or not folder.is_dir():
        return None
    return sum(weight_files(folder).values()) / GIB or None


def read_manifest(folder: Path) -> Manifest | None:
    """What the folder says of itself; None where it says nothing."""
    try:
        return Manifest(**json.loads((folder / MANIFEST).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder / MANIFEST} cannot be read: {error}. Remove {folder} and prepare it again."
        ) from error


def check_manifest(folder: Path, wanted: Manifest, command: str) -> None:
    """Refuse a checkpoint that is not the wanted one, or whose files are no longer those that were written.

    Of `wanted`, the files do not count: they are compared with the disk.

    Raises:
        CheckpointError: says what differs, and the command that makes the right one.
    """
    found = read_manifest(folder)
    if found is None:
        raise _refusal(folder, f"it has no {MANIFEST}, so it is unfinished or was not made by bench", command)
    for name in ("tensor_parallel_size", "made_from", "made_by"):
        was, should = getattr(found, name), getattr(wanted, name)
        if was != should:
            raise _refusal(folder, f"{name}: {_shortest_difference(was, should)}", command)
    if (on_disk := weight_files(folder)) != found.files:
        changed = sorted(set(on_disk.items()) ^ set(found.files.items()))
        raise _refusal(folder, f"its files changed since they were written, among them {changed[0][0]}", command)


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
    """A hidden folder to write a checkpoint into; moved to its place when the block ends well, removed when not.

    What an earlier, killed preparation left behind is removed too.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.????????.partial"):
        shutil.rmtree(left, ignore_errors=True)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a checkpoint: all others are on the disk before it."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True))
