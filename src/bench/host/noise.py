"""The noise of the rig before a start: what else keeps this host and its GPUs busy, and waiting until it is over.

A start that shares cores, memory or GPU with something else measures that too. So the rig is measured before each
start; while something is above its limit, the start waits, and what remains is reported. What cannot be measured is None, and
counts as no noise.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.config import RigLimits, Settings
from bench.host.counters import Reading, memory_gib, read_counters, used_by
from bench.host.gpus import Gpu, look_at_gpus
from bench.host.noise_during import noise_between

VISIBLE = "CUDA_VISIBLE_DEVICES"
WINDOW_S = 0.25  # over which busy cores are counted: 25 ticks of /proc/stat on each
POLL_S = 1.0

# The least memory that this process has measured in use on each GPU, GiB: the driver's own, and that of processes which stay.
LEVEL_GIB: dict[str, float] = {}

Waiting = Callable[[list[str]], None]


@dataclass(frozen=True)
class Rig:
    """One measurement of the host. `cores` are those that we may use, `busy_cores` how many of them others keep busy."""

    cores: int
    load_average: float | None = None  # of the last minute
    busy_cores: float | None = None
    free_memory_gib: float | None = None  # that can be had without swapping
    swap_used_gib: float | None = None
    gpus: tuple[Gpu, ...] = ()  # none where there is no NVML

    @property
    def gpu_memory_used_gib(self) -> float | None:
        """Of all GPUs together; this and the next two are None where it is unknown of one of them."""
        used = _of_all(gpu.memory_used_gib for gpu in self.gpus)
        return sum(used) if used else None

    @property
    def gpu_processes(self) -> int | None:
        """How many processes use any of them."""
        processes = _of_all(gpu.processes for gpu in self.gpus)
        return len({pid for some in processes for pid, _ in some}) if processes else None

    @property
    def gpu_sm_clock_mhz(self) -> float | None:
        """Of the slowest."""
        return min(_of_all(gpu.sm_clock_mhz for gpu in self.gpus), default=None)


def look_at_rig(visible: str | None = None) -> Rig:
    """Measures this host and the GPUs that `visible` names, in the format of CUDA_VISIBLE_DEVICES; None: those of our own
    environment. Takes a quarter of a second.
    """
    memory = memory_gib()
    swap = memory.get("SwapTotal"), memory.get("SwapFree")
    return Rig(
        cores=len(os.sched_getaffinity(0)),
        load_average=_load_average(),
        busy_cores=_busy_cores(),
        free_memory_gib=memory.get("MemAvailable"),
        swap_used_gib=None if swap[0] is None or swap[1] is None else swap[0] - swap[1],
        gpus=look_at_gpus(os.environ.get(VISIBLE) if visible is None else visible),
    )


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _busy_cores() -> float | None:
    """How many of our cores are at work for others, on average over the window. None: the kernel does not count it."""
    before = _look()
    time.sleep(WINDOW_S)
    share = noise_between(before.at_s, math.inf, [before, _look()]).others_cpu
    return None if share is None else share * len(os.sched_getaffinity(0))


def _look() -> Reading:
    """Ours is this very process, which draws its progress meanwhile."""
    return read_counters(time.monotonic(), used_by(["self"]))


def noise(rig: Rig, limits: RigLimits, level_gib: Mapping[str, float]) -> list[str]:
    """A sentence for each thing that would disturb a start: what was measured, and the setting that limits it.

    `level_gib` is the memory in use on each GPU when nothing of ours runs. The load average is no criterion: it lags by a
    minute, and so would still hold our own start that has just ended.
    """
    return [
        *_noise_of_host(rig, limits),
        *(sentence for gpu in rig.gpus for sentence in _noise_of_gpu(gpu, limits, level_gib)),
    ]


def _noise_of_host(rig: Rig, limits: RigLimits) -> list[str]:
    busy, free, swap = rig.busy_cores, rig.free_memory_gib, rig.swap_used_gib
    found = []
    if busy is not None and busy > limits.busy_cores_at_most * rig.cores:
        share = limits.busy_cores_at_most
        found.append(f"{busy:.1f} of {rig.cores} cores are busy with something else (rig.busy_cores_at_most={share:g})")
    if free is not None and free < limits.free_memory_at_least_gib:
        least = limits.free_memory_at_least_gib
        found.append(f"only {free:.1f} GiB of memory are free (rig.free_memory_at_least_gib={least:g})")
    if swap is not None and swap > limits.swap_used_at_most_gib:
        found.append(f"{swap:.1f} GiB are swapped out (rig.swap_used_at_most_gib={limits.swap_used_at_most_gib:g})")
    return found


def _noise_of_gpu(gpu: Gpu, limits: RigLimits, level_gib: Mapping[str, float]) -> list[str]:
    found = []
    if gpu.processes and len(gpu.processes) > limits.gpu_processes_at_most:
        who = ", ".join(f"{name} (pid {pid})" for pid, name in gpu.processes)
        found.append(f"GPU {gpu.id} is used by {who} (rig.gpu_processes_at_most={limits.gpu_processes_at_most})")
    used, level = gpu.memory_used_gib, level_gib.get(gpu.id)
    if used is not None and level is not None and used - level > limits.gpu_leftover_at_most_gib:
        found.append(
            f"{used:.1f} GiB of GPU {gpu.id} are in use, {used - level:.1f} more than when it was free: left by the start "
            f"before, or a neighbour's (rig.gpu_leftover_at_most_gib={limits.gpu_leftover_at_most_gib:g})"
        )
    if gpu.throttle_reasons and not limits.gpu_throttled:
        found.append(f"GPU {gpu.id} is slowed down: {', '.join(gpu.throttle_reasons)} (rig.gpu_throttled=false)")
    return found


def ignore_noise(_: list[str]) -> None:
    """No-op callback."""


def quiet_rig(settings: Settings, waiting: Waiting = ignore_noise) -> tuple[Rig, list[str]]:
    """`settle` for the GPUs that this start's vLLM will see."""
    return settle(settings.rig, lambda: look_at_rig(visible_gpus(settings)), waiting=waiting)


def visible_gpus(settings: Settings) -> str | None:
    """CUDA_VISIBLE_DEVICES as this start's vLLM will see it. None: not set, so all GPUs are visible."""
    chosen = (settings.load_format.env | settings.vllm.env).get(VISIBLE)
    return os.environ.get(VISIBLE) if chosen is None else str(chosen)


def settle(
    limits: RigLimits,
    look: Callable[[], Rig] = look_at_rig,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    waiting: Waiting = ignore_noise,
) -> tuple[Rig, list[str]]:
    """Measures the rig, and waits at most `wait_s` for the noise to end. Returns the last measurement, and the noise that remains.

    `waiting` is called once with the noise, when the waiting begins.
    """
    began_s = clock()
    rig, found = _judged(look(), limits)
    if found and limits.wait_s > 0:
        waiting(found)
    while found and (left_s := began_s + limits.wait_s - clock()) > 0:
        sleep(min(POLL_S, left_s))
        rig, found = _judged(look(), limits)
    return rig, found


def _judged(rig: Rig, limits: RigLimits) -> tuple[Rig, list[str]]:
    """A measurement and its noise. Updates LEVEL_GIB, the least memory in use so far: a process that was there at first may have ended since."""
    for gpu in rig.gpus:
        if gpu.memory_used_gib is not None:
            LEVEL_GIB[gpu.id] = min(gpu.memory_used_gib, LEVEL_GIB.get(gpu.id, gpu.memory_used_gib))
    return rig, noise(rig, limits, LEVEL_GIB)


def _of_all(values: Iterable[Any]) -> list[Any]:
    """All of them, or none: a sum without one of its parts would be wrong."""
    every = list(values)
    known = [value for value in every if value is not None]
    return known if len(known) == len(every) else []
