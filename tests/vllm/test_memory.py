"""A start's memory: looked at ten times a second, on disk, and its peaks among the metrics."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.host.gpus import Gpu, Gpus
from bench.start.measured_metrics import memory_metrics
from bench.vllm import memory
from bench.vllm.keeper_reports import Kept
from bench.vllm.memory import FILE, MemorySample, Sampler, gpus_of, read_memory, sampled
from bench.vllm.process import kept
from bench.vllm.process_tree import Resident
from conftest import until

GIB = 1024**3


class FakeTree:
    """A tree that grows by a GiB at each look; its first look finds nothing yet."""

    def __init__(self) -> None:
        self.looks = self.shares = 0

    def look(self, _elapsed_s: float) -> Resident | None:
        self.looks += 1
        return Resident(self.looks * GIB, GIB // 2, 0) if self.looks > 1 else None

    def pss(self) -> int | None:
        self.shares += 1
        return self.looks * GIB

    def pids(self) -> set[int]:
        return {77}


class FakeGpus:
    """Two, the second of which NVML tells nothing about."""

    def __len__(self) -> int:
        return 2

    def used_gib(self) -> tuple[float | None, ...]:
        return (17.5, None)

    def own_gib(self, pids: set[int]) -> tuple[float | None, ...]:
        return (16.0 if pids == {77} else None, None)

    def look(self) -> tuple[Gpu, ...]:
        return (Gpu("0", sm_clock_mhz=1980), Gpu("1"))


class Ticks(threading.Event):
    """A clock that goes on by what is waited for, and is over after so many seconds; a look takes no time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.now_s, self.seconds = 0.0, seconds

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        return self.now_s >= self.seconds


def samples_of(seconds: float, tree: FakeTree) -> list[MemorySample]:
    ticks = Ticks(seconds)
    return list(Sampler(tree, FakeGpus(), lambda: ticks.now_s).until(ticks))


def test_memory_is_looked_at_ten_times_a_second():
    """From the beginning to the end, and once more when it is over."""
    found = samples_of(0.95, FakeTree())

    assert [each.elapsed_s for each in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def test_a_look_that_comes_late_is_left_out():
    """The next is where it would have been; none are made up for in a hurry."""
    ticks = Ticks(1.05)
    sampler = Sampler(FakeTree(), FakeGpus(), lambda: ticks.now_s)
    found = []
    for each in sampler.until(ticks):
        found.append(each.elapsed_s)
        if len(found) == 2:
            ticks.now_s += 0.55  # we were kept waiting

    assert found == pytest.approx([0, 0.1, 0.7, 0.8, 0.9, 1.0, 1.1])


def test_what_is_dear_is_read_rarely_and_at_the_end(monkeypatch):
    """Nothing is measured any more then."""
    monkeypatch.setattr(memory, "PSS_SHARE", 0.0)
    tree = FakeTree()
    found = samples_of(0.95, tree)

    assert [each.pss_gib for each in found[-2:]] == [None, 11.0]
    assert tree.shares == 1


def test_what_was_not_read_is_none():
    """Before the first process is seen, or by a GPU that does not tell: never 0."""
    first, second, *_ = samples_of(0.95, FakeTree())

    assert (first.anon_gib, first.file_gib, first.shmem_gib, first.pss_gib) == (None,) * 4
    assert (second.anon_gib, second.file_gib, second.shmem_gib) == (2.0, 0.5, 0.0)
    assert first.gpu_used_gib == (17.5, None)


def test_only_what_our_processes_take_is_their_own():
    """By the pids of the tree."""
    assert samples_of(0.15, FakeTree())[0].gpu_own_gib == (16.0, None)


def test_the_peaks_are_the_most_that_was_seen():
    """Each at its own time; of what was never read there is none, and 0 is a peak too."""
    looks = [
        MemorySample(0.0, gpu_used_gib=(0.6, None), gpu_own_gib=(None, None)),
        MemorySample(0.1, 3.0, 0.5, 0.0, 3.2, (17.5, None), (16.0, None)),
        MemorySample(0.2, 2.0, 0.7, 0.0, None, (16.5, None), (None, None)),
    ]

    assert memory_metrics(looks) == {
        "memory/host_anon_peak_gib": 3.0,
        "memory/host_file_peak_gib": 0.7,
        "memory/host_shmem_peak_gib": 0.0,
        "memory/host_pss_peak_gib": 3.2,
        "memory/gpu0_peak_gib": 17.5,
        "memory/gpu0_own_peak_gib": 16.0,
    }


def test_nothing_sampled_is_no_metric():
    """Neither without a look, nor where no look saw anything."""
    assert memory_metrics([]) == {}
    assert memory_metrics([MemorySample(0.0), MemorySample(0.1)]) == {}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Kept]:
    with kept(["sleep", "1000"], {}, log_path=tmp_path / "log", stop_timeout_s=5.0, on_line=lambda *_: None) as process:
        yield process


def test_what_was_sampled_is_whole_when_the_block_is_left(running, tmp_path):
    """In the record and in the file alike."""
    with closing(Gpus("", 0)) as gpus, sampled(running, gpus, tmp_path) as record:
        until(lambda: any(each.anon_gib for each in record.samples))

    read = read_memory(tmp_path / FILE)
    assert record.failure is None
    assert [each.elapsed_s for each in read] == pytest.approx([each.elapsed_s for each in record.samples], abs=0.001)
    assert memory_metrics(read) == pytest.approx(memory_metrics(record.samples), abs=1e-5)
    assert record.samples[-1].pss_gib is not None or not Path("/proc/self/smaps_rollup").exists()


def test_the_host_is_read_at_the_beginning_and_at_the_end(running, tmp_path):
    """So even the shortest start has a stretch; its GPUs' states too, with the processes that are ours."""
    with sampled(running, FakeGpus(), tmp_path) as record:
        until(lambda: any(each.anon_gib for each in record.samples))
    first, *_, last = record.host.counters

    assert first.at_s < last.at_s
    assert first.ours.cpu_s is None or first.ours.cpu_s <= last.ours.cpu_s
    assert [each.gpus for each in (record.host.gpus[0], record.host.gpus[-1])] == [FakeGpus().look()] * 2
    assert running.pid in record.host.gpus[-1].ours


def test_gpus_come_back_from_the_file_as_they_were(running, tmp_path):
    """What was not read stays so."""
    with sampled(running, FakeGpus(), tmp_path) as record:
        until(lambda: record.samples)

    assert [each.gpu_used_gib for each in read_memory(tmp_path / FILE)] == [
        each.gpu_used_gib for each in record.samples
    ]
    assert record.samples[0].gpu_used_gib == (17.5, None)


def test_a_sampler_that_fails_is_a_warning(running, tmp_path):
    """A full disk, or a bug of ours: vLLM starts all the same."""
    with sampled(running, FakeGpus(), tmp_path / "nowhere") as record:
        pass

    assert record.failure is not None
    assert record.failure.startswith("memory was not sampled to the end: FileNotFoundError")


def test_no_file_is_nothing_sampled(tmp_path):
    """As of a start that never came to exec."""
    assert read_memory(tmp_path / FILE) == []


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ([], 1),
        (["tensor_parallel_size=2"], 2),
        (["tensor_parallel_size=2", "vllm.args.pipeline_parallel_size=2", "vllm.args.data-parallel-size=3"], 12),
        (["tensor_parallel_size=2", "vllm.args.data-parallel-size=two"], 2),  # vLLM refuses it, and says so
    ],
)
def test_the_gpus_of_a_start_are_as_many_as_its_ranks(overrides, count, monkeypatch):
    """The others that vLLM sees belong to somebody else."""
    asked = []
    monkeypatch.setattr(memory, "Gpus", lambda visible, ranks: asked.append((visible, ranks)))
    (settings,) = compose_settings([*overrides, "vllm.env.CUDA_VISIBLE_DEVICES='4,5'"])
    gpus_of(settings)

    assert asked == [("4,5", count)]


def test_a_look_that_hangs_does_not_hold_up_the_end(running, tmp_path, monkeypatch):
    """As where a process holds the lock of its page tables, or a driver of a GPU does not answer."""
    go_on = threading.Event()
    monkeypatch.setattr(memory, "LAST_LOOK_S", 0.2)
    monkeypatch.setattr(Sampler, "look", lambda *_, **__: go_on.wait())
    with closing(Gpus("", 0)) as gpus, sampled(running, gpus, tmp_path) as record:
        pass
    go_on.set()

    assert record.failure == "memory was not sampled to the end: the last look took more than 0.2 s"
