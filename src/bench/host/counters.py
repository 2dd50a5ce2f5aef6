"""What the kernel counts of this host since boot, and what of it is ours: of two readings, the difference is what others did meanwhile.

What this kernel does not show (in a container, a sandbox, on another device than a disk) is None, never 0.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from bench.host.storage import cgroup_folders

PROC = "/proc"
AT_MOST = 1 << 20  # bytes of one of these files
SECTOR_BYTES = 512  # of every device in its `stat`, whatever its own sectors are
BYTES_PER_KIB = 1024
MS_PER_S = 1000
GIB = 1024**3
RESOURCES = ("cpu", "io", "memory")  # that processes wait for, as /proc/pressure names them
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IO = re.compile(rb"^read_bytes: (\d+)\nwrite_bytes: (\d+)\ncancelled_write_bytes: (\d+)$", re.MULTILINE)
N = TypeVar("N", int, float)
SOME = re.compile(rb"^some .*total=(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Used:
    """By some processes, and by the children of theirs that have ended."""

    cpu_s: float | None = None
    read_bytes: int | None = None  # from storage
    written_bytes: int | None = None  # that storage will get

    def __add__(self, other: "Used") -> "Used":
        return Used(
            _sum(self.cpu_s, other.cpu_s),
            _sum(self.read_bytes, other.read_bytes),
            _sum(self.written_bytes, other.written_bytes),
        )


@dataclass(frozen=True)
class Reading:
    """All counters at one moment, `at_s`. `busy_s`, `all_s` are of the cores that we may use, `disk_…` of one disk, `waited_s` how long
    at least one process of this host has waited for a resource; `free_memory_gib` can be had without swapping.
    """

    at_s: float
    busy_s: float | None = None
    all_s: float | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    waited_s: dict[str, float] = field(default_factory=dict)
    # By cgroup: periods of its CPU quota, throttled ones.
    quotas: dict[str, tuple[int, int]] = field(default_factory=dict)
    free_memory_gib: float | None = None
    ours: Used = field(default_factory=Used)
    disk_reads: int | None = None  # requests
    disk_read_wait_s: float | None = None  # of all of them together
    disk_busy_s: float | None = None  # with a request under way, of whatever kind


def read_counters(at_s: float, ours: Used, disk: Path | None = None) -> Reading:
    """Now. `disk`: its folder below /sys; None: it is on none. `ours` is read by the caller, who knows the processes."""
    ticks = _ticks()
    return Reading(
        at_s,
        busy_s=ticks[0] / TICKS_PER_S if ticks else None,
        all_s=sum(ticks) / TICKS_PER_S if ticks else None,
        **_of_disk(disk),
        waited_s=_waited_s(),
        quotas=_quotas(),
        free_memory_gib=memory_gib().get("MemAvailable"),
        ours=ours,
    )


def used_by(pids: Iterable[int | str]) -> Used:
    """By these processes; "self" is this one. Of one that cannot be read, and so of all, nothing is known."""
    total = Used(0.0, 0, 0)
    for pid in pids:
        total += _used(f"{PROC}/{pid}")
    return total


def _used(process: str) -> Used:
    """Source: proc_pid_stat(5), fields 14 to 17; proc_pid_io(5). Both hold what the children had used that were waited for."""
    cpu_s, read, written = None, None, None
    with suppress(OSError, ValueError):
        *_, user, system, of_children, of_children_system, _ = (
            _read(f"{process}/stat").rpartition(b") ")[2].split(None, 15)
        )
        cpu_s = (int(user) + int(system) + int(of_children) + int(of_children_system)) / TICKS_PER_S
    with suppress(OSError):
        if found := IO.search(_read(f"{process}/io")):
            read, written, cancelled = map(int, found.groups())
            written -= cancelled  # of files that were removed before their pages were written
    return Used(cpu_s, read, written)


def memory_gib() -> dict[str, float]:
    """The amounts of /proc/meminfo. They are the host's: a container's own limit is not among them. Source: proc(5)."""
    found = {}
    with suppress(OSError):
        for line in _read(f"{PROC}/meminfo").decode().splitlines():
            name, _, amount = line.partition(":")
            if amount.endswith(" kB"):
                found[name] = int(amount.removesuffix(" kB")) * BYTES_PER_KIB / GIB
    return found


def _ticks() -> tuple[int, int] | None:
    """Of the cores that we may use, since boot: busy and not. Time that a hypervisor took for its other guests is busy too.

    Source: proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
    """
    names = {f"cpu{core}".encode() for core in os.sched_getaffinity(0)}
    try:
        of_cpus = _read(f"{PROC}/stat").partition(b"\nintr")[0]  # a long line comes behind them
    except OSError:
        return None
    lines = [line.split() for line in of_cpus.splitlines()]
    counts = [[int(count) for count in line[1:9]] for line in lines if line and line[0] in names]
    idle, every = sum(sum(each[3:5]) for each in counts), sum(map(sum, counts))
    return (every - idle, idle) if every else None


def _of_disk(disk: Path | None) -> dict[str, Any]:
    """What Reading has of a disk. Source: the kernel's Documentation/block/stat.rst, the fields of /proc/diskstats too."""
    with suppress(OSError, ValueError, IndexError):
        if disk is not None:
            fields = [int(field) for field in _read(f"{disk}/stat").split()]
            return {
                "disk_read_bytes": fields[2] * SECTOR_BYTES,
                "disk_written_bytes": fields[6] * SECTOR_BYTES,
                "disk_reads": fields[0],
                "disk_read_wait_s": fields[3] / MS_PER_S,
                "disk_busy_s": fields[9] / MS_PER_S,
            }
    return {}


def _waited_s() -> dict[str, float]:
    """Source: the kernel's Documentation/accounting/psi.rst."""
    found = {}
    for resource in RESOURCES:
        with suppress(OSError):
            if some := SOME.search(_read(f"{PROC}/pressure/{resource}")):
                found[resource] = int(some[1]) / 1e6
    return found


def _quotas() -> dict[str, tuple[int, int]]:
    """Source: cpu.stat in the kernel's Documentation/admin-guide/cgroup-v2.rst; sched-bwc.rst for v1."""
    found = {}
    for folder in _quota_folders():
        with suppress(OSError, ValueError, KeyError):
            counts = dict(line.split() for line in _read(f"{folder}/cpu.stat").splitlines())
            found[folder] = int(counts[b"nr_periods"]), int(counts[b"nr_throttled"])
    return found


@cache
def _quota_folders() -> tuple[str, ...]:
    return tuple(str(folder) for folder, _ in cgroup_folders("cpu"))


def _read(path: str) -> bytes:
    """Without the cost of a Path and a buffer: some of these files are read for each process, several times a second."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, AT_MOST)
    finally:
        os.close(file)


def _sum(one: N | None, other: N | None) -> N | None:
    return None if one is None or other is None else one + other
