"""How fast a huge log is read, and in how much memory. The aims: 30 MB/s and more, less than 200 MB.

    python benchmarks/read_log.py [MB] [FOLDER]

Three logs, made of the recorded ones in tests/logs, each line as it was printed and with a line of 50 MB in the middle:

    starts      one recorded log behind another: thousands of starts
    shuffled    their lines in any order: few are like one before, a start begins at every other banner
    served      one start that then answers requests for days, each of whose lines has an id that no other has

Each is read by a process of its own on the whole way that `python -m bench.replay` takes before MLflow hears of it: the file's bytes,
the starts in it, and all numbers, params and tags of each. Of a file with more than 200 starts replay takes one and counts the
others; here the first 200 are taken, and then the file is read once more and every one is. The files were just written, so no
disk is waited for.

The last line is JSON: for each log MB/s, MB a second of processor time, and the process's largest resident memory in MB (10^6
bytes), beside what a process takes that has only imported the same.
"""

import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.log.files import log_lines
from bench.log.recordings import MOST_STARTS, LogFile, Recording
from bench.log.starts import starts_of
from bench.start.replay import Place, startup_of

LOGS = Path(__file__).parents[1] / "tests" / "logs"
SERVED = LOGS / "cpu-vllm0.32.0" / "server-runai_streamer-tp1.log"
MB = 10**6
HUGE_MB = 50
SEED = 1


def main(size_mb: float = 1000, folder: str | None = None) -> None:
    """Make each log and read it."""
    found = {}
    for name, blocks in KINDS.items():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            log = Path(place) / f"{name}.log"
            write_log(log, int(size_mb * MB), blocks())
            found[name] = in_own_process(log, MOST_STARTS)
            print(name, found[name], flush=True)
            if found[name]["starts"] > MOST_STARTS:
                found[f"{name}_every_one"] = in_own_process(log, math.inf)
                print(name, "every one", found[f"{name}_every_one"], flush=True)
    print(json.dumps({"size_mb": round(size_mb)} | found))


def write_log(path: Path, size: int, blocks: Iterator[bytes]) -> None:
    """As many as it takes, and in the middle a line that does not end."""
    with path.open("wb") as file:
        is_huge_written = False
        while file.tell() < size:
            file.write(next(blocks))
            if not is_huge_written and file.tell() > size // 2:
                file.writelines(b"Loading safetensors checkpoint shards " * 1000 for _ in range(HUGE_MB * MB // 38_000))
                file.write(b"\n")
                is_huge_written = True


def starts() -> Iterator[bytes]:
    """The recorded logs in turn."""
    logs = [log.read_bytes().rstrip(b"\n") + b"\n" for log in sorted(LOGS.rglob("*.log"))]
    while True:
        yield b"".join(logs)


def shuffled() -> Iterator[bytes]:
    """Their lines in another order each time."""
    chance = random.Random(SEED)  # noqa: S311 - the same each time
    lines = next(starts()).splitlines(keepends=True)
    while True:
        chance.shuffle(lines)
        yield b"".join(lines)


def served() -> Iterator[bytes]:
    """One start, then requests: texts that vLLM 0.32.0 prints, with numbers and ids of their own."""
    chance = random.Random(SEED)  # noqa: S311 - the same each time
    yield SERVED.read_bytes().partition(b"trigger received signal")[0].rpartition(b"\n")[0] + b"\n"
    while True:
        yield "".join(_request(chance) for _ in range(1000)).encode()


def _request(chance: random.Random) -> str:
    number, name = chance.randrange(10**9), f"cmpl-{chance.getrandbits(128):032x}"
    return (
        f"(APIServer pid=1) INFO 11-24 03:{number % 60:02}:{number % 59:02} [logger.py:51] Received request {name}: params: "
        f"SamplingParams(n=1, temperature=0.0, max_tokens={number % 4096}), lora_request: None.\n"
        f'(APIServer pid=1) INFO:     10.0.{number % 255}.{number % 253}:{number % 60_000} - "POST /v1/completions HTTP/1.1" 200 OK\n'
        f"(APIServer pid=1) INFO 11-24 03:{number % 60:02}:{number % 58:02} [loggers.py:273] Engine 000: Avg prompt throughput: "
        f"{number % 1000}.5 tokens/s, Avg generation throughput: {number % 777}.1 tokens/s, Running: {number % 64} reqs, "
        f"Waiting: 0 reqs, GPU KV cache usage: {number % 100}.1%, Prefix cache hit rate: 0.0%\n"
    )


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {"starts": starts, "shuffled": shuffled, "served": served}


def in_own_process(log: Path, most_starts: float) -> dict[str, float]:
    """So that its memory is of this alone."""
    command = [sys.executable, __file__, "read", str(log), str(most_starts)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def peak_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def read(log: Path, most_starts: float) -> None:
    """Read it as `bench.replay` does, and say what that took."""
    imported_mb = peak_mb()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    starts = numbers = 0
    for log_of_start in starts_of(log_lines(log), is_selected=lambda number: number <= most_starts):
        starts += 1
        if log_of_start.is_selected:
            recording = Recording(LogFile(log.name, log), starts, is_alone=False, log=log_of_start)
            numbers += len(startup_of(recording, Place(log.name, log.name)).metrics)
    took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    size_mb = log.stat().st_size / MB
    facts = {"mb_per_s": size_mb / took_s, "mb_per_cpu_s": size_mb / took_cpu_s}
    facts |= {"peak_mb": peak_mb(), "imported_mb": imported_mb}
    print(json.dumps({name: round(value, 1) for name, value in facts.items()} | {"starts": starts, "numbers": numbers}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 1000, *sys.argv[2:3])
