"""The storage that holds a checkpoint, as far as a load depends on it: device, file system, read-ahead, requests, limits.

Read-ahead and a limit of requests a second decide which load format is faster, so two starts with other values are not one
experiment. What this host does not show (in a container, on a network) is absent.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

SYS, PROC = Path("/sys"), Path("/proc")
QUEUE = ("read_ahead_kb", "max_sectors_kb", "scheduler")
NO_LIMIT = "none"  # the fact `limit` where the cgroups of this process allow all
THROTTLES = {"riops": "read_iops_device", "rbps": "read_bps_device"}  # of cgroup v1, by their names in v2

# What a process or a thread has read from storage so far, by the kernel's own count. `read_bytes` counts what came from the device: page
# faults of a mapping, buffered reads that missed the page cache, and O_DIRECT; what the cache served is not in it.
# Source: proc(5). The file may be read by the same user, or by root.
READ_BYTES = re.compile(rb"^read_bytes: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Mount:
    """What /proc/self/mountinfo shows of a mounted file system. `number` is MAJOR:MINOR."""

    point: str
    number: str
    filesystem: str
    source: str
    options: str


def describe_storage(path: Path) -> dict[str, str]:
    """Facts about the storage of this file or folder, by name: device, filesystem, mount_options, read_ahead_kb and
    max_sectors_kb (KiB), scheduler, and limit: what this process's cgroups allow on that device, "none" where they allow all.
    """
    mount = _mount_of(path)
    if mount is None:
        return {}
    facts = {"filesystem": mount.filesystem, "mount_options": mount.options}
    if disk := _disk_of(mount):
        facts |= {"device": disk.name} | _queue(disk) | {"limit": _limit(_text(disk / "dev"))}
    return {name: value for name, value in facts.items() if value}


def disk_of(path: Path) -> Path | None:
    """The folder below /sys of the whole disk that holds this path; None: it lies on none that this host shows."""
    mount = _mount_of(path)
    return _disk_of(mount) if mount else None


def _mount_of(path: Path) -> Mount | None:
    """The mount with the longest path above this one; of several on one place, the last one hides the others."""
    found = None
    resolved = path.resolve()
    for line in _text(PROC / "self/mountinfo").splitlines():
        mount = _parsed(line)
        if resolved.is_relative_to(mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _parsed(line: str) -> Mount:
    """Source: proc_pid_mountinfo(5): its fields, a dash, and three more; blanks in paths are octal."""
    before, _, after = line.partition(" - ")
    fields, (filesystem, source, *_) = before.split(), after.split()
    return Mount(_unescaped(fields[4]), fields[2], filesystem, _unescaped(source), fields[5])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _disk_of(mount: Mount) -> Path | None:
    number = mount.number
    if number.startswith("0:") and mount.source.startswith("/dev/"):  # subvolumes of btrfs have numbers of their own
        try:
            device = Path(mount.source).stat().st_rdev
        except OSError:
            return None
        number = f"{os.major(device)}:{os.minor(device)}"
    device_folder = SYS / "dev/block" / number
    if not device_folder.exists():
        return None
    folder = device_folder.resolve()
    return folder.parent if (folder / "partition").exists() else folder


def _queue(disk: Path) -> dict[str, str]:
    found = {name: _text(disk / "queue" / name) for name in QUEUE}
    chosen = re.search(r"\[(.+?)\]", found["scheduler"])
    return found | {"scheduler": chosen[1] if chosen else found["scheduler"]}


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
    for line in _text(PROC / "self/cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            folders = _above(SYS / "fs/cgroup", place)
            is_shown = any((folder / "cgroup.controllers").exists() for folder in folders)
            found += [(folder, True) for folder in folders if is_shown]
        elif controller in controllers.split(","):
            found += [(folder, False) for folder in _above(SYS / "fs/cgroup" / controller, place) if folder.exists()]
    return found


def _above(root: Path, place: str) -> list[Path]:
    """The cgroup of this place, and all that it lies in."""
    folder = root / place.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _of_v2(folder: Path, number: str) -> list[tuple[str, int]]:
    """Source: io.max in the kernel's Documentation/admin-guide/cgroup-v2.rst."""
    for line in _text(folder / "io.max").splitlines():
        device, *pairs = line.split()
        if device == number:
            split = [pair.partition("=")[::2] for pair in pairs]
            return [(name, int(value)) for name, value in split if name in THROTTLES and value.isdecimal()]
    return []


def _of_v1(folder: Path, number: str) -> list[tuple[str, int]]:
    """Source: the kernel's Documentation/admin-guide/cgroup-v1/blkio-controller.rst."""
    found = []
    for name, file in THROTTLES.items():
        for line in _text(folder / f"blkio.throttle.{file}").splitlines():
            device, _, value = line.partition(" ")
            if device == number and value.isdecimal():
                found.append((name, int(value)))
    return found


def _text(path: Path) -> str:
    """The file's text; empty where it is missing or not readable."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def storage_bytes(text: bytes) -> int | None:
    """The counter in the text of /proc/PID/io; None: this kernel does not count."""
    found = READ_BYTES.search(text)
    return int(found[1]) if found else None
