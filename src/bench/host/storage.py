"""The storage that holds a checkpoint, as far as a load depends on it: what storage_facts.py lists, read from this host.

Read-ahead and a limit of requests a second decide which load format is faster, so two starts with other values are not one
experiment. What this host does not show (in a container, on a network) is absent.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from bench.host import mounts
from bench.host.mounts import (
    LAYERS,
    OVERLAY,
    Mount,
    beneath,
    composed_of,
    describe_layers,
    disk_below,
    members_of,
    mount_of,
    text_of,
)
from bench.host.storage_facts import FREE, NO_LIMIT

QUEUE = ("read_ahead_kb", "max_sectors_kb", "nr_requests", "scheduler")
THROTTLES = {"riops": "read_iops_device", "rbps": "read_bps_device"}  # of cgroup v1, by their names in v2
GIB = 1024**3

# What a process or a thread has read from storage so far, by the kernel's own count. `read_bytes` counts what came from the device: page
# faults of a mapping, buffered reads that missed the page cache, and O_DIRECT; what the cache served is not in it.
# Source: proc(5). The file may be read by the same user, or by root.
READ_BYTES = re.compile(rb"^read_bytes: (\d+)$", re.MULTILINE)


def describe_storage(path: Path) -> dict[str, str]:
    """Facts about the storage of this file or folder, by the names of storage_facts.FACTS: of the disk where there is one, of the file system, and
    what this process's cgroups allow on that disk. An overlay's are those of the layer that holds the path, where that is to be seen.
    """
    mounted = mount_of(path)
    if mounted is None:
        return {}
    mount, place = beneath(mounted, path)
    facts = _of_file_system(mount) | {"layers": describe_layers(mounted)} | _free(place)
    disk = disk_below(mount)
    if disk is None:
        facts["source"] = mount.named_source
    else:
        facts |= {"device": disk.name, "composed_of": composed_of(disk), "limit": _limit(text_of(disk / "dev"))}
        facts |= _queue(disk)
    facts["bdi_read_ahead_kb"] = _bdi_read_ahead(mount, disk)
    return {name: value for name, value in facts.items() if value}


def disk_of(path: Path) -> Path | None:
    """The folder below /sys of the whole disk that holds this path; None: it lies on none that this host shows."""
    mount = mount_of(path)
    return disk_below(beneath(mount, path)[0]) if mount else None


def _of_file_system(mount: Mount) -> dict[str, str]:
    """The folders of an overlay are left out."""
    own = [each for each in mount.own_options.split(",") if each.partition("=")[0] not in LAYERS]
    return {
        "filesystem": mount.filesystem,
        "mount_options": mount.options,
        "own_options": ",".join(own) if mount.filesystem != OVERLAY else "",
    }


def _free(path: Path) -> dict[str, str]:
    """Of the nearest folder that is there: a checkpoint may still have to be made."""
    there = next((each for each in (path, *path.parents) if each.exists()), None)
    with suppress(OSError):
        if there:
            found = os.statvfs(there)
            return {FREE.name: f"{found.f_bavail * found.f_frsize / GIB:.1f}"}
    return {}


def _bdi_read_ahead(mount: Mount, disk: Path | None) -> str:
    """The one that counts: a network's has no disk. Source: the kernel's Documentation/ABI/testing/sysfs-class-bdi."""
    number = text_of(disk / "dev") if disk else mount.number
    return text_of(mounts.SYS / "class/bdi" / number / "read_ahead_kb")


def _queue(disk: Path) -> dict[str, str]:
    found = {name: text_of(disk / "queue" / name) for name in QUEUE}
    chosen = re.search(r"\[(.+?)\]", found["scheduler"])
    rotates = {"1": "true", "0": "false"}.get(text_of(disk / "queue/rotational"), "")
    depths = dict.fromkeys(text_of(member / "device/queue_depth") for member in members_of(disk))
    return found | {
        "scheduler": chosen[1] if chosen else found["scheduler"],
        "rotational": rotates,
        "queue_depth": ", ".join(filter(None, depths)),
    }


def _limit(number: str) -> str:
    """The strictest of what the cgroups above this process allow, as `riops=500`; "none"; empty: they cannot be read."""
    folders = cgroup_folders("blkio")
    found = [pair for folder, is_v2 in folders for pair in (_of_v2 if is_v2 else _of_v1)(folder, number)]
    allowed: dict[str, int] = {}
    for name, value in found:
        allowed[name] = min(value, allowed.get(name, value))
    return " ".join(f"{name}={value}" for name, value in sorted(allowed.items())) or (NO_LIMIT if folders else "")


def cgroup_folders(controller: str) -> list[tuple[Path, bool]]:
    """The cgroups of this process, and all that they lie in, which are of version 2 (True), or of version 1 and have this controller, named
    as in version 1. Empty: this host shows none.
    """
    found: list[tuple[Path, bool]] = []
    for line in text_of(mounts.PROC / "self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            folders = _above(mounts.SYS / "fs/cgroup", place)
            is_shown = any((folder / "cgroup.controllers").exists() for folder in folders)
            found += [(folder, True) for folder in folders if is_shown]
        elif controller in controllers.split(","):
            found += [
                (folder, False) for folder in _above(mounts.SYS / "fs/cgroup" / controller, place) if folder.exists()
            ]
    return found


def _above(root: Path, place: str) -> list[Path]:
    """The cgroup of this place, and all that it lies in."""
    folder = root / place.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _of_v2(folder: Path, number: str) -> list[tuple[str, int]]:
    """Source: io.max in the kernel's Documentation/admin-guide/cgroup-v2.rst."""
    for line in text_of(folder / "io.max").splitlines():
        device, *pairs = line.split()
        if device == number:
            split = [pair.partition("=")[::2] for pair in pairs]
            return [(name, int(value)) for name, value in split if name in THROTTLES and value.isdecimal()]
    return []


def _of_v1(folder: Path, number: str) -> list[tuple[str, int]]:
    """Source: the kernel's Documentation/admin-guide/cgroup-v1/blkio-controller.rst."""
    found = []
    for name, file in THROTTLES.items():
        for line in text_of(folder / f"blkio.throttle.{file}").splitlines():
            device, _, value = line.partition(" ")
            if device == number and value.isdecimal():
                found.append((name, int(value)))
    return found


def storage_bytes(text: bytes) -> int | None:
    """The counter in the text of /proc/PID/io; None: this kernel does not count."""
    found = READ_BYTES.search(text)
    return int(found[1]) if found else None
