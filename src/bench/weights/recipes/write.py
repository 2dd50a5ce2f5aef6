"""A recipe -> a checkpoint: config, tokenizer and safetensors files, written in pieces by as many threads as there are CPUs.

Nothing larger than a few pieces of 8 MiB a thread is ever in memory. Writing from many threads and drawing let go of the
interpreter's lock, so that the disk is the limit.

Source: https://github.com/huggingface/safetensors#format
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from bench.config import RandomRecipe
from bench.weights.checkpoint import GIB, weight_files
from bench.weights.content import content_digest
from bench.weights.manifest import Manifest, write_manifest
from bench.weights.recipes import gpt_oss, llama
from bench.weights.recipes.tensor import ITEM_BYTES, Draw, Tensor, pieces
from bench.weights.recipes.tokenizer import tokenizer, tokenizer_config

FAMILIES: dict[str, ModuleType] = {"llama": llama, "gpt_oss": gpt_oss}
THREADS_AT_MOST = 16
ALIGNMENT = 8  # of a safetensors file's data, in bytes


def write_random(recipe: RandomRecipe, folder: Path) -> Manifest:
    """Write the whole checkpoint. The manifest's `made_from` is the recipe: equal recipes are equal bytes."""
    (folder / "config.json").write_text(json.dumps(FAMILIES[recipe.family].config(recipe), indent=2), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(recipe.vocab_size)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(recipe.max_positions)), encoding="utf-8")
    write_weights(recipe, folder)
    manifest = Manifest(made_from(recipe), {}, None, weight_files(folder), content=content_digest(folder))
    write_manifest(folder, manifest)
    return manifest


def made_from(recipe: RandomRecipe) -> dict[str, Any]:
    """The recipe, as a manifest holds it."""
    return {f"random_{recipe.family}": recipe.model_dump(exclude={"family"})}


def tensors_of(recipe: RandomRecipe) -> Iterator[Tensor]:
    """Every tensor, in the order of its files."""
    found: Iterator[Tensor] = FAMILIES[recipe.family].tensors(recipe)
    return found


def size_bytes(recipe: RandomRecipe) -> int:
    """Of all tensors together."""
    return sum(tensor.size_bytes for tensor in tensors_of(recipe))


def files_of(recipe: RandomRecipe) -> list[list[Tensor]]:
    """The tensors of each file: a file is closed before it grows beyond shard_gib."""
    files: list[list[Tensor]] = [[]]
    filled = 0
    for tensor in tensors_of(recipe):
        if files[-1] and filled + tensor.size_bytes > recipe.shard_gib * GIB:
            files.append([])
            filled = 0
        files[-1].append(tensor)
        filled += tensor.size_bytes
    return files


def write_weights(recipe: RandomRecipe, folder: Path) -> None:
    """The safetensors files, one after the other, and their index."""
    import ml_dtypes  # noqa: F401  # it and numpy here: two threads that import them at once may each see half of the other's
    import numpy as np  # noqa: F401

    files = files_of(recipe)
    weight_map: dict[str, str] = {}
    for number, members in enumerate(files, 1):
        name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        write_file(recipe.seed, members, folder / name)
        weight_map |= dict.fromkeys((tensor.name for tensor in members), name)
    index = {"metadata": {"total_size": size_bytes(recipe)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def write_file(seed: int, tensors: Sequence[Tensor], path: Path) -> None:
    """One file, its pieces in parallel, each at its own place."""
    ordered = sorted(tensors, key=lambda tensor: (-ITEM_BYTES[tensor.dtype], tensor.name))
    header = header_of(ordered)
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb", buffering=0))
        file.write(header)
        file.truncate(len(header) + sum(tensor.size_bytes for tensor in ordered))
        pool = stack.enter_context(ThreadPoolExecutor(min(THREADS_AT_MOST, len(os.sched_getaffinity(0)))))
        at = len(header)
        jobs = []
        for tensor in ordered:
            jobs += [pool.submit(_write, file, at + begin, draw) for begin, draw in pieces(seed, tensor)]
            at += tensor.size_bytes
        for job in jobs:
            job.result()


def _write(file: BinaryIO, at: int, draw: Draw) -> None:
    for values in draw():
        data = values.view("u1").reshape(-1).data
        while data:
            written = os.pwrite(file.fileno(), data, at)
            data, at = data[written:], at + written


def header_of(tensors: Sequence[Tensor]) -> bytes:
    """What a safetensors file begins with: the length of its header, and the header, padded with blanks."""
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for tensor in tensors:
        end = begin + tensor.size_bytes
        described[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
