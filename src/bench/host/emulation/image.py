"""A copy of a checkpoint on a file system of bench's: an image, attached to a loop device and mounted over the checkpoint's own folder, where this
process and all that it starts see it, and nobody else.

The mount lies in a mount namespace of this process, and the loop device clears itself with its last user. So the kernel removes both when the last of
these processes is gone, whatever ended it. The loop device reads its image past the page cache: a cold start is cold below it too.

Source: mount_namespaces(7), loop(4); struct loop_config in the kernel's include/uapi/linux/loop.h.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from bench.errors import CheckpointError, StartError
from bench.host.mounts import text_of
from bench.host.storage import describe_storage, disk_of

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REC, MS_SLAVE, MNT_DETACH = 1, 1 << 14, 1 << 19, 2
CAP_SYS_ADMIN = 21
LOOP_CTL_GET_FREE, LOOP_CONFIGURE = 0x4C82, 0x4C0A
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR, LO_FLAGS_DIRECT_IO = 1, 4, 16
LOOP_CONFIG = struct.Struct("=II 5Q 4I 64s 64s 32s 2Q 8Q")
CONTROL = Path("/dev/loop-control")
BLOCK = 4096  # bytes, of the file system
SECTOR = 512  # bytes, of a device of which no other size is known
MAKER = "mkfs.ext4"
TRIES = 10  # another process may take the loop device that was free
ROOM = 64 << 20  # bytes for the file system's own tables
GROWTH = 1.01
TMPFS = "tmpfs"

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why no file system can be mounted by this process; None: it can."""
    if not _has_capability(CAP_SYS_ADMIN):
        return "a file system can be mounted by root alone (CAP_SYS_ADMIN)"
    if not CONTROL.exists():
        return f"there is no {CONTROL}: this kernel, or this container, has no loop devices"
    if shutil.which(MAKER) is None:
        return f"there is no {MAKER} (Debian: e2fsprogs)"
    return None


def _has_capability(number: int) -> bool:
    """Source: proc(5), CapEff in /proc/PID/status."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


@cache
def enter_own_namespace() -> None:
    """What this process mounts from now on is seen by it and its children alone; what the host mounts is seen here too.

    Raises:
        StartError: the kernel refuses.
    """
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "mount --make-rslave /")


@contextmanager
def mounted(image: Path, folder: Path, *, writable: bool = False) -> Iterator[Path]:
    """The image's file system over this folder, as long as the block lasts. Gives the loop device's folder below /sys.

    Raises:
        StartError: there is no loop device, or the kernel refuses.
    """
    enter_own_namespace()
    with ExitStack() as held:
        device, number = _attached(image, writable=writable)
        held.callback(os.close, device)
        sys_folder = Path(f"/sys/block/loop{number}").resolve()
        _refuse_cached(image, sys_folder)
        flags = 0 if writable else MS_RDONLY
        _check(_libc.mount(f"/dev/loop{number}".encode(), os.fsencode(folder), b"ext4", flags, None), f"mount {folder}")
        held.callback(lambda: _libc.umount2(os.fsencode(folder), MNT_DETACH))
        yield sys_folder


def in_memory(folder: Path) -> Path:
    """A folder of its own in memory, as long as this process lives: what is in it is seen by this process and its children alone."""
    enter_own_namespace()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folder):
        _check(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=100%,mode=700"), f"mount {folder}")
    return folder


def _attached(image: Path, *, writable: bool) -> tuple[int, int]:
    """A loop device, opened, over this image, and its number. It is free again when nobody has it open or mounted."""
    sector = _sector_of(image)
    flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (0 if writable else LO_FLAGS_READ_ONLY)
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        file = os.open(image, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            for _ in range(TRIES):
                number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
                device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
                name = os.fsencode(image.name)[:63]
                asked = LOOP_CONFIG.pack(file, sector, *[0] * 5, 0, 0, 0, flags, name, b"", b"", *[0] * 2, *[0] * 8)
                try:
                    fcntl.ioctl(device, LOOP_CONFIGURE, asked)
                except BlockingIOError:
                    os.close(device)
                except OSError as error:
                    os.close(device)
                    if error.errno != errno.EBUSY:  # another process was faster
                        raise
                else:
                    return device, number
        finally:
            os.close(control)
            os.close(file)
    except OSError as error:
        raise StartError(f"storage: no loop device for {image}: {error.strerror}") from error
    raise StartError(f"storage: no loop device for {image}: others took each that was free")


def _sector_of(image: Path) -> int:
    """Of the disk below it: with larger ones loaders that read with O_DIRECT could fail, with smaller ones the loop device itself."""
    disk = disk_of(image)
    return int((disk and text_of(disk / "queue/logical_block_size")) or SECTOR)


def _refuse_cached(image: Path, device: Path) -> None:
    """Refuse a device that reads its image through the page cache, which would answer instead of the disk; in memory that is no difference."""
    if (device / "loop/dio").read_text(encoding="utf-8").strip() != "1" and not _is_in_memory(image):
        raise StartError(
            f"storage: the file system of {image} has no O_DIRECT for a loop device: its page cache would answer instead of the disk. "
            "Set caches_dir to a folder on a disk with ext4 or xfs"
        )


def _is_in_memory(path: Path) -> bool:
    return describe_storage(path).get("filesystem") == TMPFS


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and mtime_ns of all that is copied, by the name below the folder. Links to files are followed; what is hidden is left out."""
    found: dict[str, tuple[int, int]] = {}
    for root, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "lost+found")
        for name in names:
            path = Path(root) / name
            if not name.startswith(".") and path.is_file():
                stat = path.stat()
                found[str(path.relative_to(folder))] = (stat.st_size, stat.st_mtime_ns)
    return dict(sorted(found.items()))


def size_of(folder: Path) -> int:
    """Bytes of an image that holds this folder."""
    blocks = sum(-(-size // BLOCK) + 1 for size, _ in files_in(folder).values())
    return int(blocks * BLOCK * GROWTH) // BLOCK * BLOCK + ROOM


def make_image(image: Path, folder: Path) -> None:
    """Copies this folder into a new image. One that was not finished is written anew.

    Raises:
        CheckpointError: there is no room, or it cannot be written.
        StartError: it cannot be mounted.
    """
    partial, point = image.with_suffix(".partial"), image.with_suffix(".mount")
    try:
        partial.unlink(missing_ok=True)
        point.mkdir(exist_ok=True)
        with partial.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_of(folder))
        _format(partial)
        with mounted(partial, point, writable=True):
            _copy(folder, point)
        point.rmdir()
        partial.rename(image)
    except OSError as error:
        raise CheckpointError(f"storage: {folder} could not be copied to {image}: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _format(image: Path) -> None:
    """Without a journal, which would write while it is read."""
    options = [
        "-q",
        "-F",
        "-b",
        str(BLOCK),
        "-m",
        "0",
        "-i",
        str(1 << 20),
        "-O",
        "^has_journal",
        "-E",
        "lazy_itable_init=0,nodiscard",
    ]
    done = subprocess.run([MAKER, *options, str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckpointError(f"storage: {MAKER} {image} failed: {' '.join(done.stderr.split())[-200:]}.")


def _copy(folder: Path, target: Path) -> None:
    """All files, with their times; two names of one file stay that. Neither the copy nor the original stays in the page cache."""
    copied: dict[tuple[int, int], Path] = {}
    for name in files_in(folder):
        source, copy = folder / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        stat = source.stat()
        first = copied.setdefault((stat.st_dev, stat.st_ino), copy)
        if first is not copy:
            copy.hardlink_to(first)
            continue
        shutil.copy2(source, copy)
        for path in (source, copy):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise StartError(f"storage: {what}: {os.strerror(ctypes.get_errno())}")
