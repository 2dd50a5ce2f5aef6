"""How fast a huge log is read, and in how much memory. The aims: 30 MB/s and more, less than 200 MB.

    python benchmarks/read_log.py [MB] [FOLDER]

The log is made of the recorded ones in tests/logs, one behind another, each line as it was printed, with a line of 50 MB
in the middle. It is read twice, each time by a process of its own: as thousands of starts (`starts_in`), of each of which the
numbers and the reason are taken; and as one log (`read_log`). The file was just written, so no disk is waited for.

The last line is JSON: for each way, MB/s and the process's largest resident memory in MB (10^6 bytes).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.startup.failure import reason_in
from bench.startup.log import LogLine, read_log, starts_in
from bench.startup.log_files import log_lines
from bench.startup.metrics import summarise
from bench.startup.phases import read_phases

LOGS = Path(__file__).parents[1] / "tests" / "logs"
MB = 10**6
HUGE_MB = 50


def main(size_mb: float = 1000, folder: str | None = None) -> None:
    """Make the log, read it in both ways."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        log = Path(place) / "huge.log"
        write_log(log, int(size_mb * MB))
        found = {way: json.loads(in_own_process(way, log)) for way in ("starts_in", "read_log")}
        print(json.dumps({"size_mb": round(log.stat().st_size / MB)} | found))


def write_log(path: Path, size: int) -> None:
    """Recorded logs in turn, and in the middle a line that does not end."""
    logs = [log.read_bytes().rstrip(b"\n") + b"\n" for log in sorted(LOGS.rglob("*.log"))]
    with path.open("wb") as file:
        is_huge_written = False
        while file.tell() < size:
            file.writelines(logs)
            if not is_huge_written and file.tell() > size // 2:
                file.writelines(b"Loading safetensors checkpoint shards " * 1000 for _ in range(HUGE_MB * MB // 38_000))
                is_huge_written = True


def in_own_process(way: str, log: Path) -> str:
    """So that its memory is of this alone."""
    return subprocess.run([sys.executable, __file__, way, log], check=True, capture_output=True, text=True).stdout


def read(way: str, log: Path) -> None:
    """Read it as `bench.replay` would, and say what that took."""
    began_s = time.perf_counter()
    starts = numbers = 0
    for lines in records(way, log):
        starts += 1
        numbers += len(summarise(read_phases(lines)))
        reason_in(lines)
    took_s = time.perf_counter() - began_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    facts = {"mb_per_s": log.stat().st_size / MB / took_s, "peak_mb": peak_mb, "starts": starts, "numbers": numbers}
    print(json.dumps({name: round(value, 1) for name, value in facts.items()}))


def records(way: str, log: Path) -> Iterator[list[LogLine]]:
    """One log, or its starts."""
    return starts_in(log_lines(log)) if way == "starts_in" else iter([read_log(log_lines(log))])


if __name__ == "__main__":
    if sys.argv[1:2] in (["starts_in"], ["read_log"]):
        read(sys.argv[1], Path(sys.argv[2]))
    else:
        main(*([float(sys.argv[1])] if len(sys.argv) > 1 else []), *sys.argv[2:3])
