"""The page's curves of memory: of one start of each point, the one whose time to ready is the median, as lines of SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point, RunRecord
from bench.report.axes import Axis, seconds_axis
from bench.start.files import MEMORY
from bench.start.metrics import READY
from bench.system.threads import side_by_side
from bench.vllm.memory import MemorySample, read_memory

SAMPLES = 120  # of a curve; of those between two, the highest
GPUS = 8  # of a start whose curves are drawn
HEIGHT = 100.0  # of a panel, in its own units
Amount = Callable[[MemorySample], float | None]


@dataclass(frozen=True)
class Curve:
    """`points`: of an SVG polyline, both axes from 0 to 100."""

    name: str
    number: int  # of its style
    points: str
    peak_gib: float


@dataclass(frozen=True)
class Panel:
    """The memory of one start; `ready`: where on the axis it was ready."""

    label: str
    start: str
    curves: tuple[Curve, ...]
    ready: float | None


@dataclass(frozen=True)
class Memory:
    """All panels, on the same axes."""

    seconds: Axis
    gib: Axis
    panels: tuple[Panel, ...]


def memory_of(comparison: Comparison, fetch: Callable[[str, str, Path], Path | None]) -> Memory | None:
    """None: of no start was it sampled. `fetch` brings an artifact of a run into a folder, as one of bench.tracking.artifacts.fetcher, in several threads."""
    medians = [(point, start) for point in comparison.points if (start := median_start(point))]
    sampled = side_by_side(lambda each: _samples(each[1].run_id, fetch), medians)
    found = [(point, start, samples) for (point, start), samples in zip(medians, sampled, strict=True) if samples]
    lines = [(start, dict(_lines(samples))) for _, start, samples in found]
    if not any(amounts for _, amounts in lines):
        return None
    seconds = seconds_axis(samples[-1].elapsed_s for *_, samples in found)
    gib = seconds_axis(value for _, amounts in lines for line in amounts.values() for _, value in line)
    panels = [
        Panel(
            point.label,
            start.name,
            tuple(_curve(name, number, line, seconds, gib) for number, (name, line) in enumerate(amounts.items())),
            None if (ready_s := start.value(READY)) is None else seconds.at(ready_s),
        )
        for (point, start, _), (_, amounts) in zip(found, lines, strict=True)
        if amounts
    ]
    return Memory(seconds, gib, tuple(panels))


def _samples(run_id: str, fetch: Callable[[str, str, Path], Path | None]) -> list[MemorySample]:
    with TemporaryDirectory() as place:
        path = fetch(run_id, MEMORY, Path(place))
        return read_memory(path) if path else []


def median_start(point: Point) -> RunRecord | None:
    """The start that counts whose time to ready is the median, of two in the middle the faster. None: none has one."""
    timed = [start for start in point.starts if start.value(READY) is not None]
    timed.sort(key=lambda start: (start.metrics[READY.name], start.repeat))
    return timed[(len(timed) - 1) // 2] if timed else None


def _lines(samples: Sequence[MemorySample]) -> list[tuple[str, list[tuple[float, float]]]]:
    """By name: (seconds, GiB) of what was sampled."""
    kinds: list[tuple[str, Amount]] = [
        ("anonymous", lambda each: each.anon_gib),
        ("mapped files", lambda each: each.file_gib),
        ("shared", lambda each: each.shmem_gib),
        *((f"GPU {index}", partial(_of_gpu, index)) for index in range(min(GPUS, len(samples[0].gpu_used_gib)))),
    ]
    amounts = (
        (name, [(each.elapsed_s, value) for each in samples if (value := amount(each)) is not None])
        for name, amount in kinds
    )
    return [(name, _thinned(line)) for name, line in amounts if any(value > 0 for _, value in line)]


def _of_gpu(index: int, sample: MemorySample) -> float | None:
    return sample.gpu_used_gib[index]


def _thinned(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = max(1, ceil(len(line) / SAMPLES))
    return [max(line[at : at + size], key=lambda each: each[1]) for at in range(0, len(line), size)]


def _curve(name: str, number: int, line: Sequence[tuple[float, float]], seconds: Axis, gib: Axis) -> Curve:
    places = (f"{seconds.at(time_s):.1f},{HEIGHT - gib.at(amount):.1f}" for time_s, amount in line)
    return Curve(name, number, " ".join(places), max(amount for _, amount in line))
