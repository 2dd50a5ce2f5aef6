"""Cuts a checkpoint for a tensor-parallel size. Run as a script by the interpreter that has vLLM.

    python save_before_processing.py MODEL FOLDER '{"tensor_parallel_size": 2, …}'

Each worker writes its state when its weights are loaded and not yet processed for a kernel: what vLLM's sharded loader will
fill a fresh model with, before it processes it again. vLLM's own save_sharded_state comes after processing, which packs,
swizzles or drops weights (CPU kernels, MXFP4, FP8). When all ranks have written, vLLM is ended: no KV cache, no profiling.

Workers are forked, and then have what is changed here, or spawned, and then run the top of this file again.

Source: BaseModelLoader.load_model in vllm/model_executor/model_loader/base_loader.py; ShardedStateLoader in
sharded_state_loader.py, whose choice of tensors and names of files this follows. Checked with vLLM 0.32.0 and 0.26.0.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
PART_BYTES = 5 * 1024**3  # of a file, at most, unless a tensor is larger
CHUNK_BYTES = 64 * 1024**2  # from device to host at a time
WRITERS = 3  # files at a time, for each rank
POLL_S = 0.05
ENDING_S = 1.0  # how long vLLM may take to report when its workers have ended
FOLDER, RANKS, MAIN = "BENCH_CUT_FOLDER", "BENCH_CUT_RANKS", "BENCH_CUT_MAIN_PID"
PACKAGE = "vllm.model_executor.model_loader"
HOMES = (f"{PACKAGE}.utils", f"{PACKAGE}.base_loader", f"{PACKAGE}.sharded_state_loader", f"{PACKAGE}.loader", PACKAGE)
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip  # safetensors' names
FRESH: list[dict[str, Any]] = []  # of this process's model, before its weights are loaded


FINISHING = threading.Lock()


def main() -> None:
    """Load until every rank has written, copy the rest."""
    model, folder, arguments = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    from vllm import LLM

    threading.Thread(target=finish_when_written, args=(model, folder), daemon=True).start()
    try:
        LLM(model=model, enforce_eager=True, **arguments)
    except Exception:  # whatever vLLM raises when its workers have ended
        if not all_written(folder):
            raise
    if not all_written(folder):
        sys.exit("bench cannot cut this checkpoint: vLLM loaded it and did not call process_weights_after_loading")
    finish(model, folder)


def finish_when_written(model: str, folder: Path) -> None:
    """Ends this process soon after the last rank has written, whatever vLLM does."""
    while not all_written(folder):
        time.sleep(POLL_S)
    time.sleep(ENDING_S)
    finish(model, folder)


def finish(model: str, folder: Path) -> NoReturn:
    """Copy the rest, and end this process: the keeper of its tree ends what is left of vLLM."""
    with FINISHING:
        copy_the_rest(local_folder(model), folder)
        print_line(
            f"all ranks have written their state to {folder}. Then vLLM was ended: errors above that say so are meant."
        )
        os._exit(0)


def save_before_processing() -> None:
    """Have every model that is made in this process written before its weights are processed.

    Raises:
        RuntimeError: this vLLM has one of the names elsewhere.
    """
    initialize = found("initialize_model", "_initialize_model")
    process = found("process_weights_after_loading", "_process_weights_after_loading")
    select = vars(found("ShardedStateLoader"))[
        "_filter_subtensors"
    ].__func__  # of several views of one tensor the largest

    @functools.wraps(initialize)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        model = initialize(*args, **kwargs)
        FRESH.append(described(select(model.state_dict())))
        return model

    @functools.wraps(process)
    def saved_first(model: Any, *_: Any, **__: Any) -> Any:
        folder = Path(os.environ[FOLDER])
        write_state(select(model.state_dict()), folder)
        while not all_written(folder):  # ending now would end the ranks that still write
            time.sleep(POLL_S)
        if os.environ[MAIN] == str(os.getpid()):  # vLLM without processes of its own
            finish(model=sys.argv[1], folder=folder)
        os._exit(0)

    replace_everywhere(initialize, recorded)
    replace_everywhere(process, saved_first)


def found(*names: str) -> Any:
    """Something of vLLM's, by one of its names, wherever a release has it."""
    for home in HOMES:
        try:
            module = importlib.import_module(home)
        except ModuleNotFoundError:
            continue
        for name in names:
            if name in vars(module):
                return vars(module)[name]
    import vllm

    raise RuntimeError(
        f"bench cannot cut a checkpoint with vLLM {vllm.__version__}: no {names[0]} in {', '.join(HOMES)}"
    )


def replace_everywhere(function: Any, replacement: Any) -> None:
    """Also where other modules have imported it by name."""
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", None)
        if isinstance(namespace, dict):
            for name in [name for name, value in list(namespace.items()) if value is function]:
                namespace[name] = replacement


def print_line(text: str) -> None:
    """Prints a line into the log that bench keeps."""
    sys.stdout.write(f"bench: {text}\n")
    sys.stdout.flush()


def all_written(folder: Path) -> bool:
    """Whether every rank's files are whole."""
    return all((folder / list_of(rank)).exists() for rank in range(int(os.environ[RANKS])))


def list_of(rank: int) -> str:
    """The path of the list of a rank's tensors. It is written last, so its existence shows that the files are whole."""
    return f"bench_tensors-rank-{rank}.json"


def described(state: dict[str, Any]) -> dict[str, Any]:
    """Type and shape of every tensor, as safetensors' headers have them."""
    return {name: [dtype_of(name, tensor), list(tensor.shape)] for name, tensor in state.items()}


def dtype_of(name: str, tensor: Any) -> str:
    """By safetensors' name."""
    dtype = str(tensor.dtype).replace("torch.", "")
    if dtype not in DTYPES:
        raise RuntimeError(f"bench cannot cut this checkpoint: {name} is {dtype}, which safetensors files do not hold")
    return DTYPES[dtype]


def write_state(state: dict[str, Any], folder: Path) -> None:
    """Write the rank's files, and the list of what a fresh model has, which they must hold."""
    from vllm.distributed import get_tensor_model_parallel_rank

    rank, fresh = get_tensor_model_parallel_rank(), FRESH[-1]
    refuse_changed(fresh, described(state))
    device = next(iter(state.values())).device
    use_device(device)  # and wait until what loading has begun on it is done
    began_s = time.monotonic()
    parts = [(folder / f"model-rank-{rank}-part-{part}.safetensors", each) for part, each in enumerate(in_parts(state))]
    with ThreadPoolExecutor(WRITERS, initializer=use_device, initargs=(device,)) as pool:
        written = sum(pool.map(lambda part: write_file(*part), parts))
    print_line(f"rank {rank} wrote {written / 1024**3:.2f} GiB in {time.monotonic() - began_s:.1f} s")
    partial = folder / f"bench_rank-{rank}.partial"
    partial.write_text(json.dumps(fresh), encoding="utf-8")
    partial.rename(folder / list_of(rank))


def use_device(device: Any) -> None:
    """A thread begins with the first GPU; this rank's may be another."""
    if device.type == "cuda":
        import torch

        torch.cuda.set_device(device)
        torch.cuda.synchronize(device)


def refuse_changed(fresh: dict[str, Any], loaded: dict[str, Any]) -> None:
    """A sharded loader fills a fresh model, so its parameters must be what they were before loading."""
    changed = sorted(name for name in fresh.keys() | loaded.keys() if fresh.get(name) != loaded.get(name))
    if changed:
        name = changed[0]
        raise RuntimeError(
            f"bench cannot cut this checkpoint: loading changes {len(changed)} of its parameters, among them {name} "
            f"from {fresh.get(name)} to {loaded.get(name)} (quantised while it is loaded?). Choose a load format that reads the original"
        )


def in_parts(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What goes into each file."""
    parts: list[dict[str, Any]] = [{}]
    filled = 0
    for name, tensor in state.items():
        size = bytes_of(tensor)
        if parts[-1] and filled + size > PART_BYTES:
            parts.append({})
            filled = 0
        parts[-1][name] = tensor
        filled += size
    return parts


def bytes_of(tensor: Any) -> int:
    """Of its values."""
    return int(tensor.nelement() * tensor.element_size())


def write_file(path: Path, tensors: dict[str, Any]) -> int:
    """A safetensors file, a chunk in memory at a time. Returns its tensors' bytes.

    Source: https://github.com/huggingface/safetensors#format; the widest types first, so that each tensor is aligned.
    """
    import torch

    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in ordered:
        begin, end = end, end + bytes_of(tensors[name])
        dtype, shape = described({name: tensors[name]})[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb", buffering=0) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            flat = tensors[name].detach().contiguous().reshape(-1).view(torch.uint8)
            for chunk in flat.split(CHUNK_BYTES):
                data = memoryview(chunk.cpu().numpy())
                while data:
                    data = data[file.write(data) :]
    return end


def local_folder(model: str) -> Path:
    """Where the model's files lie: the folder itself, or the hub's snapshot that vLLM has just loaded."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(model, local_files_only=True, ignore_patterns=[f"*{suffix}" for suffix in WEIGHT_SUFFIXES])
    )


def copy_the_rest(source: Path, folder: Path) -> None:
    """Config and tokenizer: every file at the top that holds no weights, is no index of them, and is not bench's own."""
    for path in source.iterdir():
        own = path.name.startswith((".", "bench_"))
        if path.is_file() and path.suffix not in WEIGHT_SUFFIXES and not own and not path.name.endswith(".index.json"):
            shutil.copy(path, folder)


if __name__ == "__main__":
    os.environ[FOLDER], os.environ[RANKS] = sys.argv[2], str(json.loads(sys.argv[3])["tensor_parallel_size"])
    os.environ[MAIN] = str(os.getpid())
if __name__ in {"__main__", "__mp_main__"}:
    save_before_processing()
if __name__ == "__main__":
    main()
