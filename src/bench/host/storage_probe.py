"""How fast can these files be read at all? A script of its own, executed by storage_limit.py: a read that hangs holds no other process.

    python -I storage_probe.py '{"paths": [...], "seconds": 8, "bytes_at_most": 1e9}'     prints one JSON object

Threads read the files past the page cache (O_DIRECT), so that nothing of it changes. How many threads and how large the reads must be is
searched, from little in flight to much. What a short probe gets wrong, and what is done about it:

- its begin counts for nothing: until all threads have their first read behind them, the queue is not full;
- too little in flight: the best of all cells counts, up to 256 MiB in flight, but never more than the storage delivers in IN_FLIGHT_S, since
  a slow storage would then answer nothing within a cell;
- a storage that is shared changes from second to second: the best cell is read for longer, and the best of all is the limit. How much it
  differs from the seconds of the longest is reported, so that a limit that does not hold still is not taken for a firm one.

Where O_DIRECT is refused the reads go through the page cache, of which the files are evicted before each cell and at the end, and the answer
says so. The caller has to allow that.

Nothing but the standard library, and nothing of bench: it must start in 50 ms.
"""

from __future__ import annotations

import bisect
import itertools
import json
import mmap
import os
import random
import sys
import threading
import time

GIB, MIB, KIB = 1024**3, 1024**2, 1024
ALIGNED = 4096  # bytes; what O_DIRECT needs at most: a logical block has no more
REQUESTS = (4 * KIB, 128 * KIB)  # whose number a second is measured, read at random
REQUESTS_THREADS = 32
MOST_PROCESSES, THREADS_EACH = 16, 4  # more threads of one interpreter wait for one another
CELLS = (
    (4, MIB),
    (16, MIB),
    (64, MIB),
    (16, 4 * MIB),
    (32, 4 * MIB),
    (64, 4 * MIB),
)  # threads, bytes: by what is in flight
IN_FLIGHT_S = 0.2  # of the storage's rate: more in flight only waits
LATENCY_S, CELL_S, AT_LONGEST_S, AT_LEAST_S = 0.15, 0.4, 2.5, 0.05
RAMP = 0.25  # of a cell, at its begin
WINDOW_S = 0.5  # in which a rate is counted; two of them make the second that is the limit
STEADY = 0.1  # by which the seconds of a firm limit differ at most


class Files:
    """The files as one stretch of bytes, read from `at` on, again from the begin when it is over."""

    def __init__(self, paths: list[str]) -> None:
        self.files = [(path, size) for path in paths if (size := os.stat(path).st_size) >= ALIGNED]  # noqa: PTH116  # as below
        self.size = sum(size for _, size in self.files)
        self.at = 0
        self.read = 0  # bytes, of all cells

        self.fds: list[int] = []
        self.is_direct = True

    def open(self, *, direct: bool) -> None:
        """Raises OSError: O_DIRECT is refused, at once or at the first read."""
        self.is_direct = direct
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if direct else 0)
        self.fds = [os.open(path, flags) for path, _ in self.files]
        with mmap.mmap(-1, ALIGNED) as buffer:
            os.preadv(self.fds[0], [buffer], 0)

    def evict(self) -> None:
        """Of the page cache, where it was read through that."""
        for descriptor in [] if self.is_direct else self.fds:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def blocks(self, length: int) -> Blocks:
        return Blocks([max(1, size // length) for _, size in self.files], length)


class Blocks:
    """The whole blocks of one length in all files, by number; of a file that is shorter, its begin. Nothing is kept for each: there may be millions."""

    def __init__(self, counts: list[int], length: int) -> None:
        self.ends = list(itertools.accumulate(counts))
        self.length = length

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Which file, and the offset in it."""
        index = bisect.bisect_right(self.ends, number)
        return index, (number - (self.ends[index - 1] if index else 0)) * self.length


class Cell:
    """Some threads that read blocks of one length for a time, and what came of it."""

    def __init__(self, threads: int, length: int) -> None:
        self.threads, self.length = threads, length
        self.done: list[
            tuple[float, float, int]
        ] = []  # begin and end of each read, on time.perf_counter, and its bytes
        self.began_s = self.ended_s = 0.0
        self.error: str | None = None

    def run(self, files: Files, seconds: float, bytes_at_most: float, *, at_random: bool = False) -> Cell:
        files.evict()
        turn, fds = itertools.count(), files.fds
        blocks = files.blocks(self.length)
        first = int(len(blocks) * (files.at / files.size))
        drawn = random.Random(os.getpid())  # noqa: S311  # no secret
        rounds = 4 if files.is_direct else 1
        most = max(1, min(len(blocks) * rounds, int(bytes_at_most // self.length)))
        self.began_s = time.perf_counter()
        until_s = self.began_s + seconds

        def work() -> None:
            buffer = mmap.mmap(-1, self.length)  # of whole pages, as O_DIRECT needs it
            view = memoryview(buffer)
            try:
                while (number := next(turn)) < most and (begin_s := time.perf_counter()) < until_s:
                    chosen = drawn.randrange(len(blocks)) if at_random else (first + number) % len(blocks)
                    index, offset = blocks[chosen]
                    count = os.preadv(fds[index], [view], offset)
                    self.done.append((begin_s, time.perf_counter(), count))
            except OSError as error:
                self.error = os.strerror(error.errno or 0)
            finally:
                view.release()
                buffer.close()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(self.threads)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        self.ended_s = min(time.perf_counter(), until_s)
        count = sum(bytes_ for *_, bytes_ in self.done)
        files.read += count
        files.at = 0 if at_random or not files.size else (files.at + count) % files.size
        return self

    @property
    def seconds(self) -> float:
        return max(self.ended_s - self.began_s, 1e-9)

    def between(self, begin_s: float, end_s: float) -> float:
        """Bytes a second; of a read that lies partly within, that part."""
        total = 0.0
        for began_s, ended_s, count in self.done:
            within_s = min(ended_s, end_s) - max(began_s, begin_s)
            if within_s > 0:
                total += count * min(1.0, within_s / max(ended_s - began_s, 1e-9))
        return total / max(end_s - begin_s, 1e-9)

    @property
    def rate(self) -> float:
        """Bytes a second, without the begin."""
        steady = self.between(self.began_s + RAMP * self.seconds, self.ended_s)
        return steady or self.between(self.began_s, self.ended_s)  # all was over before the begin was

    @property
    def requests(self) -> float:
        return self.rate / self.length

    def windows(self) -> list[float]:
        """Bytes a second in each half second behind the begin; one, where it was shorter."""
        begin_s = self.began_s + min(RAMP * self.seconds, WINDOW_S / 2)
        number = int((self.ended_s - begin_s) / WINDOW_S)
        if number < 2:  # noqa: PLR2004  # too short to be compared with itself
            return [self.rate]
        return [self.between(begin_s + WINDOW_S * i, begin_s + WINDOW_S * (i + 1)) for i in range(number)]


def latency(files: Files) -> tuple[float, float]:
    """The median read of 4 KiB with nothing else under way, in seconds; and requests a second so."""
    cell = Cell(1, ALIGNED).run(files, LATENCY_S, files.size / 8, at_random=True)
    lasted = sorted(ended_s - began_s for began_s, ended_s, _ in cell.done)
    return lasted[len(lasted) // 2], len(lasted) / cell.seconds


def requests(files: Files, threads: int, length: int, seconds: float, bytes_at_most: float) -> tuple[Cell, float]:
    """Reads of this length a second, at random, by so many threads of several processes: one interpreter makes 50,000 a second. Returns the cell of
    this process, and the number of all.
    """
    processes = max(1, min(MOST_PROCESSES, 2 * _cores(), threads // THREADS_EACH))
    each = threads // processes
    others = [_forked(files, each, length, seconds, bytes_at_most) for _ in range(processes - 1)]
    own = Cell(each, length).run(files, seconds, bytes_at_most, at_random=True)
    total = own.requests
    for pid, pipe in others:
        with os.fdopen(pipe) as answer:
            count, _, rate = answer.read().partition(" ")
        os.waitpid(pid, 0)
        files.read += int(count or 0)
        total += float(rate or 0)
    return own, total


def _forked(files: Files, threads: int, length: int, seconds: float, bytes_at_most: float) -> tuple[int, int]:
    """A process that makes such reads, and where it writes their bytes and number a second."""
    out, into = os.pipe()
    if pid := os.fork():
        os.close(into)
        return pid, out
    try:  # no thread runs when it is forked
        cell = Cell(threads, length).run(files, seconds, bytes_at_most, at_random=True)
        os.write(into, f"{sum(count for *_, count in cell.done)} {cell.requests}".encode())
    finally:
        os._exit(0)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def limits(files: Files, seconds: float, bytes_at_most: float) -> dict[str, object]:
    """What the storage can do, from little in flight to much; see the module."""
    ends_s = time.perf_counter() + seconds
    quota = bytes_at_most / (len(CELLS) + 4)
    latency_s, rate = latency(files)
    counted = {}
    best = Cell(1, ALIGNED)
    for length in REQUESTS:
        threads = max(1, min(REQUESTS_THREADS, int(rate * IN_FLIGHT_S)))
        left_s = max(AT_LEAST_S, min(CELL_S, ends_s - time.perf_counter()))
        if length == ALIGNED:
            best, counted[length] = requests(files, threads, length, left_s, quota)
        else:
            best = Cell(threads, length).run(files, left_s, quota, at_random=True)
            counted[length] = best.requests
        rate = max(rate, counted[length])
    fastest = best.rate
    for threads, length in CELLS:
        in_flight = threads * length
        if ends_s - time.perf_counter() > CELL_S and in_flight <= min(IN_FLIGHT_S * best.rate, files.size / 2):
            cell = Cell(threads, length).run(files, CELL_S, quota)
            best = cell if cell.rate > best.rate else best
            fastest = max(fastest, cell.rate)
    left_s = min(AT_LONGEST_S, ends_s - time.perf_counter())
    longest = Cell(best.threads, best.length).run(files, left_s, 4 * quota) if left_s > CELL_S else best
    windows = longest.windows()
    of_seconds = [sum(pair) / 2 for pair in itertools.pairwise(windows)] or windows
    fastest = max(fastest, longest.rate, *of_seconds)
    return {
        "read_bytes_per_s": fastest,
        "sustained_bytes_per_s": longest.rate,
        "is_steady": len(windows) > 1 and fastest - min(of_seconds) <= STEADY * fastest,
        "threads": longest.threads,
        "block_bytes": longest.length,
        "reads_per_s": {str(length): requests for length, requests in counted.items()},
        "latency_s": latency_s,
        "seconds": longest.seconds,
        "error": longest.error,
    }


def of_storage() -> int:
    """Bytes that this process has read from storage so far, by the kernel. Source: proc(5)."""
    with open("/proc/self/io") as file:  # noqa: PTH123  # pathlib costs more than all else that is imported
        return next(int(line.split()[1]) for line in file if line.startswith("read_bytes"))


def measured(paths: list[str], seconds: float, bytes_at_most: float, *, may_be_buffered: bool) -> dict[str, object]:
    """`read_share`: of what was read, what the kernel counted as storage's; None: it does not count. An `error`, where nothing can be measured."""
    files = Files(paths)
    if not files.files:
        return {"error": "no file has 4 KiB or more"}
    try:
        files.open(direct=True)
    except OSError as error:
        if not may_be_buffered:
            return {"error": f"O_DIRECT is refused ({os.strerror(error.errno or 0)})"}
        files.open(direct=False)
    try:
        before = of_storage()
    except (OSError, StopIteration):
        before = -1
    found = limits(files, seconds, bytes_at_most)
    share = (of_storage() - before) / max(1, files.read) if before >= 0 else None
    files.evict()
    return found | {"is_direct": files.is_direct, "read_bytes": files.read, "read_share": share}


def main() -> None:
    """Measures what the first word asks for."""
    asked = json.loads(sys.argv[1])
    for group in asked.get("join", ()):  # whose limits are to be measured
        with open(f"{group}/cgroup.procs", "w") as file:  # noqa: PTH123  # as above
            file.write("0")
    is_allowed = asked.get("may_be_buffered", False)
    found = measured(asked["paths"], asked["seconds"], asked["bytes_at_most"], may_be_buffered=is_allowed)
    print(json.dumps(found))  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
