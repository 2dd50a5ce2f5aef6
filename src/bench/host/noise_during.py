"""The noise of the rig during a stretch of a start: what others took of this host meanwhile, by the kernel's counters and NVML's. Pure.

Pressure on processors and on storage is recorded and not judged: vLLM's own threads and reads cause it too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.config import RigLimits
from bench.host.counters import GIB, Reading
from bench.host.gpus import Gpu


@dataclass(frozen=True)
class GpuReading:
    """The GPUs of a start at one moment, and the processes of the start by their pids here."""

    at_s: float
    gpus: tuple[Gpu, ...]
    ours: frozenset[int]


R = TypeVar("R", Reading, GpuReading)


@dataclass(frozen=True)
class NoiseDuring:
    """Of one stretch. Shares are 0 to 1. None: this host does not show it."""

    others_cpu: float | None = None  # share of the cores that we may use
    # Of the checkpoint's disk; at least: what we read of another disk is taken off too.
    others_read_gib_per_s: float | None = None
    others_written_gib_per_s: float | None = None
    cpu_pressure: float | None = None  # share of the time in which some process of this host waited for it
    io_pressure: float | None = None
    memory_pressure: float | None = None
    cpu_throttled: float | None = None  # share of the periods of the cgroup's quota
    free_memory_gib: float | None = None  # the least
    gpu_sm_clock_mhz: float | None = None  # the highest, of the GPU on which that was lowest
    gpu_throttled: float | None = None  # share of the looks in which a GPU was slowed down
    gpu_other_processes: float | None = None  # the most at once on all GPUs
    gpu_throttle_reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of noise that is judged: a field of NoiseDuring, the setting under `rig` that limits it, `words` with {} for the value; and from
    which difference on two arms of a comparison are not equally disturbed. None: they are not compared in it.
    """

    field: str
    limit: str
    words: str
    differs_from: float | None

    def exceeds(self, value: float, limits: RigLimits) -> bool:
        limit = getattr(limits, self.limit)
        if isinstance(limit, bool):
            return value > 0 and not limit
        return bool(value < limit if "_at_least_" in self.limit else value > limit)


KINDS = (
    Kind("others_cpu", "busy_cores_at_most", "other processes took {:.0%} of this host's processor time", 0.1),
    Kind("others_read_gib_per_s", "others_io_at_most_gib_per_s", "other processes read {:.2f} GiB/s from the checkpoint's disk", 0.02),
    Kind("others_written_gib_per_s", "others_io_at_most_gib_per_s", "other processes wrote {:.2f} GiB/s to the checkpoint's disk", 0.02),
    Kind("memory_pressure", "memory_pressure_at_most", "processes waited for memory in {:.0%} of the time", 0.05),
    Kind("cpu_throttled", "cpu_throttled_at_most", "the cgroup's CPU quota stopped its processes in {:.0%} of its periods", 0.05),
    Kind("free_memory_gib", "free_memory_at_least_gib", "only {:.1f} GiB of memory were free", None),
    Kind("gpu_other_processes", "gpu_processes_at_most", "{:.0f} other processes computed on this start's GPUs", 0.5),
    Kind("gpu_throttled", "gpu_throttled", "a GPU was slowed down in {:.0%} of the looks at it", 0.1),
)  # fmt: skip


def noise_between(
    begin_s: float, end_s: float, readings: Sequence[Reading], of_gpus: Sequence[GpuReading] = ()
) -> NoiseDuring:
    """From the last reading at `begin_s` or before to the first at `end_s` or later: what is on its way at a reading (a request to the disk,
    a process that was not found yet) is counted on one side only, so no reading lies within the stretch where much of that is.
    """
    within = around(begin_s, end_s, readings)

    def rate(value: Callable[[Reading], float | None]) -> float | None:
        return _rate([(each.at_s, value(each)) for each in within])

    gpus = around(begin_s, end_s, of_gpus)
    busy, cores = rate(lambda each: _less(each.busy_s, each.ours.cpu_s)), rate(lambda each: each.all_s)
    free_gib = (each.free_memory_gib for each in within if each.free_memory_gib is not None)
    return NoiseDuring(
        others_cpu=min(1.0, busy / cores) if busy is not None and cores else None,
        others_read_gib_per_s=rate(lambda each: _less_gib(each.disk_read_bytes, each.ours.read_bytes)),
        others_written_gib_per_s=rate(lambda each: _less_gib(each.disk_written_bytes, each.ours.written_bytes)),
        cpu_pressure=rate(lambda each: each.waited_s.get("cpu")),
        io_pressure=rate(lambda each: each.waited_s.get("io")),
        memory_pressure=rate(lambda each: each.waited_s.get("memory")),
        cpu_throttled=_throttled(within),
        free_memory_gib=min(free_gib, default=None),
        gpu_sm_clock_mhz=_clock_mhz(gpus),
        gpu_throttled=_slowed_down(gpus),
        gpu_other_processes=_other_processes(gpus),
        gpu_throttle_reasons=tuple(dict.fromkeys(reason for each in gpus for reason in _reasons(each) or ())),
    )


def around(begin_s: float, end_s: float, readings: Sequence[R]) -> list[R]:
    """Those within, the last one before and the first one after."""
    times_s = [each.at_s for each in readings]
    return list(readings[max(0, bisect_right(times_s, begin_s) - 1) : bisect_left(times_s, end_s) + 1])


def _rate(values: Iterable[tuple[float, float | None]]) -> float | None:
    """A second, between the first and the last that are known. Below 0 is what two counters of one thing are apart: 0."""
    known = [(at_s, value) for at_s, value in values if value is not None]
    if len(known) < 2 or known[0][0] == known[-1][0]:  # noqa: PLR2004  # two ends
        return None
    return max(0.0, known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])


def _less(every: float | None, ours: float | None) -> float | None:
    return None if every is None or ours is None else every - ours


def _less_gib(every: int | None, ours: int | None) -> float | None:
    return None if every is None or ours is None else (every - ours) / GIB


def _throttled(readings: Sequence[Reading]) -> float | None:
    """By the quota that throttled most. Without a quota no period is counted: 0."""
    ends = [each.quotas for each in readings if each.quotas]
    shares = []
    for cgroup in ends[0].keys() & ends[-1].keys() if len(ends) > 1 else ():
        periods, throttled = (after - before for before, after in zip(ends[0][cgroup], ends[-1][cgroup], strict=True))
        shares.append(throttled / periods if periods else 0.0)
    return max(shares, default=None)


def _clock_mhz(looks: Sequence[GpuReading]) -> float | None:
    """An idle GPU's clock is low, so of each GPU the highest counts; of those the lowest."""
    clocks: dict[str | None, float] = {}
    for gpu in (gpu for each in looks for gpu in each.gpus if gpu.sm_clock_mhz is not None):
        clocks[gpu.id] = max(clocks.get(gpu.id, 0.0), float(gpu.sm_clock_mhz or 0))
    return min(clocks.values(), default=None)


def _reasons(look: GpuReading) -> tuple[str, ...] | None:
    """What slows the GPUs down now. None: NVML reports it of none of them."""
    known = [gpu.throttle_reasons for gpu in look.gpus if gpu.throttle_reasons is not None]
    return tuple(reason for reasons in known for reason in reasons) if known else None


def _slowed_down(looks: Sequence[GpuReading]) -> float | None:
    found = [bool(reasons) for each in looks if (reasons := _reasons(each)) is not None]
    return sum(found) / len(found) if found else None


def _other_processes(looks: Sequence[GpuReading]) -> float | None:
    """The most at once. None where NVML never listed a process of ours: it has other pids (in a container), or lists none at all."""
    listed = [({pid for gpu in each.gpus for pid, _ in gpu.processes or ()}, each.ours) for each in looks if each.gpus]
    if not any(pids & ours for pids, ours in listed):
        return None
    every = frozenset[int]().union(*(ours for _, ours in listed))
    return float(max(len(pids - every) for pids, _ in listed))


def judged(noise: NoiseDuring, limits: RigLimits) -> list[str]:
    """A sentence for each kind that is above its limit: what was measured, and the setting that limits it."""
    sentences = []
    for kind in KINDS:
        value = getattr(noise, kind.field)
        if value is not None and kind.exceeds(value, limits):
            why = f": {', '.join(noise.gpu_throttle_reasons)}" if kind.field == "gpu_throttled" else ""
            limit = f"rig.{kind.limit}={_shown(getattr(limits, kind.limit))}"
            sentences.append(f"{kind.words.format(value)}{why} ({limit})")
    return sentences


def loosened(limits: RigLimits) -> list[str]:
    """The limits that allow more than bench's own do: `busy_cores_at_most=0.9 (0.25)`."""
    own, found = RigLimits(), []
    for name in RigLimits.model_fields:
        value, usual = getattr(limits, name), getattr(own, name)
        if name != "wait_s" and (value < usual if "_at_least_" in name else value > usual):
            found.append(f"rig.{name}={_shown(value)} ({_shown(usual)})")
    return found


def _shown(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
