"""The cgroup of this process: its limits, and what the kernel counts where they are reached. Versions 1 and 2.

A limit of any level above holds too. Absent: the kernel does not say, as in the root.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.rst, scheduler/sched-bwc.rst
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
DEEPEST = 32  # levels that are looked at
BYTES_AT_MOST = 4096  # of a file
UNLIMITED = "max"
UNLIMITED_BYTES = 1 << 60  # version 1 has a number for it, the largest that is a multiple of a page
SECONDS = {b"throttled_usec": 1e-6, b"throttled_time": 1e-9}
OOM_FILES = (("", "memory.events"), ("memory", "memory.oom_control"))


def membership() -> str:
    """The cgroups of this process, as the kernel lists them."""
    return _read("/proc/self/cgroup").decode(errors="replace")


def limits(member: str) -> dict[str, str]:
    """`cpus` that may be used at once, `memory_bytes`: the smallest of all levels, `max` where there is none."""
    cpus = [*_quotas(member)]
    sizes = [
        int(text) if text.isdigit() and int(text) < UNLIMITED_BYTES else None
        for controller, file in (("", "memory.max"), ("memory", "memory.limit_in_bytes"))
        for text in _values(member, controller, file)
    ]
    found = {}
    if cpus:
        found["cpus"] = f"{min(filter(None, cpus)):g}" if any(cpus) else UNLIMITED
    if sizes:
        found["memory_bytes"] = str(min(filter(None, sizes))) if any(sizes) else UNLIMITED
    return found


def _quotas(member: str) -> Iterator[float | None]:
    """CPUs of each level. None: without limit."""
    for text in _values(member, "", "cpu.max"):
        quota, _, period = text.partition(" ")
        yield None if quota == UNLIMITED else int(quota) / int(period)
    periods = _values(member, "cpu", "cpu.cfs_period_us")
    for quota, period in zip(_values(member, "cpu", "cpu.cfs_quota_us"), periods):  # noqa: B905  # Python 3.9 has no strict
        yield None if int(quota) < 0 else int(quota) / int(period)


def counters(member: str) -> dict[str, float]:
    """Since the cgroups were made: `throttled` periods and `throttled_s`, by all levels' limits, and `oom_kills` in the cgroup itself."""
    found: dict[str, float] = {}
    for controller in ("", "cpu"):
        for folder in _folders(member, controller):
            counted = _numbers(f"{folder}/cpu.stat")
            if b"nr_throttled" in counted:
                found["throttled"] = found.get("throttled", 0) + counted[b"nr_throttled"]
                waited_s = sum(counted[name] * unit for name, unit in SECONDS.items() if name in counted)
                found["throttled_s"] = found.get("throttled_s", 0.0) + waited_s
    for controller, file in OOM_FILES:
        for folder in _folders(member, controller):
            counted = _numbers(f"{folder}/{file}")
            if b"oom_kill" in counted:  # its own count has those of all levels below
                found.setdefault("oom_kills", counted[b"oom_kill"])
                break
    return found


def _numbers(path: str) -> dict[bytes, int]:
    lines = (line.split() for line in _read(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}  # noqa: PLR2004  # name, value


def _values(member: str, controller: str, file: str) -> list[str]:
    """The file's text at each level that has it, from this process's cgroup up."""
    texts = (_read(f"{folder}/{file}") for folder in _folders(member, controller))
    return [text.decode().strip() for text in texts if text]


def _folders(member: str, controller: str) -> Iterator[str]:
    """Its levels, from this process's up. `controller` is one of version 1; empty: version 2, also where it stands beside version 1."""
    for line in member.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part not in {"", ".."}][:DEEPEST]
        for mount in [f"{ROOT}/{controllers}", f"{ROOT}/{controller}"] if controller else [ROOT, f"{ROOT}/unified"]:
            if os.path.isdir(mount):  # noqa: PTH112  # pathlib may not be imported here
                yield from ("/".join([mount, *parts[:depth]]) for depth in range(len(parts), -1, -1))
                break


def _read(path: str) -> bytes:
    """Empty: it is not there, or not for us."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # as above
            return file.read(BYTES_AT_MOST) or b""
    except OSError:
        return b""
