"""The manifest of a checkpoint that was made here: what it was made from, and whether it is the one that is needed.

A checkpoint made here is written to a hidden folder beside its place and moved there whole, its manifest in it. So a
folder without a manifest was never finished here, and a finished one records what it was made from.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

from bench.errors import CheckpointError, OwnershipError
from bench.system.ownership import MARKER, is_real_folder, mark, marker_of, remove_marked, was_left_behind
from bench.weights.checkpoint import WEIGHT_PATTERNS, weight_files
from bench.weights.content import content_digest

MANIFEST = "bench_manifest.json"
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
    # How: before or (None) after weights are processed for a kernel; nothing where it is not cut.
    cut: str | None = None
    format: int = 1  # of this manifest
    source_path: str | None = None  # where the original lay when it was cut


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


def foreign_manifest(folder: Path) -> list[str]:
    """That a folder's manifest describes other files, in a sentence: one of the two was copied there without the other. Empty: it does not.

    Of a checkpoint that bench makes it is an error, see `check_manifest`; of the user's own nothing is taken from the manifest.
    """
    try:
        found, on_disk = read_manifest(folder), weight_files(folder)
        if found is None or (on_disk == found.files and found.content in {None, content_digest(folder)}):
            return []
    except (CheckpointError, OSError) as error:
        return [f"whether {folder / MANIFEST} describes the files beside it is unknown: {error}"]
    changed = sorted(set(on_disk.items()) ^ set(found.files.items()))
    what = changed[0][0] if changed else "what the files contain, at equal sizes"
    return [
        f"{folder / MANIFEST} describes other files than those beside it: {what} differs; the files count, not the manifest"
    ]


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
    return any(fnmatchcase(name, pattern) for pattern in (*WEIGHT_PATTERNS, *BESIDE_WEIGHTS))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a checkpoint: all others are on the disk before it."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True), encoding="utf-8")
