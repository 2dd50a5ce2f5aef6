"""What the kernel and the GPU count for this process. None, or absent: it could not be read."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

KIB = 1024
STORAGE = {b"read_bytes": "read_bytes"}
MEMORY = {b"RssAnon": "rss_anon_bytes", b"RssFile": "rss_file_bytes", b"RssShmem": "rss_shmem_bytes"}


def process_start() -> float | None:
    """When this process was made, to 10 ms, on CLOCK_MONOTONIC.

    The kernel counts it from boot, with the time that the host slept in it; CLOCK_MONOTONIC counts without that.

    Source: proc_pid_stat(5), field 22
    """
    try:
        stat = _read("/proc/self/stat")
        ticks = int(stat.rpartition(b") ")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    started_s = time.monotonic() - age_s
    return started_s if age_s >= 0 else None


def host() -> dict[str, int]:
    """Bytes read from storage so far, and memory now.

    Storage counts what came from the device: page faults of a mapping, buffered reads that missed the cache, O_DIRECT.

    Source: proc_pid_io(5), proc_pid_status(5)
    """
    return {**_numbers("/proc/self/io", STORAGE, 1), **_numbers("/proc/self/status", MEMORY, KIB)}


def _numbers(path: str, names: dict[bytes, str], unit: int) -> dict[str, int]:
    found = {}
    try:
        for line in _read(path).splitlines():
            key, _, value = line.partition(b":")
            if key in names:
                found[names[key]] = int(value.split()[0]) * unit
    except (OSError, ValueError, IndexError):
        pass
    return found


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # pathlib may not be imported here
        return file.read()


def _cuda() -> Any | None:
    """torch.cuda, where this process uses a GPU already: a query must not initialise it."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def synchronize() -> None:
    """Wait for the GPU's pending work, so that it counts to the phase in which it was launched."""
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()


def gpu() -> dict[str, int]:
    """PyTorch's own share, and the whole device's: what others use is in `gpu_used_bytes`."""
    cuda = _cuda()
    if cuda is None:
        return {}
    free, total = cuda.mem_get_info()
    return {
        "gpu_allocated_bytes": cuda.memory_allocated(),
        "gpu_reserved_bytes": cuda.memory_reserved(),
        "gpu_used_bytes": total - free,
    }
