"""Which process on which machine: written beside what a process holds, so that another process can check whether it is still alive."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

UNKNOWN = "?"
ZOMBIE_OR_DEAD = ("Z", "X")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, distinct from every other one that ever had its pid.

    `machine` and `boot` are the kernel's ids, `pid_namespace` the inode of that namespace (a container has its own numbers),
    `started_ticks` the kernel's clock ticks from boot to the start of the process. "?": not known on this host.
    """

    host: str
    machine: str
    boot: str
    pid_namespace: str
    pid: int
    started_ticks: str

    def __str__(self) -> str:
        """For people: `pid 4711 on host node7`."""
        return f"pid {self.pid} on host {self.host}"

    def as_text(self) -> str:
        """One line, for a tag or a file; `parse` reads it."""
        return " ".join((self.host, self.machine, self.boot, self.pid_namespace, str(self.pid), self.started_ticks))

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended. False also where that cannot be checked: on another host, in another container."""
        here = this_process()
        if (self.host, self.machine) != (here.host, here.machine) or UNKNOWN in (self.machine, self.boot):
            return False
        if self.boot != here.boot:
            return True
        if self.pid_namespace != here.pid_namespace or UNKNOWN in (self.pid_namespace, self.started_ticks):
            return False
        return started_ticks(self.pid) != self.started_ticks

    @property
    def is_here(self) -> bool:
        """Whether it belongs to this host and pid namespace, so that `is_gone` is certain."""
        here = this_process()
        seen_from_here = (self.host, self.machine, self.boot, self.pid_namespace)
        return seen_from_here == (here.host, here.machine, here.boot, here.pid_namespace)


def parse(text: str) -> ProcessIdentity | None:
    """What `as_text` wrote; None for anything else."""
    parts = text.split()
    if len(parts) != 6 or not parts[4].isdecimal():  # noqa: PLR2004  # the fields of ProcessIdentity
        return None
    host, machine, boot, pid_namespace, pid, ticks = parts
    return ProcessIdentity(host, machine, boot, pid_namespace, int(pid), ticks)


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(*_this_machine(), pid, started_ticks(pid) or UNKNOWN)


@cache
def _this_machine() -> tuple[str, str, str, str]:
    try:
        pid_namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        pid_namespace = UNKNOWN
    host = "".join(socket.gethostname().split()) or UNKNOWN
    return host, _first_word("/etc/machine-id"), _first_word("/proc/sys/kernel/random/boot_id"), pid_namespace


def _first_word(path: str) -> str:
    try:
        return next(iter(Path(path).read_text(encoding="utf-8").split()), UNKNOWN)
    except (OSError, UnicodeDecodeError):
        return UNKNOWN


def started_ticks(pid: int) -> str | None:
    """When the process of this number started, in the kernel's clock ticks since boot. None: there is none, or a zombie.

    Source: proc(5), /proc/PID/stat, fields 3 and 22; field 2, the name in brackets, may hold blanks and brackets.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    state, ticks = fields[0].decode(), fields[19].decode()
    return None if state in ZOMBIE_OR_DEAD else ticks
