"""A gpt-oss: experts in MXFP4, everything else in bfloat16, in the layout of the published checkpoints.

Source: the config.json and index of openai/gpt-oss-120b; vllm/model_executor/models/gpt_oss.py
"""

from collections.abc import Iterator
from typing import Any

from bench.config import RandomGptOss
from bench.weights.recipes.tensor import Tensor
from bench.weights.recipes.tokenizer import SPECIAL_IDS

BLOCK = 32  # weights that share a scale, two in a byte
BLOCK_BYTES = 16


def config(recipe: RandomGptOss) -> dict[str, Any]:
    """config.json, with transformers' names."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "hidden_size": recipe.hidden_size,
        "intermediate_size": recipe.intermediate_size,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "head_dim": recipe.head_dim,
        "num_local_experts": recipe.experts,
        "num_experts_per_tok": recipe.experts_per_token,
        "experts_per_token": recipe.experts_per_token,
        "vocab_size": recipe.vocab_size,
        "max_position_embeddings": recipe.max_positions,
        "initial_context_length": 4096,
        "layer_types": [("sliding_attention", "full_attention")[layer % 2] for layer in range(recipe.layers)],
        "sliding_window": recipe.sliding_window,
        "rope_theta": 150000,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 4096,
            "truncate": False,
        },
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "initializer_range": 0.02,
        "router_aux_loss_coef": 0.9,
        "output_router_logits": False,
        "use_cache": True,
        "tie_word_embeddings": False,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
        },
        **SPECIAL_IDS,
    }


def tensors(recipe: RandomGptOss) -> Iterator[Tensor]:
    """Every tensor, layer by layer."""
    hidden = recipe.hidden_size
    yield Tensor("model.embed_tokens.weight", (recipe.vocab_size, hidden))
    for layer in range(recipe.layers):
        prefix = f"model.layers.{layer}"
        yield _norm(f"{prefix}.input_layernorm.weight", hidden)
        yield from _attention(f"{prefix}.self_attn", recipe)
        yield _norm(f"{prefix}.post_attention_layernorm.weight", hidden)
        yield from _linear(f"{prefix}.mlp.router", recipe.experts, hidden)
        yield from _experts(f"{prefix}.mlp.experts.gate_up_proj", recipe.experts, 2 * recipe.intermediate_size, hidden)
        yield from _experts(f"{prefix}.mlp.experts.down_proj", recipe.experts, hidden, recipe.intermediate_size)
    yield _norm("model.norm.weight", hidden)
    yield Tensor("lm_head.weight", (recipe.vocab_size, hidden))


def _attention(prefix: str, recipe: RandomGptOss) -> Iterator[Tensor]:
    queries, keys = recipe.heads * recipe.head_dim, recipe.kv_heads * recipe.head_dim
    yield from _linear(f"{prefix}.q_proj", queries, recipe.hidden_size)
    yield from _linear(f"{prefix}.k_proj", keys, recipe.hidden_size)
    yield from _linear(f"{prefix}.v_proj", keys, recipe.hidden_size)
    yield from _linear(f"{prefix}.o_proj", recipe.hidden_size, queries)
    yield Tensor(f"{prefix}.sinks", (recipe.heads,))


def _linear(prefix: str, rows: int, columns: int) -> Iterator[Tensor]:
    yield Tensor(f"{prefix}.weight", (rows, columns))
    yield Tensor(f"{prefix}.bias", (rows,))


def _experts(prefix: str, experts: int, rows: int, columns: int) -> Iterator[Tensor]:
    blocks = columns // BLOCK
    yield Tensor(f"{prefix}_blocks", (experts, rows, blocks, BLOCK_BYTES), "U8", "bytes")
    yield Tensor(f"{prefix}_scales", (experts, rows, blocks), "U8", "scales")
    yield Tensor(f"{prefix}_bias", (experts, rows))


def _norm(name: str, size: int) -> Tensor:
    return Tensor(name, (size,), values="ones")
