"""What vLLM must be told on this kind of host, so that settings can stay the same on all of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.config import Settings
from bench.errors import SettingError
from bench.host.environment import Device


@dataclass(frozen=True)
class Needs:
    """Arguments and environment on top of what the settings say; `notes` tell a person what was decided and why."""

    arguments: dict[str, Any]
    environment: dict[str, str]
    notes: tuple[str, ...] = ()


def needs_of(settings: Settings, device: Device, compiler: str | None) -> Needs:
    """What this device asks of vLLM for these settings.

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
