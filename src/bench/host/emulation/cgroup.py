"""A cgroup that limits what its processes read of one disk, and counts it. Versions 1 (blkio) and 2 (io).

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, io.max and io.stat; cgroup-v1/blkio-controller.rst.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.config import Storage
from bench.host import mounts
from bench.host.storage import THROTTLES, cgroup_folders
from bench.system.undo import Journal

# Limits of bench's own cgroup that vLLM is to keep where it moves into one beside it.
KEPT = (
    "memory.max",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
)
UNLIMITED = {"", "max", "max 100000"}


@dataclass(frozen=True)
class Parent:
    """A cgroup below which one with limits on reads can be made. `kept`: limits of bench's own cgroup, for version 2."""

    folder: Path
    is_v2: bool
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Counted:
    """What the processes of a cgroup have read of one device, by the kernel's count."""

    reads: int  # requests
    bytes: int


def find_parent() -> Parent | str:
    """Where a cgroup with limits on reads can be made by this process; or why nowhere."""
    levels = cgroup_folders("blkio")
    v1 = [folder for folder, is_v2 in levels if not is_v2 and (folder / "blkio.throttle.read_iops_device").exists()]
    v1 += [folder for folder, is_v2 in levels if not is_v2 and (folder / "blkio.throttle.io_serviced").exists()]
    v2 = [folder for folder, is_v2 in levels if is_v2]
    if not v1 and not any("io" in _words(folder / "cgroup.controllers") for folder in v2):
        return f"{mounts.SYS / 'fs/cgroup'} has neither the controller io (cgroup v2) nor blkio (v1) here"
    for folder in v1:
        if os.access(folder, os.W_OK):
            return Parent(folder, is_v2=False)
    for depth, folder in enumerate(v2):
        if _takes_children(folder, is_root=folder == v2[-1]):
            lost = [(file, text) for level in v2[:depth] for file in KEPT if (text := _limit(level / file))]
            if lost and depth > 1:
                return f"vLLM would leave the limits of bench's own cgroup ({', '.join(sorted({file for file, _ in lost}))})"
            return Parent(folder, is_v2=True, kept=tuple(lost))
    return "no cgroup can be made here: this needs root outside of a container, or a cgroup with the controller io that is delegated to this user"


def _takes_children(folder: Path, *, is_root: bool) -> bool:
    """Whether the controller io is, or can be, enabled for those below: not where it holds processes itself, unless it is the root."""
    if not (os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)):
        return False
    if "io" in _words(folder / "cgroup.subtree_control"):
        return True
    can_enable = "io" in _words(folder / "cgroup.controllers") and os.access(folder / "cgroup.subtree_control", os.W_OK)
    return can_enable and (is_root or not _words(folder / "cgroup.procs"))


def make(parent: Parent, name: str, journal: Journal) -> Path:
    """A new cgroup below it, which the journal removes.

    Raises:
        OSError: the kernel refuses.
    """
    folder = parent.folder / name
    if parent.is_v2 and "io" not in _words(parent.folder / "cgroup.subtree_control"):
        (parent.folder / "cgroup.subtree_control").write_text("+io", encoding="utf-8")
    journal.make(folder)
    for file, text in parent.kept:
        with suppress(FileNotFoundError):  # of a controller that is not enabled there
            (folder / file).write_text(text, encoding="utf-8")
    return folder


def limit(group: Path, number: str, asked: Storage, *, is_v2: bool) -> None:
    """Limits what its processes read of the device of this number, MAJOR:MINOR.

    Raises:
        OSError: the kernel refuses.
    """
    values = {"riops": asked.read_iops, "rbps": asked.bytes_per_s}
    given = {name: value for name, value in values.items() if value is not None}
    if is_v2 and given:
        pairs = " ".join(f"{name}={value}" for name, value in given.items())
        (group / "io.max").write_text(f"{number} {pairs}", encoding="utf-8")
        return
    for name, value in given.items():
        file = group / f"blkio.throttle.{THROTTLES[name]}"
        file.write_text(f"{number} {value}", encoding="utf-8")


def counted(group: Path, number: str) -> Counted | None:
    """Since the cgroup was made. None: the kernel does not count here; a device without a line has not been read."""
    with suppress(OSError):
        found = re.search(rf"^{number} (.*)$", (group / "io.stat").read_text(encoding="utf-8"), re.MULTILINE)
        pairs = dict(pair.split("=") for pair in found[1].split()) if found else {}
        return Counted(int(pairs.get("rios", 0)), int(pairs.get("rbytes", 0)))
    with suppress(OSError):
        reads, size = (_of_v1(group / f"blkio.throttle.{name}", number) for name in ("io_serviced", "io_service_bytes"))
        return Counted(reads, size)
    return None


def _of_v1(path: Path, number: str) -> int:
    found = re.search(rf"^{number} Read (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) if found else 0


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _limit(path: Path) -> str:
    """Empty: none, or not known."""
    text = " ".join(_words(path))
    return "" if text in UNLIMITED or (path.name == "cpu.weight" and text == "100") else text
