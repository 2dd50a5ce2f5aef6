"""The memory of a start, sampled from outside by a thread of the driver: vLLM's process tree, and the GPUs it was given.

The driver must not disturb what it measures. So all is read ten times a second except what is expensive: PSS, and NVML where
it is slow, are read as often as their share of wall time allows, and PSS once more when the completion is over. The same thread
reads what others do on this host meanwhile (vllm/host_readings.py).
"""

import csv
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from bench.config import Settings
from bench.host.emulation.emulate import StorageInUse
from bench.host.gpus import GIB, Gpus
from bench.host.noise import visible_gpus
from bench.vllm.host_readings import HostReader, HostReadings
from bench.vllm.keeper_reports import Kept
from bench.vllm.process_tree import Pace, Tree

FILE = "memory.csv"
HOST = ("anon", "file", "shmem", "pss")

BEHIND = (
    "vLLM runs behind vllm.command, in processes that are not bench's: their memory, their processor time and what they read from storage "
    "are not measured by the driver, nor what others did on this host meanwhile"
)

Gib = float | None
EVERY_S = 0.1
PSS_SHARE, PSS_EVERY_S = 0.001, 1.0  # share of wall time
PSS_S_PER_GIB = 0.03  # at first; then as it was. docs/decisions
GPU_SHARE = 0.001  # of wall time, for each GPU
OWN_SHARE, OWN_EVERY_S = 0.0002, 1.0
LAST_LOOK_S = 10.0
RANKS = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


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
    """All samples of a start, in the order of time, and what was read of its host besides. `failure`: why there are no more of them; None:
    they are all there.
    """

    samples: list[MemorySample] = field(default_factory=list)
    host: HostReadings = field(default_factory=HostReadings)
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


def gpus_of(settings: Settings) -> Gpus:
    """The GPUs that vLLM will take: the first of the visible ones, one for each rank."""
    arguments = {"tensor_parallel_size": settings.tensor_parallel_size} | settings.arguments
    return Gpus(visible_gpus(settings), prod(_count(arguments.get(name)) for name in RANKS))


def _count(value: object) -> int:
    """Of ranks; 1 where it is no number, which vLLM refuses."""
    with suppress(TypeError, ValueError):
        return max(1, int(str(value)))
    return 1


@contextmanager
def sampled(
    process: Kept, gpus: Gpus, folder: Path, storage: StorageInUse | None = None, *, is_behind: bool = False
) -> Iterator[MemoryRecord]:
    """What is sampled while the block runs. At its end the record is complete, and its samples are in memory.csv in `folder`. `storage` is the one
    that the checkpoint is read from. `is_behind`: vLLM's processes are not those of `process`, so of memory that of the GPUs alone is
    sampled, and what others do is not known from what vLLM does.

    An error here does not fail the start: it is recorded in `failure`.
    """
    record, over = MemoryRecord(failure=BEHIND if is_behind else None), threading.Event()

    def sample() -> None:
        try:
            with closing(Tree(process.keeper_pid)) as tree:
                reader = None if is_behind else HostReader(tree, gpus, storage, record.host)
                for each in Sampler(None if is_behind else tree, gpus, process.elapsed_s).until(over):
                    record.samples.append(each)
                    if reader:
                        reader.look(process.elapsed_s(), last=over.is_set())
            write_memory(record.samples, folder / FILE)
        except Exception as error:  # noqa: BLE001  # a warning of the start
            record.failure = f"memory was not sampled to the end: {error!r}"

    thread = threading.Thread(target=sample, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        record.failure = f"memory was not sampled: {error}"
    try:
        yield record
    finally:
        over.set()
        if thread.ident is not None:
            thread.join(LAST_LOOK_S)
        if thread.is_alive():  # the kernel, or NVML, does not answer; vLLM must end all the same
            record.failure = f"memory was not sampled to the end: the last look took more than {LAST_LOOK_S:g} s"


class Sampler:
    """Samples a process tree and GPUs, each quantity at its own rate."""

    def __init__(self, tree: Tree | None, gpus: Gpus, elapsed_s: Callable[[], float]) -> None:
        self._tree = tree
        self._gpus = gpus
        self._elapsed_s = elapsed_s
        self._pss = Pace(PSS_SHARE, PSS_EVERY_S, PSS_S_PER_GIB)
        self._used = Pace(GPU_SHARE * len(gpus))
        self._own = Pace(OWN_SHARE * len(gpus), OWN_EVERY_S)

    def until(self, over: threading.Event) -> Iterator[MemorySample]:
        """A sample every 0.1 s, and a last one, always with PSS, when `over` is set. One that would be late is left out."""
        due_s = self._elapsed_s()
        while not over.wait(max(0.0, due_s - self._elapsed_s())):
            yield self.look()
            due_s += EVERY_S * (1 + max(0, int((self._elapsed_s() - due_s) / EVERY_S)))
        yield self.look(last=True)

    def look(self, *, last: bool = False) -> MemorySample:
        """One sample, now."""
        now_s = self._elapsed_s()
        tree = self._tree.look(now_s) if self._tree else None
        pss = None
        if self._tree and tree:
            pss = self._pss.maybe(self._tree.pss, now_s, size=tree.all / GIB, anyway=last)
        anon, file, shmem = (tree.anon, tree.file, tree.shmem) if tree else (None, None, None)
        used, own = self._look_at_gpus(now_s, last=last) if len(self._gpus) else ((), ())
        return MemorySample(
            elapsed_s=now_s,
            anon_gib=_gib(anon),
            file_gib=_gib(file),
            shmem_gib=_gib(shmem),
            pss_gib=_gib(pss),
            gpu_used_gib=used,
            gpu_own_gib=own,
        )

    def _look_at_gpus(self, now_s: float, *, last: bool) -> tuple[tuple[Gib, ...], tuple[Gib, ...]]:
        unread = (None,) * len(self._gpus)
        used = self._used.maybe(self._gpus.used_gib, now_s, anyway=last)
        pids = self._tree.pids if self._tree else frozenset[int]
        own = self._own.maybe(lambda: self._gpus.own_gib(pids()), now_s, anyway=last)
        return used or unread, own or unread


def _gib(size: int | None) -> Gib:
    return None if size is None else size / GIB
