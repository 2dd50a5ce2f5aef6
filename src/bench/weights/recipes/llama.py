"""A Llama: its config and its tensors."""

from collections.abc import Iterator
from typing import Any

from bench.config import RandomLlama
from bench.weights.recipes.tensor import Tensor
from bench.weights.recipes.tokenizer import SPECIAL_IDS


def config(recipe: RandomLlama) -> dict[str, Any]:
    """config.json, with transformers' names."""
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
        **SPECIAL_IDS,
    }


def tensors(recipe: RandomLlama) -> Iterator[Tensor]:
    """Every tensor in the order of a Llama's checkpoint."""
    hidden, inner, head = recipe.hidden_size, recipe.intermediate_size, recipe.hidden_size // recipe.heads
    yield _matrix("model.embed_tokens.weight", recipe.vocab_size, hidden)
    for layer in range(recipe.layers):
        prefix = f"model.layers.{layer}"
        yield _norm(f"{prefix}.input_layernorm.weight", hidden)
        yield _matrix(f"{prefix}.self_attn.q_proj.weight", recipe.heads * head, hidden)
        yield _matrix(f"{prefix}.self_attn.k_proj.weight", recipe.kv_heads * head, hidden)
        yield _matrix(f"{prefix}.self_attn.v_proj.weight", recipe.kv_heads * head, hidden)
        yield _matrix(f"{prefix}.self_attn.o_proj.weight", hidden, recipe.heads * head)
        yield _norm(f"{prefix}.post_attention_layernorm.weight", hidden)
        yield _matrix(f"{prefix}.mlp.gate_proj.weight", inner, hidden)
        yield _matrix(f"{prefix}.mlp.up_proj.weight", inner, hidden)
        yield _matrix(f"{prefix}.mlp.down_proj.weight", hidden, inner)
    yield _norm("model.norm.weight", hidden)
    yield _matrix("lm_head.weight", recipe.vocab_size, hidden)


def _matrix(name: str, rows: int, columns: int) -> Tensor:
    return Tensor(name, (rows, columns), values="normal")


def _norm(name: str, size: int) -> Tensor:
    return Tensor(name, (size,), values="ones")
