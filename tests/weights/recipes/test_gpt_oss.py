"""A gpt-oss with random weights: the published shapes and types, at the disk's speed, in little memory."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from bench.compose import compose_settings
from bench.config import RandomGptOss
from bench.errors import SettingError
from bench.weights.checkpoint import GIB, weight_files
from bench.weights.manifest import check_manifest, read_manifest
from bench.weights.recipes import write
from bench.weights.recipes.gpt_oss import config, tensors
from bench.weights.recipes.tensor import PIECE_BYTES, Tensor, draw, normal_table, pieces
from bench.weights.recipes.write import files_of, made_from, size_bytes, write_file, write_random

SMALL = RandomGptOss(
    seed=0,
    hidden_size=64,
    intermediate_size=96,
    layers=2,
    experts=4,
    experts_per_token=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab_size=300,
    max_positions=512,
    sliding_window=128,
    shard_gib=60_000 / GIB,
)


def recipe_of(model: str) -> RandomGptOss:
    (settings,) = compose_settings([f"model={model}"])
    assert isinstance(settings.model.random, RandomGptOss)
    return settings.model.random


@pytest.mark.parametrize(
    ("model", "size_gib", "layers"), [("random_gpt_oss_120b", 60.77, 36), ("random_gpt_oss_20b", 12.82, 24)]
)
def test_the_recipes_have_the_published_sizes(model, size_gib, layers):
    """60.77 GiB is what vLLM loads of the 120b; 19 tensors a layer, and embedding, norm and head."""
    recipe = recipe_of(model)

    assert size_bytes(recipe) / GIB == pytest.approx(size_gib, abs=0.005)
    assert len(list(tensors(recipe))) == 19 * layers + 3


def test_the_shapes_are_those_of_the_published_checkpoint():
    """As in openai/gpt-oss-120b's safetensors headers: 32 weights share a scale, and lie in 16 bytes."""
    shapes = {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors(recipe_of("random_gpt_oss_120b"))}
    layer = "model.layers.35"

    assert shapes[f"{layer}.mlp.experts.gate_up_proj_blocks"] == ("U8", (128, 5760, 90, 16))
    assert shapes[f"{layer}.mlp.experts.gate_up_proj_scales"] == ("U8", (128, 5760, 90))
    assert shapes[f"{layer}.mlp.experts.gate_up_proj_bias"] == ("BF16", (128, 5760))
    assert shapes[f"{layer}.mlp.experts.down_proj_blocks"] == ("U8", (128, 2880, 90, 16))
    assert shapes[f"{layer}.self_attn.q_proj.weight"] == ("BF16", (4096, 2880))
    assert shapes[f"{layer}.self_attn.k_proj.bias"] == ("BF16", (512,))
    assert shapes[f"{layer}.self_attn.sinks"] == ("BF16", (64,))
    assert shapes[f"{layer}.mlp.router.weight"] == ("BF16", (128, 2880))
    assert shapes["model.embed_tokens.weight"] == shapes["lm_head.weight"] == ("BF16", (201088, 2880))


def test_transformers_takes_the_config_for_a_gpt_oss():
    """And computes the same shapes of attention and router from it."""
    transformers = pytest.importorskip("transformers")
    read = transformers.AutoConfig.for_model(**config(SMALL))
    shapes = {tensor.name: tensor.shape for tensor in tensors(SMALL)}

    assert type(read).__name__ == "GptOssConfig"
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == (read.num_attention_heads * read.head_dim, 64)
    assert shapes["model.layers.0.mlp.router.weight"] == (read.num_local_experts, read.hidden_size)
    assert read.layer_types == ["sliding_attention", "full_attention"]


def test_the_files_hold_every_tensor_as_described(tmp_path):
    """Read by safetensors itself; the index names the file of each, the manifest what it was made from."""
    manifest = write_random(SMALL, tmp_path)
    weight_map = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    found = {}
    for name in weight_files(tmp_path):
        with safe_open(tmp_path / name, framework="numpy") as file:
            for tensor in file.keys():  # noqa: SIM118  # no dict
                about = file.get_slice(tensor)
                found[tensor] = (name, about.get_dtype(), tuple(about.get_shape()))

    assert found == {tensor.name: (weight_map[tensor.name], tensor.dtype, tensor.shape) for tensor in tensors(SMALL)}
    assert len(weight_files(tmp_path)) == len(files_of(SMALL)) > 1
    assert read_manifest(tmp_path) == manifest
    assert check_manifest(tmp_path, manifest, "make it") is None
    assert manifest.made_from == made_from(SMALL) == {"random_gpt_oss": SMALL.model_dump(exclude={"family"})}


def test_a_file_is_byte_for_byte_what_safetensors_writes(tmp_path):
    """Also the order of its tensors, and the header's blanks: what was written by the library stays what it was."""
    members = list(tensors(SMALL))
    write_file(0, members, tmp_path / "ours")
    types = {"BF16": ml_dtypes.bfloat16, "U8": np.uint8}
    arrays = {
        tensor.name: np.frombuffer(draw(0, tensor), types[tensor.dtype]).reshape(tensor.shape) for tensor in members
    }

    assert (tmp_path / "ours").read_bytes() == save(arrays, {"format": "pt"})


@pytest.mark.parametrize("threads", [1, 7])
def test_the_bytes_do_not_depend_on_the_threads(tmp_path, monkeypatch, threads):
    """Nor on the host: the digest was taken once."""
    monkeypatch.setattr(write, "THREADS_AT_MOST", threads)
    monkeypatch.setattr(write.os, "sched_getaffinity", lambda _: set(range(64)))
    large = Tensor("model.layers.0.mlp.experts.gate_up_proj_blocks", (3, 2880, 90, 16), "U8", "bytes")
    write_file(0, [large, Tensor("lm_head.weight", (300, 64))], tmp_path / "file")

    assert len(pieces(0, large)) == -(-large.size_bytes // PIECE_BYTES) == 2
    assert hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()[:16] == "e3aed12dd573a358"


def test_values_are_sane():
    """Normal and finite weights, exponents near one, packed numbers of all kinds; another seed and another name are others."""
    normal = np.frombuffer(draw(0, Tensor("a", (1000, 100))), ml_dtypes.bfloat16).astype(np.float64)
    scales = Counter(draw(0, Tensor("s", (4000,), "U8", "scales")))
    packed = Counter(draw(0, Tensor("b", (100_000,), "U8", "bytes")))

    assert normal.std() == pytest.approx(0.02, rel=0.02)
    assert abs(normal).max() < 0.1
    assert set(scales) == {118, 119, 120, 121}
    assert set(packed) == set(range(256))
    assert len({draw(seed, Tensor(name, (64,))) for seed in (0, 1) for name in ("a", "b")}) == 4
    assert hashlib.sha256(normal_table().tobytes()).hexdigest()[:16] == "fe6036d18e2528e5"


def test_a_recipe_that_mxfp4_cannot_hold_is_refused():
    """32 weights share a scale. The setting is named, not the type that was tried."""
    with pytest.raises(SettingError, match=r"^model\.random\.hidden_size=100: must be a multiple of 32"):
        compose_settings(["model=random_gpt_oss_20b", "model.random.hidden_size=100"])


def test_an_unknown_family_is_refused_with_those_there_are():
    """The tag of the union is a setting like any other."""
    with pytest.raises(SettingError, match=r"^model\.random.*llama.*gpt_oss"):
        compose_settings(["model.random.family=opt"])


def test_a_seed_makes_another_checkpoint(tmp_path):
    """In every tensor but the norms."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, seed in ((one, 0), (two, 1)):
        folder.mkdir()
        write_random(SMALL.model_copy(update={"seed": seed}), folder)

    assert read_digest(one) != read_digest(two)


def read_digest(folder: Path) -> str | None:
    found = read_manifest(folder)
    assert found is not None
    return found.content
