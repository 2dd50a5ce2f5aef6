"""How fast does read() copy from the page cache into memory? A script of its own, as storage_probe.py is, executed by storage_limit.py.

    python -I copy_probe.py 268435456      bytes that are copied again and again; prints one JSON object

The pages are a file's of this process alone, in memory: those of the checkpoint are not touched.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

GIB, BLOCK = 1024**3, 4 * 1024**2
COPIED, COPY_S, TRIES = 256 * 1024**2, 0.3, 3  # a core may be taken away meanwhile


def copying(size: int) -> dict[str, float]:
    """Bytes a second, with one thread and with one a core."""
    descriptor = os.memfd_create("bench")
    length = BLOCK
    size = max(length, min(COPIED, size) // length * length)
    seconds = min(COPY_S, size / GIB)  # a small one is copied a few times
    source = b"\1" * length
    for offset in range(0, size, length):
        os.pwrite(descriptor, source, offset)
    found = {}
    for name, threads in (("copy_one_bytes_per_s", 1), ("copy_bytes_per_s", len(os.sched_getaffinity(0)))):
        views = [memoryview(bytearray(length)) for _ in range(threads)]
        found[name] = max(_copied(descriptor, size, seconds / TRIES, views) for _ in range(TRIES))
    os.close(descriptor)
    return found


def _copied(descriptor: int, size: int, seconds: float, views: list[memoryview]) -> float:
    counts = [0] * len(views)
    began_s = time.perf_counter()

    def work(index: int) -> None:
        offset = index * len(views[index]) % size
        while time.perf_counter() < began_s + seconds:
            counts[index] += os.preadv(descriptor, [views[index]], offset)
            offset = (offset + len(views[index])) % size

    workers = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(len(views))]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return sum(counts) / (time.perf_counter() - began_s)


if __name__ == "__main__":
    print(json.dumps(copying(int(sys.argv[1]))))  # noqa: T201  # the answer
