"""Another storage for one start: its disk limited by a cgroup, with a read-ahead of its own, and all of it put back afterwards.

What a disk answers in a second is limited by the cgroup of vLLM's processes, for the whole disk that holds the checkpoint. Another read-ahead is one of a
whole device: so the checkpoint is copied to a file system of bench's, or the device is named by the user (`storage.allow_read_ahead_of`).
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from bench.config import Storage
from bench.errors import StartError
from bench.host.emulation import image as images
from bench.host.emulation.cgroup import Counted, Parent, counted, find_parent, limit, make
from bench.host.storage import describe_storage, disk_of
from bench.host.storage_facts import EMULATED, LIMIT, NAME
from bench.system.locks import locked
from bench.system.output import print_message
from bench.system.ownership import mark
from bench.system.undo import Journal, journal
from bench.system.undo import folder as undo_folder

FOLDER, LOCK, SUFFIX, IN_MEMORY = "storage", ".bench.lock", ".ext4", "memory"
DIGITS = 12
READ_AHEAD = "queue/read_ahead_kb"


@dataclass(frozen=True)
class Look:
    """What was counted, at a moment between these two, on CLOCK_MONOTONIC."""

    began_s: float
    ended_s: float
    counted: Counted


@dataclass
class StorageInUse:
    """The storage that one start reads, while it is there. `facts`: as `describe_storage`, of an emulated one; of the host's own there are none."""

    asked: Storage
    facts: dict[str, str] = field(default_factory=dict)
    disk: Path | None = None  # the one that answers in the end, its folder below /sys; None: none that this host shows
    cgroup: Path | None = None  # for vLLM's processes; None: nothing is limited, and none can be made
    journal: Path | None = None  # of what must be put back
    number: str = ""  # MAJOR:MINOR of the device that is limited
    looks: list[Look] = field(default_factory=list)  # empty: the kernel does not count here
    read_ahead_after: str | None = None  # KiB, of the device; None: not reached
    resident_after: float | None = (
        None  # share of the checkpoint in the page cache, once the last process is gone; None: unknown
    )

    @property
    def counted(self) -> Counted | None:
        """What vLLM's processes had read of the device at the last look. None: that is not counted here."""
        return self.looks[-1].counted if self.looks else None

    @property
    def is_emulated(self) -> bool:
        return bool(self.facts)

    @property
    def variables(self) -> dict[str, str]:
        """For the keeper of vLLM's processes."""
        places = {"BENCH_CGROUP": self.cgroup, "BENCH_UNDO": self.journal}
        return {name: str(place) for name, place in places.items() if place}

    def look(self) -> None:
        """Notes what they have read so far."""
        began_s = time.monotonic()
        if self.cgroup and (found := counted(self.cgroup, self.number)):
            self.looks.append(Look(began_s, time.monotonic(), found))


def why_not(asked: Storage, place: Path, folder: Path | None, caches: Path) -> str | None:
    """Why this storage cannot be had here; None: it can. `place`: a path on the disk of the checkpoint, `folder`: the checkpoint's."""
    parent = find_parent() if asked.limits_reads else None
    if isinstance(parent, str):
        return f"reads cannot be limited: {parent}."
    if asked.has_image:
        return _why_no_image(asked, folder, caches)
    disk = disk_of(place)
    if disk is None:
        on = describe_storage(place).get("filesystem", "no file system that is shown")
        return (
            f"{place} lies on no disk of this host ({on}: an overlay, memory, a network?), and requests can be limited of a disk alone. "
            "Set storage.image=disk: the checkpoint is then copied to a file system of bench's."
        )
    if asked.allow_read_ahead_of is not None and Path(asked.allow_read_ahead_of).resolve().name != disk.name:
        return f"storage.allow_read_ahead_of={asked.allow_read_ahead_of}: {place} lies on /dev/{disk.name}. Name that, or move the checkpoint."
    if asked.allow_read_ahead_of is not None and not os.access(disk / READ_AHEAD, os.W_OK):
        return f"storage.allow_read_ahead_of: {disk / READ_AHEAD} can be written by root alone."
    return None


def _why_no_image(asked: Storage, folder: Path | None, caches: Path) -> str | None:
    what = "a file system with the checkpoint is needed (storage.image, or storage.read_ahead_kb)"
    if why := images.why_not():
        return f"{what}, and {why}."
    if folder is None or (folder.exists() and not folder.is_dir()):
        return f"{what}, and the checkpoint lies in no folder of its own that could be replaced by one."
    holds = [place for place in (caches, Path.cwd()) if place.resolve().is_relative_to(folder.resolve())]
    if holds:
        return f"{what}, and {folder} holds {holds[0].resolve()} too. Move the checkpoint to a folder of its own."
    above = next(each for each in (caches.absolute(), *caches.absolute().parents) if each.exists())
    if asked.image != IN_MEMORY and not _takes_direct_reads(above):
        return f"{what}, and the file system of {above} has no O_DIRECT: its page cache would answer. Set caches_dir to a folder on a disk."
    return None


def _takes_direct_reads(folder: Path) -> bool:
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    return True


def plan_of(asked: Storage, place: Path, folder: Path | None) -> str:
    """What would be limited and set, for a plan."""
    disk = disk_of(place)
    where = f"/dev/{disk.name}" if disk else str(place)
    if asked.has_image:
        where = f"a file system of bench's over {folder}"
    parent = find_parent()
    by = f" by a cgroup below {parent.folder}" if asked.limits_reads and isinstance(parent, Parent) else ""
    return f"storage={asked.name}: {asked.described()}, of {where}{by}"


def prepare_image(asked: Storage, folder: Path, caches: Path) -> Path:
    """The image with this checkpoint, made where it is missing, or has other files.

    Raises:
        CheckpointError: there is no room for it.
        StartError: it cannot be mounted.
    """
    image, source = image_of(asked, folder, caches), folder.resolve()
    place = images.in_memory(image.parent) if asked.image == IN_MEMORY else image.parent
    place.mkdir(parents=True, exist_ok=True)
    mark(place, "copies of checkpoints on file systems of bench's")
    files = images.files_in(source)
    with locked(place / LOCK, print_message):
        if image.exists():
            with images.mounted(image, source):
                if images.files_in(source) == files:
                    return image
        print_message(f"copying {source} to {image}, a file system of its own")
        images.make_image(image, source)
    return image


def image_of(asked: Storage, folder: Path, caches: Path) -> Path:
    """Where the image with this checkpoint lies, or will."""
    source, place = folder.resolve(), caches.absolute() / FOLDER
    name = f"{source.name}-{sha256(os.fsencode(source)).hexdigest()[:DIGITS]}{SUFFIX}"
    return (place / IN_MEMORY if asked.image == IN_MEMORY else place) / name


@contextmanager
def storage_in_use(asked: Storage, place: Path, folder: Path | None, caches: Path) -> Iterator[StorageInUse]:
    """The storage that is asked for, as long as the block lasts: the host's own where nothing is.

    Raises:
        CheckpointError: there is no room for a copy.
        StartError: the host refuses.
    """
    if not asked.is_emulated:
        yield StorageInUse(asked, disk=disk_of(place))
        return
    with ExitStack() as held:
        try:
            found = _set_up(held, asked, place, folder, caches)
        except OSError as error:
            raise StartError(f"storage={asked.name}: {error.filename or 'this host'}: {error.strerror}") from error
        yield found
    if found.journal and found.journal.exists():
        print_message(f"storage={asked.name}: not all could be put back; what is left is in {found.journal}")


def _set_up(held: ExitStack, asked: Storage, place: Path, folder: Path | None, caches: Path) -> StorageInUse:
    disk, read_ahead, where = disk_of(place), asked.read_ahead_kb, place
    device = disk
    if asked.has_image:
        assert folder is not None, "why_not refuses it"
        image = prepare_image(asked, folder, caches)
        disk, where = disk_of(image), folder
        if read_ahead is None and disk is not None:
            read_ahead = int((disk / READ_AHEAD).read_text(encoding="utf-8"))
        device = held.enter_context(images.mounted(image, folder.resolve()))
    if device is None:
        raise StartError(f"storage={asked.name}: {place} lies on no disk of this host")
    if asked.allow_read_ahead_of is not None:  # no other start puts back what this one has set
        held.enter_context(locked(undo_folder() / f"{device.name}{LOCK}", print_message))
    notes = held.enter_context(journal())
    if read_ahead is not None:
        notes.write(device / READ_AHEAD, str(read_ahead))
    number = (device / "dev").read_text(encoding="utf-8").strip()
    found = StorageInUse(asked, disk=disk, journal=notes.path, number=number)
    found.cgroup = _limited(asked, number, notes)
    found.facts = describe_storage(where) | _facts(asked, device)
    found.look()
    held.callback(_last_look, found, device)
    return found


def _last_look(found: StorageInUse, device: Path) -> None:
    found.look()
    found.read_ahead_after = (device / READ_AHEAD).read_text(encoding="utf-8").strip()


def _limited(asked: Storage, number: str, notes: Journal) -> Path | None:
    """Also where nothing is limited: its requests are counted."""
    parent = find_parent()
    if isinstance(parent, str):
        if asked.limits_reads:
            raise StartError(f"storage={asked.name}: reads cannot be limited: {parent}")
        return None
    group = make(parent, f"bench-{notes.path.stem}", notes)
    limit(group, number, asked, is_v2=parent.is_v2)
    return group


def _facts(asked: Storage, device: Path) -> dict[str, str]:
    """A loop device has another number in each start; what it lies on is a fact of its own."""
    values = {"rbps": asked.bytes_per_s, "riops": asked.read_iops}
    limits = " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
    names = {NAME.name: asked.name, EMULATED.name: asked.described()}
    named = {"device": "loop device" if asked.has_image else device.name}
    return names | named | ({LIMIT.name: limits} if limits else {})
