"""The memory of a process tree, by what is behind it: seen for every process of the tree, and for no other."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.vllm.keeper_reports import Kept, is_below
from bench.vllm.process import kept
from bench.vllm.process_tree import Pace, Resident, Tree, resident
from conftest import until

MIB = 1024**2
SIZE = 64 * MIB
ROUGHLY = 0.05
LATER_S = itertools.count(0.0, 0.4)  # seconds since exec: children are looked for at each of these

# Waits to be told, then does as TODO says; SIZE bytes are touched page by page, so that nothing else is taken meanwhile.
SCRIPT = """
import mmap, os, signal, subprocess, sys, threading

SIZE = 64 * 1024**2
PAGES = range(0, SIZE, 4096)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("up", flush=True)
signal.sigwait({signal.SIGUSR1})
TODO
print("done", flush=True)
signal.pause()
"""
ANON = """
memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in PAGES: memory[page] = 1
"""
MAPPED = """
with open("weights", "rb") as file: memory = mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ)
for page in PAGES: memory[page]
"""
SHARED = """
memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
for page in PAGES: memory[page] = 1
"""
SHARED_BY_TWO = f"""{SHARED}
if os.fork() == 0:
    for page in PAGES: memory[page]
"""
OF_A_THREAD = """
threading.Thread(target=subprocess.run, args=(["sleep", "1000"],), daemon=True).start()  # which waits for it
"""
A_CHILD = """
child = subprocess.Popen(["sleep", "1000"])
"""


@dataclass
class Told:
    """A process that runs SCRIPT, and the tree it is in."""

    process: Kept
    tree: Tree
    heard: list[str]

    def go(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)
        until(lambda: "done" in self.heard)


@contextmanager
def told(todo: str, folder: Path) -> Iterator[Told]:
    """Waiting to be told."""
    heard: list[str] = []
    (folder / "weights").write_bytes(bytes(SIZE))
    script = f"import os; os.chdir({str(folder)!r})\n" + SCRIPT.replace("TODO", todo)
    with (
        kept(
            [sys.executable, "-S", "-c", script],
            {},
            log_path=folder / "log",
            stop_timeout_s=0.2,
            on_line=lambda _, text: heard.append(text),
        ) as process,
        closing(Tree(process.keeper_pid)) as tree,
    ):
        until(lambda: "up" in heard)
        yield Told(process, tree, heard)


def look(tree: Tree) -> Resident:
    found = tree.look(next(LATER_S))
    if found is None:
        pytest.skip("this kernel does not tell anonymous, file-backed and shared memory apart")
    return found


@pytest.mark.parametrize(("todo", "kind"), [(ANON, "anon"), (MAPPED, "file"), (SHARED, "shmem")])
def test_memory_is_seen_by_what_is_behind_it(todo, kind, tmp_path):
    """Of the one kind what was taken, of the others next to nothing."""
    with told(todo, tmp_path) as one:
        before = look(one.tree)
        one.go()
        after = look(one.tree)
    grown = {name: getattr(after, name) - getattr(before, name) for name in ("anon", "file", "shmem")}

    assert grown.pop(kind) == pytest.approx(SIZE, rel=ROUGHLY)
    assert all(abs(size) < ROUGHLY * SIZE for size in grown.values())


def test_pss_counts_once_what_two_processes_share(tmp_path):
    """Their resident memory counts it for each of them."""
    with told(SHARED_BY_TWO, tmp_path) as two:
        look(two.tree)
        before = two.tree.pss()
        two.go()
        until(lambda: look(two.tree).shmem > (2 - ROUGHLY) * SIZE)
        shared, after = look(two.tree).shmem, two.tree.pss()

    if before is None or after is None:
        pytest.skip("this kernel does not tell PSS")
    assert shared == pytest.approx(2 * SIZE, rel=ROUGHLY)
    assert after - before == pytest.approx(SIZE, rel=ROUGHLY)


def test_a_child_is_found_at_once(tmp_path):
    """Its memory is the start's, as its parent's is; this very process's is not, nor the keeper's."""
    with told(A_CHILD, tmp_path) as one:
        look(one.tree)
        alone = one.tree.pids()
        one.go()
        look(one.tree)
        both = one.tree.pids()

        assert alone == {one.process.pid}
        assert len(both) == 2
        assert all(is_below(pid, one.process.keeper_pid) for pid in both)


def test_a_child_of_another_thread_is_found_later(tmp_path):
    """The kernel lists children by thread; looking through all processes finds it."""
    with told(OF_A_THREAD, tmp_path) as one:
        look(one.tree)
        one.go()
        until(lambda: one.tree.look(1e6 * next(LATER_S)) and len(one.tree.pids()) == 2)


def test_an_orphan_in_a_session_of_its_own_is_found(tmp_path):
    """The keeper has adopted it."""
    with told('subprocess.run(["sh", "-c", "setsid sleep 1000 &"])', tmp_path) as one:
        one.go()
        until(lambda: one.tree.look(next(LATER_S)) and len(one.tree.pids()) == 2)


def test_a_process_that_ends_is_no_longer_counted(tmp_path):
    """Between two looks, which is how most of them end."""
    with told(A_CHILD, tmp_path) as one:
        one.go()
        look(one.tree)
        both = one.tree.pids()
        for pid in both - {one.process.pid}:
            os.kill(pid, signal.SIGKILL)
        os.kill(one.process.pid, signal.SIGKILL)

        until(lambda: one.tree.look(next(LATER_S)) is None)
        assert len(both) == 2
        assert one.tree.pss() is None


def test_a_tree_leaves_no_file_open(tmp_path):
    """There are two for each process, of this one's thousand."""

    def opened() -> set[str]:
        return {target for link in Path("/proc/self/fd").iterdir() if (target := _target(link)).startswith("/proc/")}

    before = opened()
    with told(A_CHILD, tmp_path) as one:
        one.go()
        look(one.tree)
        meanwhile = opened()

    assert len(meanwhile - before) >= 4
    assert opened() <= before


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the one that listed them
        return ""


LIVING = b"Name:\tpython\nState:\tR (running)\nVmRSS:\t 60 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 30 kB\nVmData:\t 9 kB\n"


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (LIVING, Resident(10 * 1024, 20 * 1024, 30 * 1024)),
        (LIVING.replace(b"python", b"RssAnon: 9 kB"), Resident(10 * 1024, 20 * 1024, 30 * 1024)),
        (b"Name:\tpython\nState:\tZ (zombie)\nThreads:\t1\n", Resident(0, 0, 0)),
        (b"Name:\tpython\nState:\tR (running)\nVmRSS:\t 60 kB\nVmData:\t 9 kB\n", None),
    ],
    ids=["living", "a name that looks like it", "ended", "a kernel that gives one number"],
)
def test_a_status_is_read_word_for_word(status, found):
    """What a kernel does not tell is None, and never 0."""
    assert resident(status) == found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The CPU time of this thread, in its only element."""
    now = [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: now[0])
    return now


def test_a_pace_spends_no_more_than_its_share(clock):
    """1 % of wall time for what takes a second: first at once, then every 100 s."""
    pace = Pace(0.01)

    def work() -> str:
        clock[0] += 1.0
        return "done"

    done_s = [second for second in range(1000) if pace.maybe(work, float(second))]

    assert done_s == [0, 200, 300, 400, 500, 600, 700, 800, 900]


def test_a_pace_expects_more_of_what_is_larger(clock):
    """Twice the size, twice the time; it is not tried out first."""
    pace = Pace(0.01)

    def work() -> str:
        clock[0] += 1.0
        return "done"

    pace.maybe(work, 0.0)

    assert pace.maybe(work, 299.0, size=2.0) is None
    assert pace.maybe(work, 300.0, size=2.0) == "done"


def test_a_pace_may_know_what_the_first_time_takes(clock):
    """So that it does not begin with the dearest."""
    pace = Pace(0.01, s_per_size=1.0)

    assert [pace.maybe(lambda: "done", 99.0), pace.maybe(lambda: "done", 100.0)] == [None, "done"]


def test_a_pace_keeps_its_distance_however_cheap(clock):
    """More often would tell nothing more."""
    pace = Pace(0.01, every_s=5.0)

    assert [second for second in range(12) if pace.maybe(lambda: "done", float(second))] == [0, 5, 10]


def test_a_pace_can_be_broken(clock):
    """When nothing is left to be disturbed."""
    pace = Pace(0.0, every_s=5.0)

    assert [pace.maybe(lambda: "done", 1.0), pace.maybe(lambda: "done", 2.0)] == ["done", None]
    assert pace.maybe(lambda: "done", 3.0, anyway=True) == "done"
