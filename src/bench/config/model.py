"""The group `model`: which checkpoint, and of one with random weights its recipe."""

from typing import Annotated, Literal

from pydantic import Field

from bench.config.values import Layers, Section, Size, Text


class RandomLlama(Section):
    """The shape of a Llama whose weights are drawn at random; names as in its config.json where they are not shorter."""

    family: Literal["llama"] = "llama"
    seed: Annotated[int, Field(ge=0)]
    hidden_size: Size
    intermediate_size: Size
    layers: Layers
    heads: Size
    kv_heads: Size
    vocab_size: Annotated[int, Field(ge=260, le=1 << 24)]  # 256 bytes and the special tokens
    max_positions: Size
    shard_gib: Annotated[float, Field(gt=0)]  # a file is closed before it grows beyond this


class RandomGptOss(Section):
    """The shape of a gpt-oss with random weights, its experts in MXFP4: 32 weights share a scale."""

    family: Literal["gpt_oss"] = "gpt_oss"
    seed: Annotated[int, Field(ge=0)]
    hidden_size: Annotated[int, Field(ge=32, le=1 << 24, multiple_of=32)]
    intermediate_size: Annotated[int, Field(ge=32, le=1 << 24, multiple_of=32)]
    layers: Layers
    experts: Layers
    experts_per_token: Layers
    heads: Size
    kv_heads: Size
    head_dim: Size
    vocab_size: Annotated[int, Field(ge=260, le=1 << 24)]
    max_positions: Size
    sliding_window: Size
    shard_gib: Annotated[float, Field(gt=0)]


RandomRecipe = RandomLlama | RandomGptOss


class Model(Section):
    """Which checkpoint."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    path: Text  # a folder, or a hub id
    # Where the checkpoint cut for tensor_parallel_size lies, or will lie; None: not yet composed.
    sharded_path: Text | None
    random: Annotated[RandomRecipe, Field(discriminator="family")] | None  # None: the user's own, never made here
