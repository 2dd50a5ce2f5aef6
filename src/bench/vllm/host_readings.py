"""What others do on this host while vLLM starts, read by the thread that samples its memory: the kernel's counters, and the GPUs' states.

Each is read as often as its share of wall time allows, at the beginning, and once more at the end.
"""

from dataclasses import dataclass, field

from bench.host.counters import Reading, read_counters, used_by
from bench.host.emulation.emulate import StorageInUse
from bench.host.gpus import Gpus
from bench.host.noise_during import GpuReading
from bench.vllm.process_tree import Pace, Tree

COUNTERS_SHARE = 0.001  # of wall time: about three times a second where the tree has ten processes
GPUS_SHARE, GPUS_EVERY_S = 0.0005, 0.5  # of wall time, for each GPU


@dataclass
class HostReadings:
    """In the order of time; `at_s` is seconds since exec."""

    counters: list[Reading] = field(default_factory=list)
    gpus: list[GpuReading] = field(default_factory=list)


class HostReader:
    """Reads into `readings`. `storage`: the one that the checkpoint is read from."""

    def __init__(self, tree: Tree, gpus: Gpus, storage: StorageInUse | None, readings: HostReadings) -> None:
        self._tree, self._gpus, self._storage, self._readings = tree, gpus, storage, readings
        self._counters_pace = Pace(COUNTERS_SHARE)
        self._gpus_pace = Pace(GPUS_SHARE * len(gpus), GPUS_EVERY_S)

    def look(self, now_s: float, *, last: bool = False) -> None:
        """What is due `now_s` after exec, of the processes that the tree has just found; all at the first and at the last look."""
        anyway = last or not self._readings.counters
        self._counters_pace.maybe(lambda: self._read_counters(now_s), now_s, anyway=anyway)
        if len(self._gpus):
            self._gpus_pace.maybe(lambda: self._look_at_gpus(now_s), now_s, anyway=anyway)

    def _read_counters(self, now_s: float) -> None:
        ours = self._tree.used() + used_by(["self"])
        self._readings.counters.append(read_counters(now_s, ours, self._storage.disk if self._storage else None))
        if self._storage:
            self._storage.look()

    def _look_at_gpus(self, now_s: float) -> None:
        self._readings.gpus.append(GpuReading(now_s, self._gpus.look(), frozenset(self._tree.pids())))
