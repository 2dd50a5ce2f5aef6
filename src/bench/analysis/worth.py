"""What starts cost in seconds of GPUs, and what a candidate saves of them. Pure.

A start holds the GPUs of its ranks from exec until it is ready, whatever they do meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from bench.analysis.comparison import Comparison, resolution_of
from bench.analysis.records import Block, Point, RunRecord
from bench.analysis.statistics import Interval, known_to, mean_of
from bench.start.metrics import READY
from bench.start.tags import DEVICE
from bench.vllm.memory import RANKS

CPU, GPUS = "cpu", {"cuda", "rocm"}
SECONDS = 3600  # of a GPU-hour


@dataclass(frozen=True)
class Cost:
    """GPU-seconds of a start of this point, and how many GPUs it holds."""

    point: str
    gpus: int
    gpu_s: Interval


@dataclass(frozen=True)
class Saved:
    """GPU-seconds that a start of the candidate saves against its baseline. As with speedups, all of one baseline hold together."""

    candidate: str
    baseline: str
    gpu_s: Interval


def gpus_of(start: RunRecord) -> int | None:
    """How many GPUs a start holds: one for each rank, none on a CPU. None: its device or the number of its ranks is unknown."""
    device = DEVICE.in_(start.tags)
    if device == CPU:
        return 0
    sizes = _sizes(start.params)
    return prod(sizes.values()) if device in GPUS and "tensor_parallel_size" in sizes else None


def _sizes(params: Mapping[str, str]) -> dict[str, int]:
    """Of the parallel groups, under whichever section they were set."""
    names = {name: name.rpartition(".")[2].replace("-", "_") for name in params}
    return {short: int(params[name]) for name, short in names.items() if short in RANKS and params[name].isdecimal()}


def on_cpu(comparison: Comparison) -> bool:
    """Whether every start that counts ran on a CPU."""
    starts = [start for point in comparison.points for start in point.starts]
    return bool(starts) and all(gpus_of(start) == 0 for start in starts)


def costs(comparison: Comparison) -> list[Cost]:
    """Of each point whose starts held GPUs and have a time to ready."""
    found = ((point, mean_of([value for _, value in _gpu_seconds(point)])) for point in comparison.points)
    return [Cost(point.label, gpus_of(point.starts[0]) or 0, mean) for point, mean in found if mean]


def saved(comparison: Comparison) -> list[Saved]:
    """Of each candidate with a speedup of its time to ready, where both sides held GPUs."""
    found = []
    for candidate, base in comparison.baselines.items():
        if comparison.speedup(candidate, READY) and candidate not in comparison.again:
            points = [comparison.point(label) for label in (base, candidate)]
            slow, fast = map(_gpu_seconds, points)
            resolution = resolution_of(READY, points, replayed=comparison.sweep.replayed)
            gpus = max(gpus_of(start) or 0 for point in points for start in point.starts)
            if interval := known_to(resolution * gpus, slow, fast, comparison.rivals(base), ratio=False):
                found.append(Saved(candidate, base, interval))
    return found


def _gpu_seconds(point: Point) -> list[tuple[Block, float]]:
    """(block, GPU-seconds) of each start; empty where one of them held none, or nobody knows how many."""
    gpus = [gpus_of(start) for start in point.starts]
    times = [(start.block, start.value(READY)) for start in point.starts]
    if not all(gpus):
        return []
    return [(block, ready_s * (n or 0)) for (block, ready_s), n in zip(times, gpus, strict=True) if ready_s is not None]


def usd(gpu_s: float, usd_per_gpu_hour: float) -> float:
    """The price of so many GPU-seconds."""
    return gpu_s * usd_per_gpu_hour / SECONDS
