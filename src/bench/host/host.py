"""Where vLLM will run: the device, the measured environment, and the arguments and environment that they require."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from bench.config import Settings
from bench.errors import SettingError
from bench.host.container import PYTHON
from bench.host.device import Device, compiler, find_device
from bench.host.rehearsal import rehearsal_of, rehearse
from bench.host.versions import Installed, measured_environment


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
    sizes = sizes_here(settings)
    if (ranks := prod(sizes.values())) > len(device.cores):
        named = ", ".join(f"{name}={size}" for name, size in sizes.items() if size > 1)
        raise SettingError(f"{named}: on a CPU each rank needs a core of its own; there are {len(device.cores)}.")
    return Needs(arguments, cpu_environment(ranks, device.cores), notes)


def sizes_here(settings: Settings) -> dict[str, int]:
    """Of the parallel groups on this host, whose product is the number of ranks. vLLM binds those to cores, all in one list.

    Source: vllm/utils/ompmultiprocessing.py
    """
    given = settings.arguments
    local = "data_parallel_size_local"
    names = ("pipeline_parallel_size", local if given.get(local) else "data_parallel_size")
    more = {name: size for name in names if isinstance(size := given.get(name), int)}
    return {"tensor_parallel_size": settings.tensor_parallel_size, **more}


def cpu_environment(ranks: int, cores: Sequence[int]) -> dict[str, str]:
    """The KV cache's GiB, and for several ranks the cores of each: without them vLLM refuses a single NUMA node."""
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1"}
    if ranks > 1:
        share = len(cores) // ranks
        groups = [cores[rank * share : (rank + 1) * share] for rank in range(ranks)]
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, group)) for group in groups)
    return environment


@dataclass(frozen=True)
class Host:
    """What one start runs on. `versions` are those of the measured environment: vllm is always among them. `entrypoint`: which of
    vLLM's servers is executed there, serve or module.
    """

    device: Device
    python: str
    versions: dict[str, str]
    needs: Needs
    entrypoint: str = "serve"


def look_at_host(settings: Settings) -> Host:
    """Find the device and the measured vLLM; each is queried once in a process.

    Raises:
        SettingError: the interpreter has no vLLM, a container does not get what it needs, or there is not the entry point that is set, or this device cannot hold the ranks.
    """
    device = _device()
    python = settings.vllm.python or sys.executable
    variables = python_variables(settings)
    if settings.vllm.command:
        python = settings.vllm.python or PYTHON
        found = _rehearsed(rehearsal_of(settings, python))
    else:
        found = _installed(python, variables)
    needs = needs_of(settings, device, compiler())
    return Host(device, python, found.versions, needs, entrypoint_of(settings.vllm.entrypoint, python, found))


def python_variables(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Those of vLLM's that the interpreter itself takes, as PYTHONPATH."""
    given = settings.load_format.env | settings.vllm.env
    return tuple(
        (name, str(value)) for name, value in sorted(given.items()) if name.startswith("PYTHON") and value is not None
    )


_device = cache(find_device)
_installed = cache(measured_environment)
_rehearsed = cache(rehearse)


def entrypoint_of(chosen: str, python: str, found: Installed) -> str:
    """The entry point of vLLM's server: the one that is set, or `vllm serve` where it can be executed, else the module.

    Raises:
        SettingError: it cannot be executed.
    """
    usable = found.entrypoints
    if (chosen in usable) or (chosen == "auto" and usable):
        return usable[0] if chosen == "auto" else chosen
    vllm = f"vllm.python={python}: {found.versions.get('vllm_package', 'vllm')} {found.versions['vllm']} there"
    if not usable:
        raise SettingError(
            f"{vllm} has neither vllm/entrypoints/cli/main.py nor vllm/entrypoints/openai/api_server.py. Install it again."
        )
    why = " (`vllm` asks for the metadata of a package named vllm)" if chosen == "serve" else ""
    raise SettingError(
        f"{vllm} cannot be started by vllm.entrypoint={chosen}{why}. Set vllm.entrypoint={usable[0]} or auto."
    )


def identity(settings: Settings, host: Host) -> str:
    """A digest of everything that decides what a start measures: settings, versions, device."""
    decides = {
        "settings": {name: value for name, value in settings.unmasked().items() if not name.startswith("vllm.stop")},
        "versions": host.versions,
        "entrypoint": host.entrypoint,
        "device": [host.device.kind, *host.device.names],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
