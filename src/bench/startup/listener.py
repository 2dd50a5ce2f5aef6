"""Who listens on a TCP port of this host: our own process tree, or somebody else."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"  # include/net/tcp_states.h


def is_elsewhere(port: int, pids: Iterable[int]) -> bool:
    """Whether a process that is none of these listens on the port. False where it cannot be known: /proc shows no sockets, or none."""
    listening = _listening(port)
    return bool(listening) and not listening <= {socket for pid in pids for socket in _sockets(pid)}


def _listening(port: int) -> set[str]:
    """The inodes of the sockets. Source: proc(5), /proc/net/tcp."""
    found = set()
    for table in TABLES:
        with suppress(OSError):
            for line in Path(table).read_text(encoding="utf-8").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _sockets(pid: int) -> Iterable[str]:
    with suppress(OSError):  # it ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                name = str(descriptor.readlink())
                if name.startswith("socket:["):
                    yield name[len("socket:[") : -1]
