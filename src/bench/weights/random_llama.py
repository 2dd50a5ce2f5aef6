"""A Llama with random weights, made here: config, byte-level tokenizer and safetensors files, without torch or a hub.

Real work for every loader, and the same bytes on every host: the weights follow from the recipe's seed alone.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import RandomLlama
from bench.weights.checkpoint import GIB, Manifest, weight_files, write_manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

STD = 0.02  # as Llama's own initializer_range
THREADS = 8  # each holds a tensor in float32 meanwhile, up to 2 GiB of them in an 8B model
BF16_BYTES = 2
SPECIAL = {"<|begin|>": 256, "<|end|>": 257, "<|pad|>": 258}


@dataclass(frozen=True)
class Tensor:
    """A name and a shape; every weight is bfloat16."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return self.shape[0] * (self.shape[1] if len(self.shape) > 1 else 1)


def write_random_llama(recipe: RandomLlama, folder: Path) -> Manifest:
    """Write the whole checkpoint. At most one file's tensors are in memory at a time.

    The manifest's `made_from` is the recipe: equal recipes are equal bytes.
    """
    (folder / "config.json").write_text(json.dumps(config(recipe), indent=2))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(recipe.vocab_size)))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(recipe)))
    write_weights(recipe, folder)
    manifest = Manifest(made_from(recipe), {}, None, weight_files(folder))
    write_manifest(folder, manifest)
    return manifest


def made_from(recipe: RandomLlama) -> dict[str, Any]:
    """The recipe, as a manifest holds it."""
    return {"random_llama": recipe.model_dump()}


def config(recipe: RandomLlama) -> dict[str, Any]:
    """config.json, in transformers' words."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "hidden_size": recipe.hidden_size,
        "intermediate_size": recipe.intermediate_size,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "head_dim": recipe.hidden_size // recipe.heads,
        "vocab_size": recipe.vocab_size,
        "max_position_embeddings": recipe.max_positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": SPECIAL["<|begin|>"],
        "eos_token_id": SPECIAL["<|end|>"],
        "pad_token_id": SPECIAL["<|pad|>"],
    }


def tensors(recipe: RandomLlama) -> Iterator[Tensor]:
    """Every tensor in the order of a Llama's checkpoint."""
    hidden, inner, head = recipe.hidden_size, recipe.intermediate_size, recipe.hidden_size // recipe.heads
    yield Tensor("model.embed_tokens.weight", (recipe.vocab_size, hidden))
    for layer in range(recipe.layers):
        prefix = f"model.layers.{layer}"
        yield Tensor(f"{prefix}.input_layernorm.weight", (hidden,))
        yield Tensor(f"{prefix}.self_attn.q_proj.weight", (recipe.heads * head, hidden))
        yield Tensor(f"{prefix}.self_attn.k_proj.weight", (recipe.kv_heads * head, hidden))
        yield Tensor(f"{prefix}.self_attn.v_proj.weight", (recipe.kv_heads * head, hidden))
        yield Tensor(f"{prefix}.self_attn.o_proj.weight", (hidden, recipe.heads * head))
        yield Tensor(f"{prefix}.post_attention_layernorm.weight", (hidden,))
        yield Tensor(f"{prefix}.mlp.gate_proj.weight", (inner, hidden))
        yield Tensor(f"{prefix}.mlp.up_proj.weight", (inner, hidden))
        yield Tensor(f"{prefix}.mlp.down_proj.weight", (hidden, inner))
    yield Tensor("model.norm.weight", (hidden,))
    yield Tensor("lm_head.weight", (recipe.vocab_size, hidden))


def files_of(recipe: RandomLlama) -> list[list[Tensor]]:
    """The tensors of each file: a file is closed before it grows beyond shard_gib."""
    files: list[list[Tensor]] = [[]]
    filled = 0
    for tensor in tensors(recipe):
        size = tensor.size * BF16_BYTES
        if files[-1] and filled + size > recipe.shard_gib * GIB:
            files.append([])
            filled = 0
        files[-1].append(tensor)
        filled += size
    return files


def write_weights(recipe: RandomLlama, folder: Path) -> None:
    """The safetensors files and their index."""
    from safetensors.numpy import save_file

    files = files_of(recipe)
    weight_map: dict[str, str] = {}
    for number, members in enumerate(files, 1):
        name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        with ThreadPoolExecutor(THREADS) as pool:  # drawing lets go of the interpreter's lock
            drawn = pool.map(partial(draw, recipe.seed), members)
            weights = dict(zip((tensor.name for tensor in members), drawn, strict=True))
        save_file(weights, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(weights, name)
        del weights  # before the next file's are drawn
    total = sum(tensor.size for tensor in tensors(recipe)) * BF16_BYTES
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def draw(seed: int, tensor: Tensor) -> "NDArray[Any]":
    """Its values, bfloat16: normal, norms ones. Each tensor has a stream of its own, so its bytes depend on no other."""
    import ml_dtypes
    import numpy as np

    if len(tensor.shape) == 1:
        return np.ones(tensor.shape, ml_dtypes.bfloat16)
    stream = np.random.default_rng([seed, *tensor.name.encode()])
    values = stream.standard_normal(tensor.shape, np.float32)
    values *= STD
    return values.astype(ml_dtypes.bfloat16)


def tokenizer(vocab_size: int) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE without merges: a token for each byte, and a name for every other id that can be drawn."""
    vocab = {symbol: byte for byte, symbol in enumerate(byte_symbols())} | SPECIAL
    vocab |= {f"<|{number}|>": number for number in range(len(vocab), vocab_size)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": content, **special} for content, number in SPECIAL.items()],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }


def byte_symbols() -> list[str]:
    """The printable stand-in of each byte in byte-level BPE.

    Source: bytes_to_unicode in GPT-2's encoder; transformers keeps the same table.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def tokenizer_config(recipe: RandomLlama) -> dict[str, Any]:
    """tokenizer_config.json."""
    begin, end, pad = SPECIAL
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": pad,
        "model_max_length": recipe.max_positions,
        "clean_up_tokenization_spaces": False,
    }
