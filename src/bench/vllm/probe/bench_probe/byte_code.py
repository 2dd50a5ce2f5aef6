"""Of the modules that this process has imported: whether their byte code was there, or had to be compiled from source.

Python does not record that, but the files show it: a module whose .pyc is younger than this process, or is not there, or does not fit its
source, was compiled. One process after the other does this for itself where none may write.

Source: importlib/_bootstrap_external.py, SourceLoader.get_code and _classify_pyc; PEP 552 for the header
"""

from __future__ import annotations

import os
import sys
import time
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING

from . import events
from .counters import process_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OWN = "bench_probe"
NAMED_AT_MOST = 3
HEADER_BYTES = 16
LOW = 0xFFFFFFFF  # of a time or a size, the bits that a header keeps


def write() -> None:
    """An event with the counts as they are now; where this process is over before, there is none."""
    with events.guarded("which byte code it found is not known"):
        started_s = process_start()
        if started_s is not None:
            events.write("byte_code", **of_process(time.time() - (time.monotonic() - started_s)))


def of_process(started_at: float) -> dict[str, Any]:
    """`modules` with a source, and of them by how they were compiled: `written` where that is kept for the next process; `missing` and
    `stale` where it is not, `unwritable` of them where it cannot be. `writes`: whether Python may. `started_at`: UNIX time.
    """
    counts = dict.fromkeys(("modules", "written", "missing", "stale", "unwritable"), 0)
    named: list[str] = []
    writable: dict[str, bool] = {}
    for name, source, kept in imported():
        counts["modules"] += 1
        folder = kept.rpartition("/")[0]
        if folder not in writable:
            writable[folder] = is_writable(folder)
        may_write = writable[folder] and not sys.dont_write_bytecode
        how = how_compiled(source, kept, started_at, may_write=may_write)
        if how:
            counts[how] += 1
            counts["unwritable"] += how != "written" and not writable[folder]
            named += [name] if len(named) < NAMED_AT_MOST else []
    return {**counts, "named": named, "writes": not sys.dont_write_bytecode}


def imported() -> Iterator[tuple[str, str, str]]:
    """Name, source and place of the byte code of each module that has both. Namespaces are read as they are: modules can be lazy."""
    for name, module in list(sys.modules.items()):
        namespace = getattr(module, "__dict__", None)
        if name.startswith(OWN) or not isinstance(namespace, dict):
            continue
        source, kept = namespace.get("__file__"), getattr(namespace.get("__spec__"), "cached", None)
        if isinstance(source, str) and isinstance(kept, str) and source.endswith(".py"):
            yield name, source, kept


def how_compiled(source: str, kept: str, started_at: float, *, may_write: bool) -> str | None:
    """None: its byte code was read. Where Python may write, what is older than this process was: it would have been replaced."""
    try:
        if os.stat(kept).st_mtime > started_at:  # noqa: PTH116  # pathlib may not be imported here
            return "written"
        return None if may_write or fits(source, kept) else "stale"
    except FileNotFoundError:
        return "missing"


def fits(source: str, kept: str) -> bool:
    """Whether Python takes this byte code for this source. What holds a digest of it is taken so: to check that takes the whole source."""
    with open(kept, "rb", buffering=0) as file:  # noqa: PTH123
        header = file.read(HEADER_BYTES)
    if header[:4] != MAGIC_NUMBER or len(header) < HEADER_BYTES:
        return False
    if header[4:8] != bytes(4):
        return True
    found = os.stat(source)  # noqa: PTH116
    stamp, size = (int.from_bytes(part, "little") for part in (header[8:12], header[12:]))
    return stamp == int(found.st_mtime) & LOW and size == found.st_size & LOW


def is_writable(folder: str) -> bool:
    """Whether byte code can be put there; of a folder that is still to be made, whether it can be made."""
    while folder and not os.path.isdir(folder):  # noqa: PTH112
        folder = folder.rpartition("/")[0]
    return os.access(folder or "/", os.W_OK)
