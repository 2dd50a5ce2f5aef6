"""What this host is: GPUs, CPU, kernel, and the state of our own source.

Determined from outside: neither torch nor vllm is imported here. What cannot be determined is None.
"""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.host.gpus import Gpus


@dataclass(frozen=True)
class Device:
    """What vLLM will run on. `kind` is cuda, rocm or cpu; `names` has an entry for each GPU, none on a CPU."""

    kind: str
    names: tuple[str, ...] = ()
    driver: str | None = None
    cores: tuple[int, ...] = ()  # that this process may use


def find_device() -> Device:
    """CUDA GPUs by NVML, ROCm by its device node; a host with neither is a CPU host."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    with closing(Gpus()) as gpus:
        if gpus:
            return Device("cuda", tuple(each.name or "unknown" for each in gpus.look()), gpus.driver(), cores)
    return Device("rocm" if Path("/dev/kfd").exists() else "cpu", cores=cores)


def compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU, or None.

    Source: torch/_inductor/cpp_builder.py, which takes CXX, else g++.
    """
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def describe_host(device: Device) -> dict[str, str]:
    """Facts about this host that a number depends on, flat, by name. What is unknown is left out."""
    facts = {
        "host": socket.gethostname(),
        "gpu": joined(device.names) or None,
        "gpu_count": str(len(device.names)) if device.names else None,
        "gpu_driver": device.driver,
        "device": device.kind,
        "cpu": _first_value("/proc/cpuinfo", "model name"),
        "cpu_cores": str(len(device.cores)),
        "memory_gib": _memory_gib(),
        "kernel": platform.release(),
        "bench_python": platform.python_version(),
    }
    return {name: value for name, value in facts.items() if value}


def of_one_host(facts: Mapping[str, str]) -> dict[str, str]:
    """Those that stay as they are while a host does; its memory to two digits, which is a little different from boot to boot."""
    memory = {"memory_gib": f"{float(facts['memory_gib']):.2g}"} if "memory_gib" in facts else {}
    return {name: value for name, value in facts.items() if name != "bench_python"} | memory


def joined(names: Iterable[str]) -> str:
    """The names of GPUs as the fact `gpu` has them, one for each GPU."""
    return ", ".join(names)


def names_in(text: str) -> list[str]:
    """The inverse of `joined`."""
    return text.split(", ")


def _first_value(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _memory_gib() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.1f}"


def describe_source() -> dict[str, str]:
    """The git commit of this checkout of bench and whether it was changed since. Empty for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    commit = _git(root, "rev-parse", "HEAD") if (root / "pyproject.toml").is_file() else None
    if commit is None:
        return {}
    return {"git_commit": commit, "git_dirty": str(bool(_git(root, "status", "--porcelain"))).lower()}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
