"""Where a path is stored: the mounted file system that holds it, through overlays, and the block devices below that.

Read from /proc/self/mountinfo and /sys, without root. What this host does not show (in a container, on a network) is absent.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYS, PROC = Path("/sys"), Path("/proc")
OVERLAY = "overlay"
LAYERS = ("upperdir", "lowerdir", "workdir")  # options of an overlay whose values are folders
DEEPEST = 8  # overlays, loops and mapped devices upon one another
NAMELESS = {OVERLAY, "tmpfs", "ramfs", "rootfs"}  # file systems of nothing that would have a name
MAPPED = {"LVM": "LVM", "CRYPT": "dm-crypt", "mpath": "multipath"}  # how a mapped device's uuid begins


@dataclass(frozen=True)
class Mount:
    """What /proc/self/mountinfo shows of a mounted file system. `number` is MAJOR:MINOR, `options` those of the mount, `own_options` those of
    the file system itself.
    """

    point: str
    number: str
    filesystem: str
    source: str
    options: str
    own_options: str = ""

    @property
    def named_source(self) -> str:
        """The server, bucket, pool or device that it is mounted from, as it calls itself; empty: it has no name."""
        is_named = self.filesystem not in NAMELESS and self.source not in {"none", self.filesystem}
        return self.source if is_named else ""

    def own(self, option: str) -> str:
        """The value of one of its own options; empty: it has none."""
        values = (each.partition("=")[2] for each in _split(self.own_options, ",") if each.startswith(f"{option}="))
        return _unescaped(next(values, ""))


def mount_of(path: Path) -> Mount | None:
    """The mount with the longest path above this one; of several on one place, the last one hides the others."""
    found = None
    resolved = path.resolve()
    for mount in map(_parsed, text_of(PROC / "self/mountinfo").splitlines()):
        if resolved.is_relative_to(mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _parsed(line: str) -> Mount:
    """Source: proc_pid_mountinfo(5): its fields, a dash, and three more; blanks in paths are octal."""
    before, _, after = line.partition(" - ")
    fields, (filesystem, source, *own) = before.split(), after.split()
    return Mount(_unescaped(fields[4]), fields[2], filesystem, _unescaped(source), fields[5], "".join(own))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _split(text: str, mark: str) -> list[str]:
    """At each mark that no backslash protects."""
    return re.split(rf"(?<!\\){re.escape(mark)}", text) if text else []


def layers_of(mount: Mount) -> list[Path]:
    """The folders that an overlay is made of, the upper one first. Source: the kernel's Documentation/filesystems/overlayfs.rst."""
    lower = [part for part in _split(mount.own("lowerdir"), ":") if part]
    return [Path(each.replace("\\:", ":").replace("\\,", ",")) for each in [mount.own("upperdir"), *lower] if each]


def beneath(mount: Mount, path: Path) -> tuple[Mount, Path]:
    """Where this overlay has the file from: the first of its layers that holds it, and so on; the same two where there is no overlay, or its
    layers are not to be seen from here.
    """
    for _ in range(DEEPEST):
        if mount.filesystem != OVERLAY:
            break
        within = path.resolve().relative_to(mount.point)
        held = next((layer / within for layer in layers_of(mount) if (layer / within).exists()), None)
        below = mount_of(held) if held else None
        if held is None or below is None or below == mount:
            break
        mount, path = below, held
    return mount, path


def disk_below(mount: Mount) -> Path | None:
    """The folder below /sys of the whole disk under this file system; None: it is on none that this host shows."""
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


def composed_of(disk: Path, depth: int = DEEPEST) -> str:
    """What a device stands on that is no disk itself, in words: `raid0 of nvme0n1, nvme1n1`, `LVM of sda2`, `loop over ext4 on vda`. Empty:
    it is a disk of its own, as far as this host shows.
    """
    if backing := text_of(disk / "loop/backing_file"):
        return f"loop over {_named_place(Path(backing), depth)}"
    members = sorted((disk / "slaves").glob("*"))
    if not members or not depth:
        return ""
    kind = text_of(disk / "md/level") or _kind_of_mapping(disk)
    named = (f"{member.name} ({below})" if (below := _below(member, depth)) else member.name for member in members)
    return f"{kind} of {', '.join(named)}"


def _below(member: Path, depth: int) -> str:
    folder = member.resolve()
    return composed_of(folder.parent if (folder / "partition").exists() else folder, depth - 1)


def _named_place(path: Path, depth: int) -> str:
    """The file system of this path, and what that is on; without the path, which may be another one each time."""
    mount = mount_of(path)
    if mount is None:
        return "a file"
    disk = disk_below(mount)
    below = composed_of(disk, depth - 1) if disk and depth else ""
    return mount.filesystem + (f" on {disk.name}" if disk else "") + (f" ({below})" if below else "")


def _kind_of_mapping(disk: Path) -> str:
    uuid = text_of(disk / "dm/uuid")
    return next((words for begins, words in MAPPED.items() if uuid.startswith(f"{begins}-")), "device mapper")


def members_of(disk: Path) -> Iterator[Path]:
    """The whole disks that this one is made of, at last; itself, where it is made of none."""
    members = sorted((disk / "slaves").glob("*"))
    for member in members:
        folder = member.resolve()
        yield from members_of(folder.parent if (folder / "partition").exists() else folder)
    if not members:
        yield disk


def describe_layers(mount: Mount) -> str:
    """The file systems of an overlay's layers, each once, upper and lower; those that are not to be seen from here by their number."""
    if mount.filesystem != OVERLAY:
        return ""
    has_upper = bool(mount.own("upperdir"))
    found = [_named_place(layer, DEEPEST) if layer.exists() else "" for layer in layers_of(mount)]
    upper, lower = found[:has_upper], found[has_upper:]
    parts = [f"upper {_layer(upper)}"] if upper else []
    return "; ".join([*parts, f"{len(lower)} lower: {_layer(lower)}"])


def _layer(places: list[str]) -> str:
    seen = dict.fromkeys(filter(None, places))
    return ", ".join(seen) if seen else "not to be seen from here"


def text_of(path: Path) -> str:
    """The file's text; empty where it is missing or not readable."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
