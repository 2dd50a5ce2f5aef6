"""Starts under emulated storages -> the rows of benchmarks/prediction.json, against which `bench.predict` is validated.

    python benchmarks/prediction.py FOLDER...  > benchmarks/prediction.json

FOLDER: of sweeps or starts, as `multirun/` has them. One line a start that counts: its format, its storage, and what it read while it loaded.
"""

import json
import sys
from pathlib import Path
from typing import Any

STORAGE = {"read_ahead_kib": "read_ahead_kb", "reads_per_s": "read_iops", "mib_per_s": "read_mib_per_s"}
KEPT = 1.05  # of a limit, at most


def main() -> None:
    """Prints all of them."""
    files = [file for folder in sys.argv[1:] for file in Path(folder).rglob("startup.json")]
    rows = sorted(filter(None, map(row, files)))
    print("[\n" + ",\n".join(rows) + "\n]")


def row(file: Path) -> str:
    """Empty: it is no start that counts."""
    start = json.loads(file.read_text(encoding="utf-8"))
    params, metrics = start["params"], start["metrics"]
    if start["tags"].get("bench.kind") != "start" or start["reason"] or not held(start):
        return ""
    load_s = metrics["probe/load_weights_s"]
    facts = {
        "format": params["load_format"],
        "storage": {name: number(params[f"storage.{setting}"]) for name, setting in STORAGE.items()},
        "load_s": round(load_s, 3),
        "gib": round(metrics["io/read_gib"], 4),
        "requests": round(metrics["io/load_reads_per_s"] * load_s),
        "largest_kib": int(start["tags"]["storage.max_sectors_kb"]),
        "others_cpu": round(metrics["noise/load/others_cpu"], 2),
    }
    return json.dumps(facts)


def held(start: dict[str, Any]) -> bool:
    """Whether it counts; also if all that is wrong is a stretch above a limit that it kept over its whole load: a cgroup of version 1 counts a request
    when it is made, before it waits, and a streamer has many of them waiting.
    """
    params, metrics = start["params"], start["metrics"]
    counted = {
        "read_iops": metrics.get("io/load_reads_per_s"),
        "read_mib_per_s": metrics.get("throughput/load_read_gib_per_s", 0.0) * 1024,
    }
    limits = {name: number(params[f"storage.{name}"]) for name in counted}
    kept = all(limit is None or (counted[name] or 0.0) <= KEPT * limit for name, limit in limits.items())
    return kept and all("the limit did not hold" in problem for problem in start["problems"])


def number(text: str) -> float | None:
    """Of a param."""
    return None if text == "None" else float(text)


if __name__ == "__main__":
    main()
