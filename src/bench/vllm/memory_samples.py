"""What was sampled of a start's memory: the values, their file and their peaks. Pure, but for the file."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILE = "memory.csv"
HOST = ("anon", "file", "shmem", "pss")

Gib = float | None


@dataclass(frozen=True)
class MemorySample:
    """One sample, `elapsed_s` after exec. The tree's amounts are sums over its processes. None: not read in this sample.

    A page of `file_gib` or `shmem_gib` that several processes map is in it several times; in `pss_gib` once. Of each GPU
    `gpu_used_gib` is all that is in use on it, `gpu_own_gib` what vLLM's processes take.
    """

    elapsed_s: float
    anon_gib: Gib = None
    file_gib: Gib = None
    shmem_gib: Gib = None
    pss_gib: Gib = None
    gpu_used_gib: tuple[Gib, ...] = ()
    gpu_own_gib: tuple[Gib, ...] = ()


@dataclass
class MemoryRecord:
    """All samples of a start, in the order of time. `failure`: why there are no more of them; None: they are all there."""

    samples: list[MemorySample] = field(default_factory=list)
    failure: str | None = None


def write_memory(samples: Sequence[MemorySample], path: Path) -> None:
    """Writes memory.csv: a line for each sample; what was not read is empty. GPUs are numbered as in vLLM."""
    gpus = len(samples[0].gpu_used_gib) if samples else 0
    of_gpus = [f"gpu{index}{owner}_gib" for owner in ("", "_own") for index in range(gpus)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["elapsed_s", *(f"{name}_gib" for name in HOST), *of_gpus])
        writer.writerows(_row(sample) for sample in samples)


def _row(sample: MemorySample) -> list[str]:
    host = (sample.anon_gib, sample.file_gib, sample.shmem_gib, sample.pss_gib)
    amounts = (*host, *sample.gpu_used_gib, *sample.gpu_own_gib)
    return [f"{sample.elapsed_s:.3f}", *("" if amount is None else f"{amount:.6f}" for amount in amounts)]


def read_memory(path: Path) -> list[MemorySample]:
    """What memory.csv holds; nothing where there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    samples = []
    for line in lines[1:]:
        anon, file_backed, shmem, pss, *of_gpus = [float(cell) if cell else None for cell in line[1:]]
        used, own = of_gpus[: len(of_gpus) // 2], of_gpus[len(of_gpus) // 2 :]
        samples.append(MemorySample(float(line[0]), anon, file_backed, shmem, pss, tuple(used), tuple(own)))
    return samples


def peaks(samples: Sequence[MemorySample]) -> MemorySample:
    """The maximum of each amount, each at its own time. What was never read is None; of no samples, there is no GPU."""

    def of_gpus(kind: str) -> tuple[Gib, ...]:
        return tuple(map(_most, zip(*(getattr(each, kind) for each in samples), strict=True)))

    return MemorySample(
        max((each.elapsed_s for each in samples), default=0.0),
        **{f"{name}_gib": _most(getattr(each, f"{name}_gib") for each in samples) for name in HOST},
        gpu_used_gib=of_gpus("gpu_used_gib"),
        gpu_own_gib=of_gpus("gpu_own_gib"),
    )


def _most(amounts: Iterable[Gib]) -> Gib:
    return max((amount for amount in amounts if amount is not None), default=None)
