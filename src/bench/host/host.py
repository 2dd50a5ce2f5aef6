"""Where vLLM will run: the device, the measured environment, and the arguments and environment that they require."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.config import Settings
from bench.errors import SettingError
from bench.host.device import Device, compiler, find_device
from bench.host.versions import measured_versions


@dataclass(frozen=True)
class Needs:
    """Arguments and environment besides those of the settings; `notes` explain each decision in words."""

    arguments: dict[str, Any]
    environment: dict[str, str]
    notes: tuple[str, ...] = ()


def needs_of(settings: Settings, device: Device, compiler: str | None) -> Needs:
    """The arguments and environment that vLLM needs on this device for these settings.

    Raises:
        SettingError: on a CPU, more ranks than there are cores.
    """
    share = settings.gpu_memory_utilization
    if device.kind != "cpu":
        return Needs({"gpu_memory_utilization": 0.9 if share is None else share}, {})
    # On a CPU it is a share of the host's memory, and that much of it must be free: 0.9 would hardly ever start.
    arguments: dict[str, Any] = {"gpu_memory_utilization": 0.2 if share is None else share}
    notes: tuple[str, ...] = ()
    if compiler is None and "enforce_eager" not in settings.arguments:
        arguments["enforce_eager"] = True
        notes = ("no C++ compiler on this host, so torch.compile is off (vllm.args.enforce_eager=true)",)
    return Needs(arguments, cpu_environment(settings.tensor_parallel_size, device.cores), notes)


def cpu_environment(ranks: int, cores: Sequence[int]) -> dict[str, str]:
    """The KV cache's GiB, and for several ranks the cores of each: without them vLLM refuses a single NUMA node."""
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    if ranks > len(cores):
        raise SettingError(
            f"tensor_parallel_size={ranks}: on a CPU each rank needs a core of its own; there are {len(cores)}."
        )
    if ranks > 1:
        share = len(cores) // ranks
        groups = [cores[rank * share : (rank + 1) * share] for rank in range(ranks)]
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, group)) for group in groups)
    return environment


@dataclass(frozen=True)
class Host:
    """What one start runs on. `versions` are those of the measured environment: vllm is always among them."""

    device: Device
    python: str
    versions: dict[str, str]
    needs: Needs


def look_at_host(settings: Settings) -> Host:
    """Find the device and the measured vLLM; each is queried once in a process.

    Raises:
        SettingError: the interpreter has no vLLM, or this device cannot hold the ranks.
    """
    device = _device()
    python = settings.vllm.python or sys.executable
    return Host(device, python, _versions(python), needs_of(settings, device, compiler()))


_device = cache(find_device)
_versions = cache(measured_versions)


def identity(settings: Settings, host: Host) -> str:
    """A digest of everything that decides what a start measures: settings, versions, device."""
    decides = {
        "settings": {name: value for name, value in settings.unmasked().items() if not name.startswith("vllm.stop")},
        "versions": host.versions,
        "device": [host.device.kind, *host.device.names],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
