"""A Llama with random weights: real files, the same bytes on every host."""

import hashlib
import json
import struct
import subprocess
import sys
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from bench.compose import compose_settings
from bench.config import RandomLlama
from bench.errors import CheckpointError
from bench.weights.checkpoint import GIB, weight_files
from bench.weights.manifest import Manifest, check_manifest, read_manifest
from bench.weights.recipes.llama import config, tensors
from bench.weights.recipes.tensor import Tensor, draw
from bench.weights.recipes.tokenizer import tokenizer
from bench.weights.recipes.write import files_of, made_from, write_random

INDEX = "model.safetensors.index.json"
RECIPE = RandomLlama(
    seed=0,
    hidden_size=64,
    intermediate_size=96,
    layers=2,
    heads=4,
    kv_heads=2,
    vocab_size=300,
    max_positions=128,
    shard_gib=40_000 / GIB,
)


@cache
def recipe_of(model: str) -> RandomLlama:
    (settings,) = compose_settings([f"model={model}"])
    assert isinstance(settings.model.random, RandomLlama)
    return settings.model.random


def written(folder: Path, **changed: Any) -> dict[str, bytes]:
    """Every file that a recipe becomes."""
    folder.mkdir()
    write_random(RECIPE.model_copy(update=changed), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def header_of(file: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and its data.

    Source: https://github.com/huggingface/safetensors#format: eight bytes, the header's length; the header, JSON; the data.
    """
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def tensors_in(files: dict[str, bytes]) -> dict[str, bytes]:
    """The bytes of every tensor, by its name."""
    found = {}
    for name, file in files.items():
        if name.endswith(".safetensors"):
            header, data = header_of(file)
            header.pop("__metadata__")
            found |= {tensor: data[slice(*about["data_offsets"])] for tensor, about in header.items()}
    return found


def bytes_of(recipe: RandomLlama) -> int:
    return sum(2 * prod(tensor.shape) for tensor in tensors(recipe))


def test_the_same_recipe_is_the_same_bytes(tmp_path):
    """Two hosts measure the same checkpoint, and greedy tokens can be compared across them."""
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_another_seed_is_other_bytes(tmp_path):
    """In every tensor that is drawn; the norms are ones."""
    one, two = tensors_in(written(tmp_path / "one")), tensors_in(written(tmp_path / "two", seed=1))
    equal = {name for name in one if one[name] == two[name]}

    assert one.keys() == two.keys()
    assert equal == {name for name in one if "norm" in name}


def test_a_tensors_bytes_depend_on_no_other(tmp_path):
    """Cut into other files, or with a layer more, a tensor of the same name and seed is the same."""
    one, other = tensors_in(written(tmp_path / "one")), tensors_in(written(tmp_path / "two", layers=3, shard_gib=1.0))

    assert one.items() <= other.items()
    assert len(other) == len(one) + 9


def test_no_two_tensors_are_alike(tmp_path):
    """A loader that mixed two up would not be noticed else."""
    drawn = [data for name, data in tensors_in(written(tmp_path / "one")).items() if "norm" not in name]

    assert len({hashlib.sha256(data).digest() for data in drawn}) == len(drawn)


def test_the_bytes_are_those_of_every_host_before():
    """A new numpy that drew other numbers would make old and new checkpoints differ under one recipe."""
    values = draw(0, Tensor("model.layers.0.self_attn.q_proj.weight", (64, 64), values="normal"))

    assert hashlib.sha256(values).hexdigest()[:16] == "b300ecfb859592c8"


def test_matrices_are_normal_and_norms_are_ones(tmp_path):
    """As Llama initialises them: 0.02 wide, so activations stay finite through any number of layers."""
    found = tensors_in(written(tmp_path / "one"))
    matrix = np.frombuffer(found["lm_head.weight"], ml_dtypes.bfloat16).astype(np.float64)
    norm = np.frombuffer(found["model.norm.weight"], ml_dtypes.bfloat16).astype(np.float64)

    assert matrix.std() == pytest.approx(0.02, rel=0.05)
    assert matrix.mean() == pytest.approx(0.0, abs=0.001)
    assert set(norm) == {1.0}


def test_the_files_are_valid_safetensors(tmp_path):
    """Each header describes every byte behind it, once and in order, and says that PyTorch may read it."""
    files = written(tmp_path / "one")
    shapes = {tensor.name: list(tensor.shape) for tensor in tensors(RECIPE)}
    for name in weight_files(tmp_path / "one"):
        header, data = header_of(files[name])
        metadata = header.pop("__metadata__")
        ends = [0]
        for begin, end in sorted(about["data_offsets"] for about in header.values()):
            assert begin == ends[-1]
            ends.append(end)

        assert metadata == {"format": "pt"}
        assert ends[-1] == len(data)
        assert {tensor: about["shape"] for tensor, about in header.items()} == {
            tensor: shapes[tensor] for tensor in header
        }
        assert {about["dtype"] for about in header.values()} == {"BF16"}


def test_the_index_says_where_each_tensor_is_and_how_much_they_are(tmp_path):
    """vLLM and the streamer choose their files by it."""
    files = written(tmp_path / "one")
    index = json.loads(files[INDEX])
    where = {
        tensor: name
        for name in weight_files(tmp_path / "one")
        for tensor in header_of(files[name])[0]
        if tensor != "__metadata__"
    }

    assert index["weight_map"] == where
    assert set(where) == {tensor.name for tensor in tensors(RECIPE)}
    assert index["metadata"]["total_size"] == sum(map(len, tensors_in(files).values())) == bytes_of(RECIPE)


def test_the_files_are_numbered_as_on_a_hub(tmp_path):
    """Loaders take them in this order."""
    names = [name for name in sorted(written(tmp_path / "one")) if name.endswith(".safetensors")]

    assert names == [f"model-{number:05d}-of-{len(names):05d}.safetensors" for number in range(1, len(names) + 1)]
    assert len(names) > 1


@pytest.mark.parametrize(
    "recipe", [RECIPE, recipe_of("tiny_llama"), recipe_of("random_llama_8b")], ids=["test", "tiny", "8b"]
)
def test_a_file_is_closed_before_it_grows_beyond_its_limit(recipe):
    """Several files, as real checkpoints have: loaders that read files in parallel have something to do."""
    files = files_of(recipe)
    sizes = [sum(2 * prod(tensor.shape) for tensor in members) for members in files]

    assert len(files) > 1
    assert max(sizes) <= recipe.shard_gib * GIB
    assert [tensor for members in files for tensor in members] == list(tensors(recipe))


def test_a_tensor_beyond_the_limit_has_a_file_of_its_own():
    """A tensor is never cut."""
    files = files_of(RECIPE.model_copy(update={"shard_gib": 1 / GIB}))

    assert [len(members) for members in files] == [1] * len(list(tensors(RECIPE)))


def test_the_large_recipe_has_the_size_that_vllm_reported():
    """On an H100 vLLM said of this checkpoint: 14.96 GiB, 4 files, 291 tensors (tests/logs/h100-vllm0.26.0)."""
    recipe = recipe_of("random_llama_8b")

    assert bytes_of(recipe) / GIB == pytest.approx(14.96, abs=0.005)
    assert len(files_of(recipe)) == 4
    assert len(list(tensors(recipe))) == 291


def test_the_tiny_recipe_has_the_shape_of_a_llama():
    """Four layers of nine tensors, and three around them; small enough to be made in a second, in several files."""
    recipe = recipe_of("tiny_llama")

    assert len(list(tensors(recipe))) == 4 * 9 + 3
    assert bytes_of(recipe) < 32 * 1024**2


def test_the_checkpoint_says_what_it_was_made_from(tmp_path):
    """The manifest on disk is the one returned: the recipe, and the files with their bytes."""
    manifest = write_random(RECIPE, tmp_path)

    assert read_manifest(tmp_path) == manifest
    assert manifest.made_from == made_from(RECIPE)
    assert manifest.files == weight_files(tmp_path)


def test_the_same_recipe_is_accepted_and_another_is_not(tmp_path):
    """A changed recipe in conf/ must not be measured with yesterday's weights."""
    write_random(RECIPE, tmp_path)
    check_manifest(tmp_path, Manifest(made_from(RECIPE), {}, None, {}), "make it")
    changed = RECIPE.model_copy(update={"layers": 3})
    with pytest.raises(CheckpointError, match="layers"):
        check_manifest(tmp_path, Manifest(made_from(changed), {}, None, {}), "make it")


def test_the_config_describes_the_tensors():
    """transformers computes the shapes that it expects from these numbers."""
    described = config(RECIPE)
    shapes = {tensor.name: tensor.shape for tensor in tensors(RECIPE)}
    head = described["head_dim"]

    assert described["architectures"] == ["LlamaForCausalLM"]
    assert shapes["model.embed_tokens.weight"] == (described["vocab_size"], described["hidden_size"])
    assert shapes["lm_head.weight"] == shapes["model.embed_tokens.weight"]
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == (described["num_attention_heads"] * head, 64)
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (described["num_key_value_heads"] * head, 64)
    assert shapes["model.layers.1.mlp.down_proj.weight"] == (64, described["intermediate_size"])
    assert described["tie_word_embeddings"] is False
    assert described["torch_dtype"] == described["dtype"] == "bfloat16"


@pytest.mark.parametrize("size", [260, 300, 512, 128_256])
def test_every_id_that_can_be_drawn_has_a_token(size):
    """A random model says any id; one without a token would end the completion with an error."""
    vocab = tokenizer(size)["model"]["vocab"]

    assert len(vocab) == size
    assert sorted(vocab.values()) == list(range(size))


@cache
def loaded_tokenizer() -> Any:
    """By the library that vLLM reads it with, which is no dependency of bench."""
    return pytest.importorskip("tokenizers").Tokenizer.from_str(json.dumps(tokenizer(512)))


def test_the_tokenizers_own_library_reads_it():
    """With the ids that were written, and the special tokens as such."""
    loaded = loaded_tokenizer()

    assert loaded.get_vocab_size() == 512
    assert loaded.encode("<|begin|>Aé<|end|>").ids == [256, 65, 0xC3, 0xA9, 257]
    assert loaded.decode([256, 65, 0xC3, 0xA9, 257]) == "Aé"
    assert loaded.decode([259, 65, 511]) == "<|259|>A<|511|>"


@hypothesis(max_examples=100, deadline=None, database=None)
@given(st.text().filter(lambda text: "<|" not in text))
def test_a_text_is_its_bytes_and_comes_back(text):
    """A token for each byte, no merges: any text in any script, blanks and line ends too; only <|…|> is special."""
    loaded = loaded_tokenizer()
    ids = loaded.encode(text).ids

    assert ids == list(text.encode())
    assert loaded.decode(ids) == text


def test_nothing_is_imported_by_the_threads_that_draw(tmp_path):
    """In a process that has imported neither numpy nor ml_dtypes yet: several threads would import them at once, and see half of them."""
    code = """
import sys
from pathlib import Path
from bench.config import RandomLlama
from bench.weights.recipes import write

class Pool(write.ThreadPoolExecutor):
    def submit(self, *job):
        assert {"numpy", "ml_dtypes"} <= sys.modules.keys()
        return super().submit(*job)

write.ThreadPoolExecutor = Pool
assert not {"numpy", "ml_dtypes"} & sys.modules.keys()
write.write_weights(RandomLlama.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""
    subprocess.run([sys.executable, "-c", code, RECIPE.model_dump_json(), tmp_path], check=True)
