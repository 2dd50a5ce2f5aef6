"""What vLLM's loaders take in --model-loader-extra-config (`load_format.extra`): names, by load format, and their types. Pure.

A load format that is not here, as a plugin's, may take anything. What one release takes besides is known of the measured vLLM alone.

Source: the loaders' own checks in vllm/model_executor/model_loader of vLLM 0.32.0: default_loader.py, runai_streamer_loader.py,
sharded_state_loader.py, tensorizer.py (TensorizerConfig), dummy_loader.py, weight_cache/ipc_loader.py; bitsandbytes_loader.py and
gguf_loader.py of 0.20.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]

DEFAULT = {"enable_multithread_load": bool, "num_threads": Count, "enable_weights_track": bool}
SHARDED = {"pattern": Text}
LOADERS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("auto", "hf", "safetensors", "mistral", "pt", "npcache", "fastsafetensors", "instanttensor"), DEFAULT
    ),
    "runai_streamer": {"concurrency": Count, "memory_limit": Annotated[int, Field(ge=-1)], "distributed": bool},
    "runai_streamer_sharded": SHARDED,
    "sharded_state": SHARDED,
    "tensorizer": {
        "tensorizer_uri": Text, "tensorizer_dir": Text, "vllm_tensorized": bool, "verify_hash": bool, "num_readers": Count,
        "encryption_keyfile": Text, "s3_access_key_id": Text, "s3_secret_access_key": Text, "s3_endpoint": Text,
        "stream_kwargs": dict[str, Any], "serialization_kwargs": dict[str, Any], "deserialization_kwargs": dict[str, Any],
    },
    "ipc_cache": {
        "socket_path": Text, "socket_dir": Text, "is_draft": bool, "mode": Text, "fallback": bool,
        "connect_timeout_s": float, "state_timeout_s": float,
    },
    "bitsandbytes": {"qlora_adapter_name_or_path": Text},
    "gguf": {},
    "dummy": {},
}  # fmt: skip

# How the variables begin that a loader reads, and its load formats.
VARIABLES = {
    "RUNAI_STREAMER_": ("runai_streamer", "runai_streamer_sharded"),
    "VLLM_FASTSAFETENSORS_": ("fastsafetensors",),
}


def reads_variable(load_format: str, name: str) -> bool:
    """Whether its loader may read this variable of the environment: not where it is another one's."""
    return all(load_format.lower() in formats for prefix, formats in VARIABLES.items() if name.startswith(prefix))


def settings_of(load_format: str) -> Mapping[str, Any] | None:
    """The names that its loader takes, with their types. None: not known."""
    return LOADERS.get(load_format.lower())


@cache
def model_of(load_format: str) -> type[BaseModel]:
    """What checks the values; names that are not known pass."""
    fields = {name: (type_ | None, None) for name, type_ in (settings_of(load_format) or {}).items()}
    made: type[BaseModel] = create_model("extra", __config__=ConfigDict(strict=True, extra="allow"), **fields)  # type: ignore[call-overload]  # fields by name
    return made


def misfit(load_format: str, extra: Mapping[str, Any], arguments: Mapping[str, Any], ranks: int) -> str | None:
    """Why the loader refuses these values together, though it takes each. `ranks`: of tensor parallelism."""
    strategy = arguments.get("safetensors_load_strategy")
    if settings_of(load_format) is DEFAULT and extra.get("enable_multithread_load") and strategy not in {None, "lazy"}:
        return f"load_format.extra.enable_multithread_load=True: not with safetensors_load_strategy={strategy}, of which it would take nothing."
    uri = extra.get("tensorizer_uri")
    if load_format == "tensorizer" and ranks > 1 and not re.search(r"%0\dd", uri or ""):
        return f"load_format.extra.tensorizer_uri={uri or 'null'}: {ranks} ranks need a file each, as in /data/model-%03d.tensors."
    return None
