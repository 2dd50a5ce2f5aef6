"""What each loading process read: the lines that frame its loading, with a simulated counter and with the kernel's."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.host.io_counter import bytes_read
from bench.host.page_cache import evict, find_gauge
from bench.startup.reads import ReadWatch

LOGS = Path(__file__).parents[1] / "logs"
CPU = "cpu-vllm0.32.0"
H100 = "h100-vllm0.26.0"

# By log: for each loading process the lines between which it read its weights, as a person finds them in the log.
FRAMES: dict[str, dict[int, tuple[int, int]]] = {
    f"{CPU}/auto-tp1-compile.log": {4264: (31, 35)},
    f"{CPU}/auto-tp2.log": {3330: (48, 52), 3331: (44, 56)},  # the second rank says less
    f"{CPU}/runai_streamer-tp2.log": {4122: (46, 57), 4123: (45, 58)},  # whose streamer spoke is not in its line
    f"{CPU}/sharded_state-tp2.log": {3814: (46, 47), 3815: (45, 52)},
    f"{H100}/auto-tp1-coldcache.stamped.log": {1432: (16, 30)},  # on a GPU with one rank the engine core loads
    f"{H100}/runai_streamer_cold-tp1-eager.stamped.log": {2702: (16, 30)},
}


def played(lines: list[str], look: Callable[[int, int], int | None]) -> ReadWatch:
    """A watch that has seen these lines. `look` tells a process's counter at the arrival of a line, counted from 1."""
    arrived = 0
    watch = ReadWatch(lambda pid: look(pid, arrived))
    for line in lines:
        arrived += 1
        watch.saw(line)
    return watch


def lines_of(log: str) -> list[str]:
    """A progress bar's carriage returns end no line."""
    return (LOGS / log).read_bytes().decode().split("\n")


def line_number(_pid: int, arrived: int) -> int:
    """A counter that every line of the log costs one byte: what is counted is the distance of two lines."""
    return 1000 + arrived


# Frames.


@pytest.mark.parametrize("log", FRAMES)
def test_what_is_counted_is_what_was_read_while_the_weights_were_loaded(log):
    """From the last line before the weights to the first after them: neither imports nor compiling are the checkpoint's."""
    watch = played(lines_of(log), line_number)

    assert watch.by_process() == {pid: ended - began for pid, (began, ended) in FRAMES[log].items()}


def test_each_process_has_a_counter_of_its_own():
    """Of two ranks, one read a gigabyte in the same lines in which the other read nothing."""
    watch = played(lines_of(f"{CPU}/auto-tp2.log"), lambda pid, arrived: arrived * 10**9 if pid == 3330 else 4096)

    assert watch.by_process() == {3330: 4 * 10**9, 3331: 0}


def test_the_engine_core_that_loads_nothing_is_not_counted():
    """It speaks of the KV cache too, and reads a lot, but no weights."""
    watch = played(lines_of(f"{CPU}/auto-tp1-compile.log"), line_number)

    assert 4250 not in watch.by_process()


def test_a_line_is_understood_as_it_comes_and_as_it_is_kept():
    """With the stamp that bench puts in front of it, or without."""
    bare = [line.partition(" (")[2] for line in lines_of(f"{H100}/auto-tp1-coldcache.stamped.log")]
    watch = played([f"({line}" for line in bare], line_number)

    assert watch.by_process() == {1432: 14}


# What is not known.


def test_a_process_that_ends_before_its_loading_does_is_unknown():
    """Its counter went with it. It is named, and never taken for one that read nothing."""
    lines = lines_of(f"{CPU}/auto-tp2.log")
    watch = played(lines, lambda pid, arrived: None if pid == 3331 and arrived > 50 else arrived)

    assert watch.by_process() == {3330: 4, 3331: None}


def test_somebody_elses_process_is_unknown():
    """Its counter may not be read at all."""
    watch = played(lines_of(f"{CPU}/auto-tp1-compile.log"), lambda _pid, _arrived: None)

    assert watch.by_process() == {4264: None}


def test_a_start_that_failed_while_loading_is_unknown():
    """There is no line after the weights, and nobody asked at the end."""
    watch = played(lines_of(f"{CPU}/fastsafetensors-tp1-FAILED.log"), line_number)

    assert watch.by_process() == {5051: None}


def test_a_process_that_says_nothing_after_its_loading_is_over_with_it_when_vllm_is_ready():
    """As every rank but the first of some releases."""
    lines = lines_of(f"{CPU}/auto-tp2.log")[:53]
    watch = played(lines, line_number)
    unfinished = watch.by_process()
    watch.finish()

    assert unfinished == {3330: 4, 3331: None}
    assert watch.by_process() == {3330: 4, 3331: 53 - 44}


def test_ready_changes_nothing_of_what_is_over():
    """A process goes on reading long after its weights."""
    watch = played(lines_of(f"{CPU}/auto-tp1-compile.log"), line_number)
    before = watch.by_process()
    watch.finish()

    assert before == watch.by_process() == {4264: 4}


@pytest.mark.parametrize("lines", [[], ["INFO 11-24 02:11:37 Starting to load model tiny..."], ["hello", ""]])
def test_where_no_process_says_that_it_loads_nothing_is_counted(lines):
    """Empty, and not zero: a line without a pid belongs to nobody whom one could ask."""
    watch = played(lines, line_number)
    watch.finish()

    assert watch.by_process() == {}


def test_an_end_without_a_beginning_is_nothing():
    """The recorded log of the seed begins when the weights are already loaded."""
    assert played(lines_of("seed/base.log"), line_number).by_process() == {}


# The kernel's counter.


def test_the_counter_of_a_process_that_is_not_there_is_unknown():
    """No process has this number: it is beyond the largest that Linux gives."""
    assert bytes_read(2**22 + 1) is None


def test_the_counter_is_that_of_the_storage(tmp_path):
    """A child reads 8 MiB that are not in the page cache, and nothing else in between."""
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(8 * 1024**2))
    if find_gauge([file]) is None or bytes_read(os.getpid()) is None:
        pytest.skip(f"nothing tells what is read from the storage of {tmp_path}")
    evict([file])
    script = "import sys; input(); open(sys.argv[1], 'rb', buffering=0).readall(); print('read', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        began = bytes_read(child.pid)
        child.stdin.write("\n")
        child.stdin.flush()
        said = child.stdout.readline()
        ended = bytes_read(child.pid)
        child.communicate("\n")

    assert said == "read\n"
    assert ended - began == pytest.approx(8 * 1024**2, rel=0.05)
