"""vLLM's arguments as settings: under one name and in one spelling each, and which are not the user's to set."""

from typing import Annotated, Any

from pydantic import AfterValidator

from bench.config.values import whole

# Arguments of vLLM that may be written so.
READABLE = {
    "max_num_batched_tokens", "max_num_scheduled_tokens", "kv_cache_memory_bytes", "safetensors_prefetch_block_size", "max_num_queued_tokens",
}  # fmt: skip

# Those that are numbers with decimals: 0.50 is 0.5. What is typed for another one is text here, as 1.10 of a model's name.
DECIMALS = {
    "dp_supervisor_probe_interval_s", "dp_supervisor_probe_timeout_s", "kv_offloading_size", "cpu_offload_gb", "swap_space",
    "mm_processor_cache_gb", "mm_encoder_fp8_scale_save_margin", "video_pruning_rate", "mm_ipc_gpu_memory_gb", "kv_cache_metrics_sample",
    "watermark",
}  # fmt: skip


# Names of vLLM's for what has another one. Source: _STR_DTYPE_TO_TORCH_DTYPE in vllm/config/model.py
DTYPES = {"half": "float16", "float": "float32"}


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of vLLM, equal where what vLLM makes of them is: 8k is 8,000, half is float16, 0.50 is 0.5."""
    return {name: _argument(underscored(name), value) for name, value in given.items()}


def _argument(name: str, value: Any) -> Any:
    if name == "dtype" and isinstance(value, str):
        return DTYPES.get(value, value)
    if name in DECIMALS and not isinstance(value, bool):
        return _decimal(value)
    return whole(value) if name in READABLE else value


def _decimal(given: Any) -> Any:
    """A number, or text that is one, in its one spelling: 4.0 is 4. Anything else as it is."""
    try:
        number = float(given)
        return int(number) if number.is_integer() else number
    except (TypeError, ValueError):
        return given


def underscored(name: str) -> str:
    """An argument's name; below a dot, a key of its JSON, as it is."""
    above, dot, below = name.partition(".")
    return f"{above.replace('-', '_')}{dot}{below}"


def positive(name: str, value: Any) -> tuple[str, Any]:
    """An argument under the one name that it has: `no-x: true` is `x: false`."""
    name = underscored(name)
    return (
        (name.removeprefix("no_"), not value) if name.startswith("no_") and isinstance(value, bool) else (name, value)
    )


Arguments = Annotated[dict[str, Any], AfterValidator(_arguments)]


# Arguments of vLLM that have a setting of their own here, or that belong to bench.
TAKEN = {
    "model": "model.path", "load_format": "load_format", "model_loader_extra_config": "load_format.extra",
    "tensor_parallel_size": "tensor_parallel_size", "gpu_memory_utilization": "gpu_memory_utilization",
    "max_model_len": "max_model_len", "host": None, "port": None, "api_key": None, "uds": None,
    "ssl_keyfile": None, "ssl_certfile": None,
}  # fmt: skip
# Arguments of vLLM with which it answers no HTTP: a start is measured up to /health.
UNANSWERED = {"headless", "grpc"}
TAKEN_VARIABLES = {"VLLM_API_KEY"}  # of vLLM's environment; bench makes a key of its own, see bench.vllm.api_key


# Arguments of vLLM that decide what a checkpoint cut for a tensor-parallel size holds.
CUT_ARGUMENTS = (
    "dtype", "quantization", "quantization_config", "hf_overrides", "hf_config_path", "config_format", "trust_remote_code",
    "revision", "code_revision", "model_impl", "runner", "convert", "task", "kv_cache_dtype", "enable_expert_parallel",
    "enable_eplb", "num_redundant_experts", "enable_lora", "max_lora_rank", "lora_extra_vocab_size", "language_model_only",
)  # fmt: skip
