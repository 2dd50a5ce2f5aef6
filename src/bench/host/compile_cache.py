"""The compile and JIT caches of vLLM, in folders of ours: fresh, primed, or left as they are.

vLLM's own compile cache is keyed by the model's path and max_model_len, not by the load format: in a sweep over formats
the first start compiles for all others, and a pre-sharded folder shares nothing with its original. FlashInfer, Triton,
Inductor and CUDA keep caches of their own elsewhere. So each start has folders that belong to one key, made of all
that such a cache may depend on, and a primed one was filled by a start that is never compared.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from bench.config import Settings
from bench.host.host import Host
from bench.system.ownership import renew

MARK = "primed.json"

# What keeps a cache, and the variable that moves it.
FOLDERS = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "CUDA_CACHE_PATH": "cuda",
    "DG_JIT_CACHE_DIR": "deep_gemm",
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
        return {name: str((self.folder / below).resolve()) for name, below in FOLDERS.items()}

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

    Neither the load format nor the share of memory is in it: vLLM's key has neither. All other arguments of vLLM are.
    """
    depends = {
        "checkpoint": str(Path(settings.checkpoint_path).resolve()),
        "tensor_parallel_size": settings.tensor_parallel_size,
        "max_model_len": settings.max_model_len,
        "arguments": {name: value for name, value in settings.arguments.items() if value is not None},
        "environment": settings.vllm.env,
        "python": host.python,
        **({"command": settings.vllm.command} if settings.vllm.command else {}),
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


def mark_primed(caches: Caches, run: str) -> None:
    """A start has filled these caches and is over."""
    if caches.folder is not None:
        caches.folder.mkdir(parents=True, exist_ok=True)  # it may have had nothing to keep
        (caches.folder / MARK).write_text(json.dumps({"filled_by": run}), encoding="utf-8")
