"""What a verified page cache costs: eviction, measuring and checking of a checkpoint of 15 GiB. The aim: under 2 s.

    python benchmarks/page_cache_bookkeeping.py [GIB] [FOLDER]

Four sparse files stand for the checkpoint: they need no disk, and once read they fill the page cache as any file does,
so that as many pages have to be found, counted and dropped. Reading them is not part of the cost: that is what a warm
start asks for. It is timed all the same, and the cost is given as a share of it, since hosts differ. Each gauge is
timed on the full cache too: which of them is used depends on the host. (Of sparse files the sampling one is not true.)

The last line is JSON: seconds by step, `bookkeeping_s` their sum, `of_reading` that sum over the reading.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.host.page_cache import find_gauge, make_cold, mapped_by, residency, warm
from bench.host.page_cache_gauges import GAUGES

T = TypeVar("T")

FILES = 4
GIB = 1024**3


def main(size_gib: float = 15.0, folder: str | None = None) -> None:
    """Time every step once, from a checkpoint that is all in the page cache, which is the worst case."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        paths = [Path(place, f"model-{number}.safetensors") for number in range(FILES)]
        for path in paths:
            with path.open("wb") as file:
                file.truncate(int(size_gib * GIB) // FILES)
        found, self_test_s = timed(lambda: find_gauge(paths))
        gauge = found or "mincore"
        reading_s = timed(lambda: warm(paths))[1]
        resident = residency(paths, gauge)
        warm_s = {f"{name}_when_warm_s": timed(partial(residency, paths, name))[1] for name in GAUGES}
        steps = {
            "mapped_by_s": timed(lambda: mapped_by(paths))[1],
            "self_test_s": self_test_s,
            "evict_and_measure_s": timed(lambda: make_cold(paths, gauge))[1],
            "measure_again_s": timed(lambda: residency(paths, gauge))[1],
        }
        left = residency(paths, gauge)
    total_s = sum(steps.values())
    facts = {"size_gib": size_gib, "gauge": found, "resident_before": resident, "resident_after": left}
    rounded = {name: round(value, 4) for name, value in (steps | warm_s | {"reading_s": reading_s}).items()}
    print(
        json.dumps(facts | rounded | {"bookkeeping_s": round(total_s, 3), "of_reading": round(total_s / reading_s, 4)})
    )


def timed(action: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and how many seconds it took."""
    began_s = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began_s


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0, *sys.argv[2:3])
