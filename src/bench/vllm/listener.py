"""Which process listens on a TCP port of this host: one of our own tree, or another."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"  # include/net/tcp_states.h
# Addresses at which 127.0.0.1 is answered, as these tables write them; the first two before the others.
EXACT = ("0100007F", "0000000000000000FFFF00000100007F")
ANY = ("00000000", "0" * 32)


def is_elsewhere(port: int, pids: Iterable[int]) -> bool:
    """Whether 127.0.0.1 at this port is answered by none of these processes. False where that cannot be determined: /proc shows no
    sockets here, or not those of all these processes.
    """
    listening = _listening(port)
    try:
        ours = {socket for pid in pids for socket in _sockets(pid)}
    except PermissionError:
        return False
    return bool(listening) and not listening <= ours


def _listening(port: int) -> set[str]:
    """The inodes of the sockets. Source: proc(5), /proc/net/tcp."""
    found: dict[str, set[str]] = {}
    for table in TABLES:
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                address, _, its_port = fields[1].rpartition(":")
                if fields[3] == LISTEN and int(its_port, 16) == port:
                    found.setdefault(address, set()).add(fields[9])
    exact, any_address = ({inode for name in names for inode in found.get(name, ())} for names in (EXACT, ANY))
    return exact or any_address


def _sockets(pid: int) -> Iterable[str]:
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                name = str(descriptor.readlink())
                if name.startswith("socket:["):
                    yield name[len("socket:[") : -1]
