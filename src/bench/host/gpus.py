"""The GPUs as they are now: memory, processes, clocks and what slows them down, by NVML, without importing torch."""

from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

GIB = 1024**3

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
    memory_total_gib: float | None = None
    processes: tuple[tuple[int, str], ...] | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None


def look_at_gpus(visible: str | None) -> tuple[Gpu, ...]:
    """Those that `visible` names as CUDA_VISIBLE_DEVICES does; None: all. Empty on a host without NVML.

    A failed query never fails a start: its value is None.
    """
    import pynvml  # from nvidia-ml-py

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_gpu(pynvml, name, handle) for name, handle in _handles(pynvml, visible).items())
    finally:
        pynvml.nvmlShutdown()


class GpuMemory:
    """The memory in use on the first `count` GPUs that `visible` names, for repeated queries. No GPUs on a host without NVML.

    NVML stays open until it is closed: opening it takes longer than all queries.
    """

    def __init__(self, visible: str | None, count: int) -> None:
        import pynvml

        self._nvml = pynvml
        self._handles: list[Any] = []
        self._open = False
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._open = True
            self._handles = list(_handles(pynvml, visible).values())[:count]

    def __len__(self) -> int:
        return len(self._handles)

    def used_gib(self) -> tuple[float | None, ...]:
        """GiB in use on each whole device, the driver's own and other processes' included."""
        answers = [_query(self._nvml, "nvmlDeviceGetMemoryInfo", handle) for handle in self._handles]
        return tuple(None if memory is None else memory.used / GIB for memory in answers)

    def own_gib(self, pids: AbstractSet[int]) -> tuple[float | None, ...]:
        """GiB that these processes use on each device. None: they use none there yet, or NVML lists them under other pids,
        as in most containers.
        """
        answers = [_query(self._nvml, "nvmlDeviceGetComputeRunningProcesses", handle) for handle in self._handles]
        return tuple(_own_gib(running or (), pids) for running in answers)

    def close(self) -> None:
        if self._open:
            _query(self._nvml, "nvmlShutdown")


def _own_gib(running: Any, pids: AbstractSet[int]) -> float | None:
    own = [each.usedGpuMemory for each in running if each.pid in pids]
    return sum(own) / GIB if own and None not in own else None


def _handles(nvml: Any, visible: str | None) -> dict[str, Any]:
    """The GPUs by their id. As for CUDA, an unknown one hides all behind it. CUDA may number unequal GPUs otherwise.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    indices = range(_query(nvml, "nvmlDeviceGetCount") or 0)
    every = {str(index): _query(nvml, "nvmlDeviceGetHandleByIndex", index) for index in indices}
    if visible is None:
        return {name: handle for name, handle in every.items() if handle is not None}
    uuids = {name: str(_query(nvml, "nvmlDeviceGetUUID", handle)) for name, handle in every.items()}
    found: dict[str, Any] = {}
    for item in visible.replace(" ", "").split(","):
        full = next((name for name, uuid in uuids.items() if item.startswith("GPU-") and uuid.startswith(item)), item)
        handle = _query(nvml, "nvmlDeviceGetHandleByUUID", full) if full.startswith("MIG-") else every.get(full)
        if handle is None:
            break
        found[full] = handle
    return found


def _gpu(nvml: Any, name: str, handle: Any) -> Gpu:
    memory = _query(nvml, "nvmlDeviceGetMemoryInfo", handle)
    running = _query(nvml, "nvmlDeviceGetComputeRunningProcesses", handle)
    reasons = _query(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    return Gpu(
        id=name,
        name=_query(nvml, "nvmlDeviceGetName", handle),
        memory_used_gib=None if memory is None else memory.used / GIB,
        memory_total_gib=None if memory is None else memory.total / GIB,
        processes=None if running is None else tuple((each.pid, _process_name(nvml, each.pid)) for each in running),
        sm_clock_mhz=_query(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        max_sm_clock_mhz=_query(nvml, "nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_SM),
        throttle_reasons=None if reasons is None else tuple(SLOWED_BY[bit] for bit in SLOWED_BY if reasons & bit),
    )


def _process_name(nvml: Any, pid: int) -> str:
    """The process's name by NVML, without its folder. /proc is not read: in a container the pid may be another process's there."""
    name = _query(nvml, "nvmlSystemGetProcessName", pid)
    return name.rpartition("/")[2] if name else "a process without a name"


def _query(nvml: Any, function: str, *arguments: Any) -> Any:
    """NVML's answer; None where this GPU, this driver, this release of pynvml or this user gets none, or none that can be decoded."""
    try:
        return getattr(nvml, function)(*arguments)
    except (nvml.NVMLError, AttributeError, UnicodeDecodeError):
        return None
