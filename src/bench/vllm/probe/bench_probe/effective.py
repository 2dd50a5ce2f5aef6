"""What vLLM decided in this process: the configuration that a worker loaded its model with, and what it made of it.

Source: vllm/config/*.py, vllm/v1/worker/startup_plan.py, vllm/v1/worker/worker_base.py, vllm/model_executor/layers/attention/attention.py
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import events, surroundings

if TYPE_CHECKING:
    from typing import Any

# Where each lies in vLLM's configuration; of several places the first that a release has.
PLACES: dict[str, tuple[str, ...]] = {
    "dtype": ("model_config.dtype",),
    "quantization": ("model_config.quantization",),
    "max_model_len": ("model_config.max_model_len",),
    "enforce_eager": ("model_config.enforce_eager",),
    "load_format": ("load_config.load_format",),
    "kv_cache_dtype": ("cache_config.cache_dtype",),
    "block_size": ("cache_config.block_size",),
    "prefix_caching": ("cache_config.enable_prefix_caching",),
    "max_num_seqs": ("scheduler_config.max_num_seqs",),
    "max_num_batched_tokens": ("scheduler_config.max_num_batched_tokens",),
    "compilation": ("compilation_config.mode", "compilation_config.level"),
    "cuda_graphs": ("compilation_config.cudagraph_mode", "compilation_config.use_cudagraph"),
    "ranks": ("parallel_config.world_size",),
}
LENGTH_AT_MOST = 300
BACKENDS_AT_MOST = 8


def write(worker: Any = None) -> None:
    """All that this process has now, and with a worker what it loaded."""
    decided = {} if worker is None else of_worker(worker)
    events.write("ran", **surroundings.of_process(), effective=decided)


def of_worker(worker: Any) -> dict[str, str]:
    """What cannot be found is absent: not every release has everything."""
    config = getattr(worker, "vllm_config", None)
    found: dict[str, str | None] = {}
    for name, places in PLACES.items():
        with events.guarded(f"{name} cannot be read"):
            found[name] = _first(config, places)
    with events.guarded("the startup plan cannot be read"):
        found["startup_plan"] = _startup_plan(config)
    with events.guarded("the model's class cannot be read"):
        found["model_class"] = _class_of_model(worker)
    with events.guarded("the attention backend cannot be read"):
        found["attention_backend"] = ", ".join(_attention_backends(config)[:BACKENDS_AT_MOST]) or None
    return {name: text for name, text in found.items() if text is not None}


def _startup_plan(config: Any) -> str | None:
    """Whether the memory of the KV cache was that of an earlier start, or measured in this one. None: vLLM keeps no such plan."""
    if os.environ.get("VLLM_ENABLE_STARTUP_PLAN", "0") == "0":
        return None
    known = getattr(getattr(config, "cache_config", None), "kv_cache_memory_bytes", None)
    return "measured" if known is None else "applied"


def _first(config: Any, places: tuple[str, ...]) -> str | None:
    for place in places:
        section, name = place.split(".")
        holder = getattr(config, section, None)
        if hasattr(holder, name):
            return _text(getattr(holder, name))
    return None


def _text(value: Any) -> str:
    """An enum's by its name: releases give its members other numbers."""
    name = getattr(value, "name", None)
    return (name if isinstance(name, str) else str(value))[:LENGTH_AT_MOST]


def _class_of_model(worker: Any) -> str | None:
    """Without the wrapper that replays CUDA graphs, where the runner gives it so."""
    runner = getattr(worker, "model_runner", None)
    give = getattr(runner, "get_model", None)
    model = give() if callable(give) else getattr(runner, "model", None)
    kind = type(model)
    return None if model is None else f"{kind.__module__}.{kind.__qualname__}"[:LENGTH_AT_MOST]


def _attention_backends(config: Any) -> list[str]:
    """Of all attention layers, each once."""
    layers = getattr(getattr(config, "compilation_config", None), "static_forward_context", None) or {}
    return sorted({name for layer in layers.values() if (name := _backend_of(layer)) is not None})


def _backend_of(layer: Any) -> str | None:
    name_of = getattr(getattr(layer, "attn_backend", None), "get_name", None)
    if callable(name_of):
        return str(name_of())
    other = getattr(layer, "backend", None)  # an enum of earlier releases
    return None if other is None else _text(other)
