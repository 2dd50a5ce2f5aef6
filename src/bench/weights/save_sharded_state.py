"""Cuts a checkpoint for a tensor-parallel size with vLLM's own writer. Run as a script by the interpreter that has vLLM.

    python save_sharded_state.py MODEL FOLDER '{"tensor_parallel_size": 2, …}'

Source: save_sharded_state in vllm/model_executor/model_loader/sharded_state_loader.py and vLLM's example of that name.

On a CPU with oneDNN's or AMX's kernels vLLM packs the weights of linear layers when they are loaded, and drops what it packed: its
writer, which comes after, then leaves most of the model out (0.32.0; vllm/model_executor/layers/utils.py). So they are kept here.
"""

import json
import shutil
import sys
from pathlib import Path

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
LEFT_OUT = {".bench", "bench_manifest.json", "model.safetensors.index.json", "pytorch_model.bin.index.json"}


def keep_what_is_packed() -> None:
    """Makes vLLM keep them in this process; spawned ones run this file's top again. Other devices, and releases without it, are left alone."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils

    pack = getattr(utils, "dispatch_cpu_unquantized_gemm", None)
    if pack is not None:
        utils.dispatch_cpu_unquantized_gemm = lambda layer, *_, **__: pack(layer, remove_weight=False)


def main() -> None:
    """Load, cut, copy the rest."""
    from vllm import LLM

    model, folder, arguments = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    llm = LLM(model=model, enforce_eager=True, **arguments)
    llm.llm_engine.engine_core.save_sharded_state(path=str(folder), pattern=None, max_size=5 * 1024**3)
    copy_the_rest(local_folder(model), folder)


def local_folder(model: str) -> Path:
    """Where the model's files lie: the folder itself, or the hub's snapshot that vLLM has just loaded."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, local_files_only=True, ignore_patterns=[f"*{suffix}" for suffix in WEIGHTS]))


def copy_the_rest(source: Path, folder: Path) -> None:
    """Config and tokenizer: every file at the top that holds no weights."""
    for path in source.iterdir():
        if path.is_file() and path.suffix not in WEIGHTS and path.name not in LEFT_OUT:
            shutil.copy(path, folder)


if __name__ in {"__main__", "__mp_main__"}:
    keep_what_is_packed()
if __name__ == "__main__":
    main()
