"""The compile and JIT caches of vLLM, in folders of ours: fresh, primed, or left as they are.

vLLM's own compile cache is keyed by the model's path and max_model_len, not by the load format: in a sweep over formats
the first start compiles for all others, and a pre-sharded folder shares nothing with its original. FlashInfer, Triton,
Inductor, TileLang, CuTe DSL and CUDA keep caches of their own elsewhere. So each start has folders that belong to one key, made of all
that such a cache may depend on, and a primed one was filled by a start that is never compared.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from bench.config import Settings
from bench.host.host import Host
from bench.system.ownership import renew

MARK = "primed.json"

STARTUP_PLAN = "VLLM_ENABLE_STARTUP_PLAN"


@dataclass(frozen=True)
class JitCache:
    """What keeps a cache: `folder` of ours for it, and where it lies without the variable that moves it, with ~ and {user}."""

    name: str
    folder: str
    elsewhere: str


# By the variable that moves it. vLLM's own holds its startup plan and FlashInfer's tuning too.
# Source: vllm/envs.py, torch/_inductor/runtime/cache_dir_utils.py, triton/knobs.py, flashinfer/jit/env.py, deep_gemm/jit, tilelang/env.py, CUTLASS's
# "JIT Caching", flash_attn/cute/cache_utils.py, quack/cache, tvm_ffi/cpp/extension.py, torch/utils/cpp_extension.py, CUDA's environment variables
FOLDERS = {
    "VLLM_CACHE_ROOT": JitCache("vLLM", "vllm", "~/.cache/vllm"),
    "TORCHINDUCTOR_CACHE_DIR": JitCache("Inductor", "inductor", "{tmp}/torchinductor_{user}"),
    "TRITON_CACHE_DIR": JitCache("Triton", "triton", "~/.triton/cache"),
    "FLASHINFER_WORKSPACE_BASE": JitCache("FlashInfer", "flashinfer", "~/.cache/flashinfer"),
    "CUDA_CACHE_PATH": JitCache("CUDA", "cuda", "~/.nv/ComputeCache"),
    "DG_JIT_CACHE_DIR": JitCache("DeepGEMM", "deep_gemm", "~/.deep_gemm"),
    "TRTLLM_DG_CACHE_DIR": JitCache("TensorRT-LLM's DeepGEMM", "trtllm_deep_gemm", "~/.tensorrt_llm"),
    "TILELANG_CACHE_DIR": JitCache("TileLang", "tilelang", "~/.tilelang/cache"),
    "CUTE_DSL_CACHE_DIR": JitCache("CuTe DSL", "cute_dsl", "{tmp}/{user}/cutlass_python_cache"),
    "FLASH_ATTENTION_CUTE_DSL_CACHE_DIR": JitCache(
        "FlashAttention", "flash_attention", "{tmp}/{user}/flash_attention_cute_dsl_cache"
    ),
    "QUACK_CACHE_DIR": JitCache("QuACK", "quack", "{tmp}/{user}/quack_cache"),
    "TVM_FFI_CACHE_DIR": JitCache("TVM FFI", "tvm_ffi", "~/.cache/tvm-ffi"),
    "TORCH_EXTENSIONS_DIR": JitCache("torch's extensions", "torch_extensions", "~/.cache/torch_extensions"),
}


@dataclass(frozen=True)
class Caches:
    """The folders of one start. `folder` is None where the user's own are used as they are."""

    requested: str  # compile_cache of the settings: primed, fresh, as_is
    folder: Path | None

    @property
    def environment(self) -> dict[str, str]:
        if self.folder is None:
            return {}
        return {name: str((self.folder / cache.folder).resolve()) for name, cache in FOLDERS.items()}

    @property
    def primed(self) -> bool:
        return self.folder is not None and (self.folder / MARK).is_file()


def caches_of(settings: Settings, host: Host) -> Caches:
    """The caches for these settings. Nothing is created or emptied yet."""
    if settings.compile_cache == "as_is":
        return Caches("as_is", None)
    kind = "fresh-" if settings.compile_cache == "fresh" else ""
    return Caches(settings.compile_cache, Path(settings.caches_dir) / f"{kind}{key_of(settings, host)}")


def key_of(settings: Settings, host: Host) -> str:
    """A digest of all that a compile or JIT cache may depend on, and nothing else: starts with the same key may share a cache.

    Neither the load format nor the share of memory is in it: vLLM's key has neither. All other arguments of vLLM are. Where it keeps what it
    measured of its memory, they are: that plan is applied whatever either is.
    """
    plans = (settings.load_format.env | settings.vllm.env).get(STARTUP_PLAN, os.environ.get(STARTUP_PLAN, "0"))
    depends = {
        "checkpoint": str(Path(settings.checkpoint_path).resolve()),
        "tensor_parallel_size": settings.tensor_parallel_size,
        "max_model_len": settings.max_model_len,
        "arguments": {name: value for name, value in settings.arguments.items() if value is not None},
        "environment": settings.vllm.env,
        "python": host.python,
        **({"command": settings.vllm.command} if settings.vllm.command else {}),
        **(
            {"startup_plan": [settings.load_format.name, settings.gpu_memory_utilization]}
            if str(plans) not in {"0", "False", ""}
            else {}
        ),
        "versions": host.versions,
        "device": [host.device.kind, *host.device.names],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def empty(caches: Caches) -> None:
    """Fresh folders. What an earlier start has left there is removed.

    Raises:
        OwnershipError: what lies there is not bench's.
    """
    if caches.folder is not None:
        renew(caches.folder, "compile and JIT caches of vLLM")


def written_elsewhere(caches: Caches, since: float) -> Iterator[str]:
    """A sentence for each cache that should be in our folder, and of which files were written elsewhere since then, in UNIX time: another
    start would find them. Where the user's own are used, that is no news.
    """
    if caches.folder is None:
        return
    with suppress(KeyError, OSError):  # a user without a name
        for variable, cache in FOLDERS.items():
            place = Path(cache.elsewhere.format(user=getuser(), tmp=tempfile.gettempdir())).expanduser()
            if number := sum(1 for _ in _younger(place, since)):
                yield (
                    f"compile_cache={caches.requested} was asked, but {number:,} files were written to {place} meanwhile, the own cache of {cache.name}: "
                    f"this release does not take {variable}, or another program uses it"
                )


def _younger(place: Path, since: float) -> Iterator[Path]:
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):
                if (path := Path(folder, name)).stat().st_mtime > since:
                    yield path


def mark_primed(caches: Caches, run: str) -> None:
    """A start has filled these caches and is over."""
    if caches.folder is not None:
        caches.folder.mkdir(parents=True, exist_ok=True)  # it may have had nothing to keep
        (caches.folder / MARK).write_text(json.dumps({"filled_by": run}), encoding="utf-8")
