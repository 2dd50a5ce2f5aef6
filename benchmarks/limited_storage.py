"""Runs a command while the disk that holds a path answers few reads a second, and with a read-ahead of your choice.

    sudo python benchmarks/limited_storage.py models --riops 500 --read-ahead-kb 128 -- python -m bench -m load_format=auto,runai_streamer

Cloud and network disks are limited in requests a second; which load format is faster there depends on the kernel's
read-ahead. The command runs in a cgroup of its own, which limits the whole disk for it alone; the read-ahead
is the disk's, so everybody's while the command runs. Both are as before when it ends, however it ends, but for SIGKILL.
Needs root. bench writes both into every start (tags storage.read_ahead_kb and storage.limit).
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.host.storage import disk_of

CGROUPS = Path("/sys/fs/cgroup")
OLD_CGROUPS = CGROUPS / "blkio"  # version 1
JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'  # a shell that goes into the cgroup and becomes the command


def main() -> int:
    """The command's own exit code; 2 where this host cannot do it."""
    asked = arguments()
    disk = disk_of(asked.path)
    if problem := refusal(disk, asked):
        print(f"{Path(__file__).name}: {problem}", file=sys.stderr)
        return 2
    assert disk is not None
    with read_ahead(disk, asked.read_ahead_kb), limited(disk, asked.riops) as entry:
        return run([*entry, *asked.command])


def arguments() -> argparse.Namespace:
    """What was asked for."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a file or folder on the disk in question")
    parser.add_argument("--riops", type=int, help="reads a second that the command may make; left out: no limit")
    parser.add_argument("--read-ahead-kb", type=int, help="KiB; left out: as it is")
    parser.add_argument("command", nargs="+", help="behind --")
    return parser.parse_args()


def refusal(disk: Path | None, asked: argparse.Namespace) -> str | None:
    """Why this host cannot do it; None: it can."""
    if not asked.path.exists():
        return f"{asked.path}: there is no such file or folder."
    if disk is None:
        return f"{asked.path} lies on no disk that this host shows (an overlay, a tmpfs, a network?). Name a path on a disk."
    if os.geteuid() != 0:
        return "limits of storage are set by root. Run it with sudo."
    if asked.riops is not None and limiter(disk, asked.riops) is None:
        return f"{CGROUPS} has neither the controller io (cgroup v2) nor blkio (v1), so reads cannot be limited here."
    return None


def limiter(disk: Path, riops: int) -> tuple[Path, str, str] | None:
    """The root of the cgroups that limit reads, the file for it in each, and what to write there; None: there are none."""
    number = (disk / "dev").read_text().strip()
    with suppress(OSError):
        if "io" in (CGROUPS / "cgroup.controllers").read_text().split():
            return CGROUPS, "io.max", f"{number} riops={riops}"
    if (OLD_CGROUPS / "cgroup.procs").exists():
        return OLD_CGROUPS, "blkio.throttle.read_iops_device", f"{number} {riops}"
    return None


@contextmanager
def read_ahead(disk: Path, kib: int | None) -> Iterator[None]:
    """The disk's read-ahead, and what it was before afterwards."""
    setting = disk / "queue" / "read_ahead_kb"
    before = setting.read_text()
    try:
        if kib is not None:
            setting.write_text(str(kib))
        yield
    finally:
        setting.write_text(before)


@contextmanager
def limited(disk: Path, riops: int | None) -> Iterator[list[str]]:
    """A cgroup with this limit; gives the words that start a command in it."""
    if riops is None:
        yield []
        return
    found = limiter(disk, riops)
    assert found is not None
    root, file, limit = found
    if root == CGROUPS:
        (root / "cgroup.subtree_control").write_text("+io")
    group = root / f"bench-limited-{os.getpid()}"
    group.mkdir()
    try:
        (group / file).write_text(limit)
        yield ["sh", "-c", JOIN, str(group)]
    finally:
        for process in (group / "cgroup.procs").read_text().split():  # that outlived the command: without its limit
            with suppress(OSError):
                (root / "cgroup.procs").write_text(process)
        group.rmdir()


def run(command: list[str]) -> int:
    """To its end. What would end us is passed on to it, so that both settings are restored after it."""
    process = subprocess.Popen(command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: process.send_signal(number))
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
