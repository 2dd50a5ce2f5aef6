"""The GPUs of this host by NVML, without importing torch: names, memory, processes, clocks and what slows them down. Only this module imports NVML."""

from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from typing import Any

GIB = 1024**3
SM_CLOCK = 1  # nvml.h, NVML_CLOCK_SM

# What makes a GPU slower than it could be. An idle one, and clocks that were set by hand, are not among them.
# Source: nvml.h, nvmlClocksEventReason*.
SLOWED_BY = {
    0x04: "SW power cap",
    0x08: "HW slowdown",
    0x20: "SW thermal slowdown",
    0x40: "HW thermal slowdown",
    0x80: "HW power brake",
}


@dataclass(frozen=True)
class Gpu:
    """A GPU that vLLM may use. `id` is its number in nvidia-smi, or the name of a MIG slice; None: NVML does not report it.

    `processes` are those that compute on it, (pid, name); in a container a pid may be the host's.
    `throttle_reasons` are those that slow it down. Clocks are in MHz; a low one is normal before a start.
    """

    id: str
    name: str | None = None
    memory_used_gib: float | None = None
    processes: tuple[tuple[int, str], ...] | None = None
    sm_clock_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None


class Gpus:
    """The first `count` GPUs that `visible` names as CUDA_VISIBLE_DEVICES does; None: all. No GPUs on a host without NVML.

    NVML stays open until `close`: opening it takes longer than all queries. A query that fails is None, never an error.
    """

    def __init__(self, visible: str | None = None, count: int | None = None) -> None:
        self._nvml = _opened()
        self._handles = dict(list(self._visible(visible).items())[:count]) if self._nvml else {}

    def __len__(self) -> int:
        return len(self._handles)

    def driver(self) -> str | None:
        """The driver's version."""
        version: str | None = self._query("nvmlSystemGetDriverVersion")
        return version

    def look(self) -> tuple[Gpu, ...]:
        """Each GPU as it is now."""
        return tuple(self._gpu(name, handle) for name, handle in self._handles.items())

    def used_gib(self) -> tuple[float | None, ...]:
        """GiB in use on each whole device, the driver's own and other processes' included."""
        answers = [self._query("nvmlDeviceGetMemoryInfo", handle) for handle in self._handles.values()]
        return tuple(None if memory is None else memory.used / GIB for memory in answers)

    def own_gib(self, pids: AbstractSet[int]) -> tuple[float | None, ...]:
        """GiB that these processes use on each device. None: they use none there yet, or NVML lists them under other pids,
        as in most containers.
        """
        answers = [self._query("nvmlDeviceGetComputeRunningProcesses", handle) for handle in self._handles.values()]
        return tuple(_own_gib(running or (), pids) for running in answers)

    def close(self) -> None:
        if self._nvml:
            self._query("nvmlShutdown")

    def _visible(self, visible: str | None) -> dict[str, Any]:
        """Handles by id. As for CUDA, an unknown one hides all behind it. CUDA may number unequal GPUs otherwise.

        Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
        """
        indices = range(self._query("nvmlDeviceGetCount") or 0)
        every = {str(index): self._query("nvmlDeviceGetHandleByIndex", index) for index in indices}
        if visible is None:
            return {name: handle for name, handle in every.items() if handle is not None}
        uuids = {name: str(self._query("nvmlDeviceGetUUID", handle)) for name, handle in every.items()}
        found: dict[str, Any] = {}
        for item in visible.replace(" ", "").split(","):
            full = next(
                (name for name, uuid in uuids.items() if item.startswith("GPU-") and uuid.startswith(item)), item
            )
            is_slice = full.startswith("MIG-")
            handle = self._query("nvmlDeviceGetHandleByUUID", full) if is_slice else every.get(full)
            if handle is None:
                break
            found[full] = handle
        return found

    def _gpu(self, name: str, handle: Any) -> Gpu:
        memory = self._query("nvmlDeviceGetMemoryInfo", handle)
        running = self._query("nvmlDeviceGetComputeRunningProcesses", handle)
        reasons = self._query("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return Gpu(
            id=name,
            name=self._query("nvmlDeviceGetName", handle),
            memory_used_gib=None if memory is None else memory.used / GIB,
            processes=None if running is None else tuple((each.pid, self._process_name(each.pid)) for each in running),
            sm_clock_mhz=self._query("nvmlDeviceGetClockInfo", handle, SM_CLOCK),
            throttle_reasons=None if reasons is None else tuple(SLOWED_BY[bit] for bit in SLOWED_BY if reasons & bit),
        )

    def _process_name(self, pid: int) -> str:
        """The process's name by NVML, without its folder. /proc is not read: in a container the pid may be another process's there."""
        name = self._query("nvmlSystemGetProcessName", pid)
        return name.rpartition("/")[2] if name else "a process without a name"

    def _query(self, function: str, *arguments: Any) -> Any:
        """None where this GPU, driver, user or release of pynvml has no answer, or none that can be decoded."""
        if self._nvml is None:
            return None
        try:
            return getattr(self._nvml, function)(*arguments)
        except (self._nvml.NVMLError, AttributeError, UnicodeDecodeError):
            return None


def look_at_gpus(visible: str | None) -> tuple[Gpu, ...]:
    """The GPUs that `visible` names, once."""
    with closing(Gpus(visible)) as gpus:
        return gpus.look()


def _opened() -> Any:
    """The module pynvml, with NVML open; None on a host without NVML."""
    import pynvml  # from nvidia-ml-py

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _own_gib(running: Any, pids: AbstractSet[int]) -> float | None:
    own = [each.usedGpuMemory for each in running if each.pid in pids]
    return sum(own) / GIB if own and None not in own else None
