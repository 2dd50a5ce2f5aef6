"""A kept command's tree ends with its block, and what it prints is stamped on arrival."""

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.errors import StartError
from bench.host.page_cache import evict
from bench.vllm.forsaken import end_forsaken
from bench.vllm.keeper_reports import Kept, Reports, how_it_ended
from bench.vllm.log_copy import Copy
from bench.vllm.process import kept
from conftest import MARK, end_all, living, until

STUBBORN = "trap '' TERM; echo up; while true; do sleep 60; done"
ORPHAN = "trap '' TERM; setsid sleep 1000 & echo up; trap - TERM; sleep 1000"  # what is ignored stays so in a child


@pytest.fixture
def mark() -> Iterator[str]:
    """Told to every process of a test by its environment."""
    mark = uuid.uuid4().hex
    yield mark
    end_all(mark)


class Heard(list):
    """The lines that a block was told of."""

    def __call__(self, _elapsed_s: float, text: str) -> None:
        self.append(text)


def shell(script: str, folder: Path, mark: str, *, heard: Heard | None = None, stop_timeout_s: float = 0.2):
    return kept(
        ["sh", "-c", script],
        {MARK: mark},
        log_path=folder / "log",
        stop_timeout_s=stop_timeout_s,
        on_line=Heard() if heard is None else heard,
    )


def test_a_command_that_runs_on_ends_with_its_block(tmp_path, mark):
    """The block is left, so vLLM is no longer needed."""
    with shell("sleep 1000 & sleep 1000 & wait", tmp_path, mark):
        until(lambda: len(living(mark)) == 5)  # the keeper and its guard, the shell and what it started

    assert living(mark) == []


def test_a_tree_ends_when_the_block_raises(tmp_path, mark):
    """An error in the driver, or Ctrl-C, leaves nothing behind either."""
    with pytest.raises(KeyboardInterrupt), shell("echo up; sleep 1000", tmp_path, mark):
        raise KeyboardInterrupt

    assert living(mark) == []


def test_a_command_is_asked_to_end_before_it_is_killed(tmp_path, mark):
    """vLLM is to free its GPU and its shared memory itself."""
    heard = Heard()
    with shell(
        "trap 'echo freed; exit' TERM; echo up; while true; do sleep 0.01; done",
        tmp_path,
        mark,
        heard=heard,
        stop_timeout_s=60.0,
    ):
        until(lambda: "up" in heard)

    assert heard == ["up", "freed"]


def test_a_command_that_ignores_sigterm_is_killed(tmp_path, mark):
    """After stop_timeout_s, and not before it was asked."""
    heard = Heard()
    with shell(STUBBORN, tmp_path, mark, heard=heard):
        until(lambda: "up" in heard)

    assert living(mark) == []


def test_an_orphan_in_a_session_of_its_own_is_killed(tmp_path, mark):
    """vLLM's workers start sessions; one that outlived vLLM would hold the GPU's memory."""
    heard = Heard()
    with shell(ORPHAN, tmp_path, mark, heard=heard):
        until(lambda: "up" in heard)

    assert living(mark) == []


def test_an_orphan_is_killed_when_its_parent_ended_by_itself(tmp_path, mark):
    """The command is over, with a good exit code; its tree is not."""
    with shell("trap '' TERM; setsid sleep 1000 & exit 0", tmp_path, mark) as running:
        running.wait()

    assert living(mark) == []


DRIVER = """
import sys
from pathlib import Path
from bench.vllm.process import kept

with kept(["sh", "-c", sys.argv[1]], {}, log_path=Path("log"), stop_timeout_s=0.2, on_line=lambda *_: None) as running:
    running.wait()
"""


@pytest.mark.parametrize("script", [STUBBORN, ORPHAN], ids=["stubborn", "orphan"])
def test_the_tree_ends_when_the_driver_is_killed(tmp_path, mark, script):
    """SIGKILL gives the driver no time to clean up, so somebody else has to."""
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, script], cwd=tmp_path, env=os.environ | {MARK: mark}
    ) as driver:
        until(lambda: log.exists() and b"up" in log.read_bytes())
        driver.kill()

    until(lambda: not living(mark))


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -signal.SIGKILL)])
def test_an_exit_code_is_reported(tmp_path, mark, script, code):
    """A signal is a negative one, as in subprocess."""
    with shell(script, tmp_path, mark) as running:
        reported = running.wait()

    assert reported == code


def test_a_running_command_has_no_exit_code(tmp_path, mark):
    """None is unknown; 0 would be a good end."""
    with shell("sleep 1000", tmp_path, mark) as running:
        code = running.exit_code()

    assert code is None


def test_an_exit_code_stays_known(tmp_path, mark):
    """It is reported once, and may be asked for often."""
    with shell("exit 7", tmp_path, mark) as running:
        codes = [running.wait(), running.exit_code(), running.exit_code()]

    assert codes == [7, 7, 7]


def test_a_sigkill_is_said_to_look_like_a_host_out_of_memory():
    """The kernel's out-of-memory killer says nothing itself."""
    assert how_it_ended(-signal.SIGKILL) == "killed by SIGKILL, as when the host is out of memory"


def test_an_exit_code_is_said_as_it_is():
    """Other ends need no explanation."""
    assert [how_it_ended(1), how_it_ended(-signal.SIGSEGV)] == ["exit code 1", "killed by SIGSEGV"]


def test_a_command_that_does_not_exist_is_named(tmp_path, mark):
    """The setting that names it, vllm.python, is a user's."""
    with (
        pytest.raises(StartError, match=r"/nowhere/python: No such file or directory"),
        kept(["/nowhere/python"], {MARK: mark}, log_path=tmp_path / "log", stop_timeout_s=60.0, on_line=Heard()),
    ):
        raise AssertionError("the block was entered")

    assert living(mark) == []


def test_time_begins_at_exec(tmp_path, mark):
    """The interpreter's own start is part of what is measured, and so is bench's wait for it."""
    with shell("exit 0", tmp_path, mark) as running:
        running.wait()
        elapsed_s = running.elapsed_s()

    assert 0 < elapsed_s < 60


def test_the_log_is_whole_when_the_block_is_left(tmp_path, mark):
    """The last lines of a vLLM that failed are the ones that say why."""
    with shell("seq 20000", tmp_path, mark) as running:
        running.wait()

    assert len((tmp_path / "log").read_bytes().splitlines()) == 20000


def stamped(folder: Path, chunks: list[bytes]) -> tuple[bytes, list[tuple[float, str]]]:
    """The log of a command that prints a chunk each second, from the first on; and what the driver was told."""
    output, end = os.pipe()
    clock = seconds(chunks, end)
    told: list[tuple[float, str]] = []
    next(clock)
    copy = Copy(output, folder / "log", lambda elapsed_s, text: told.append((elapsed_s, text)))
    copy.run(lambda: next(clock))
    os.close(output)
    return (folder / "log").read_bytes(), told


def seconds(chunks: list[bytes], end: int) -> Iterator[float]:
    """A clock that is looked at when a chunk was read, and writes the next one then: nothing here depends on real time."""
    for second, chunk in enumerate(chunks):
        os.write(end, chunk)
        yield float(second)
    os.close(end)
    yield from (float(second) for second in range(len(chunks), len(chunks) + 2))


def test_a_line_is_stamped_when_its_end_arrives(tmp_path):
    """Seconds since exec, in a fixed width, in the order of arrival."""
    log, _ = stamped(tmp_path, [b"one\ntwo\nthr", b"ee\n"])

    assert log == b"    1.000 one\n    1.000 two\n    2.000 three\n"


def test_a_progress_bar_is_a_line_for_each_of_its_states(tmp_path):
    """It ends them with a carriage return, and vLLM's next line is glued behind; empty lines are left out."""
    log, _ = stamped(tmp_path, [b"\r 0%\r", b"50%\r100%", b"\r\n\nloaded\r\n"])

    assert log == b"    1.000  0%\n    2.000 50%\n    3.000 100%\n    3.000 loaded\n"


def test_bytes_that_are_not_text_are_kept(tmp_path):
    """The log is evidence; only who looks at it may replace anything."""
    log, told = stamped(tmp_path, [b"caf\xe9 \xff\xfe\n"])

    assert log == b"    1.000 caf\xe9 \xff\xfe\n"
    assert told == [(1.0, "caf\ufffd \ufffd\ufffd")]


def test_a_character_may_arrive_in_two_pieces(tmp_path):
    """A read ends where the pipe happens to be empty."""
    _, told = stamped(tmp_path, ["█ vLLM\n".encode()[:2], "█ vLLM\n".encode()[2:]])

    assert told == [(2.0, "█ vLLM")]


def test_a_last_line_without_an_end_is_kept(tmp_path):
    """As of a process that was killed in the middle of a word."""
    log, _ = stamped(tmp_path, [b"whole\n", b"torn"])

    assert [line.split()[1] for line in log.splitlines()] == [b"whole", b"torn"]


def test_a_keeper_that_died_is_an_end_of_the_command():
    """Nobody can tell its exit code any more; it must not look as if it still ran."""
    reports, written = os.pipe()
    os.write(written, b'{"pid": 1, "keeper_pid": 1, "started_s": 0.0}\n')
    os.close(written)
    running = Kept(Reports(reports))
    code = running.exit_code()
    os.close(reports)

    assert code == -signal.SIGKILL


def test_what_the_whole_tree_read_from_storage_is_known_when_it_is_gone(tmp_path, mark):
    """A grandchild that is over before anybody could look at it is in the sum."""
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(8 * 1024**2))
    evict([file])
    with shell(f"sh -c 'cat {file} > /dev/null; true'; sleep 0.2", tmp_path, mark) as running:
        running.wait()
        assert running.read_bytes is None

    if running.read_bytes is None:
        pytest.skip("this kernel does not count what a process reads from storage")
    assert running.read_bytes >= 8 * 1024**2


def test_the_processor_time_of_the_whole_tree_is_known_when_it_is_gone(tmp_path, mark):
    """A grandchild's that is long over too; what the driver does meanwhile is its own."""
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.5: pass'"
    with shell(f'sh -c "{burn}; true"; sleep 0.2', tmp_path, mark) as running:
        running.wait()
        assert running.cpu is None

    assert running.cpu is not None
    assert running.cpu.tree_s >= 0.5
    assert 0 < running.cpu.ours_s < running.cpu.tree_s


def test_a_listener_that_fails_does_not_stall_the_command(tmp_path):
    """The output is read on, or vLLM would hang on a full pipe; the failure is raised when it is gone."""

    def fail(_elapsed_s: float, _text: str) -> None:
        raise ValueError("a bug of ours")

    printing = [sys.executable, "-c", "for _ in range(20000): print('a line of some length, to fill the pipe')"]
    codes = []
    with (
        pytest.raises(ValueError, match="a bug of ours"),
        kept(printing, {}, log_path=tmp_path / "log", stop_timeout_s=5, on_line=fail) as running,
    ):
        codes.append(running.wait())

    assert codes == [0]


SHM = Path("/dev/shm")  # noqa: S108  # shared memory
SHARED = r"""
import os, signal, sys, time
from multiprocessing import shared_memory
for name in (signal.SIGTERM, signal.SIGINT):
    signal.signal(name, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
segment = shared_memory.SharedMemory(create=True, size=1 << 20)
raw = os.open(f"/dev/shm/bench-test-{os.getpid()}", os.O_RDWR | os.O_CREAT, 0o600)
os.write(1, f"made {segment.name} bench-test-{os.getpid()}\n".encode())
while True:
    time.sleep(60)
"""


@dataclass
class Loading:
    """A command that ignores SIGTERM, as vLLM does while it loads: two processes in two sessions, each with shared memory that
    Python's resource tracker knows of, and some that it does not.
    """

    lines: Heard = field(default_factory=Heard)

    def command(self, folder: Path, mark: str, stop_timeout_s: float = 0.2):
        return kept(
            [sys.executable, "-c", SHARED],
            {MARK: mark},
            log_path=folder / "log",
            stop_timeout_s=stop_timeout_s,
            on_line=self.lines,
        )

    def shared(self) -> list[Path]:
        names = [name for line in self.lines if line.startswith("made") for name in line.split()[1:]]
        return [SHM / name for name in names]

    def is_there(self) -> bool:
        return len(self.shared()) == 4 and all(path.exists() for path in self.shared())

    def left(self) -> list[Path]:
        return [path for path in self.shared() if path.exists()]


def keeper_and_guard(running: Kept) -> tuple[int, int]:
    guard = int(Path(f"/proc/{running.keeper_pid}/stat").read_text().rpartition(") ")[2].split()[1])
    return running.keeper_pid, guard


def test_what_a_killed_tree_has_in_shared_memory_is_removed(tmp_path, mark):
    """And nothing else: a segment of somebody else's stays, as one that was there before and was only used."""
    loading = Loading()
    others = SHM / f"bench-test-other-{mark}"
    others.write_bytes(b"not the tree's")
    try:
        with loading.command(tmp_path, mark):
            until(loading.is_there)
            later = others.with_name(f"bench-test-later-{mark}")
            later.write_bytes(b"made meanwhile by somebody else")
        assert (living(mark), loading.left()) == ([], [])
        assert others.exists()
        assert later.exists()
    finally:
        for path in (others, others.with_name(f"bench-test-later-{mark}")):
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("victims", [("keeper",), ("guard",), ("keeper", "guard")], ids=" and ".join)
def test_killing_benchs_own_processes_leaves_nothing(tmp_path, mark, victims):
    """Whoever of them is left ends the tree; if none is, the driver does."""
    loading = Loading()
    with loading.command(tmp_path, mark) as running:
        until(loading.is_there)
        pids = dict(zip(("keeper", "guard"), keeper_and_guard(running), strict=True))
        for victim in victims:
            os.kill(pids[victim], signal.SIGKILL)
        if "keeper" in victims:
            until(lambda: running.exit_code() is not None)
            assert running.how_it_ended() == "bench's keeper of its processes was killed"

    assert (living(mark), loading.left()) == ([], [])


def test_a_command_that_ends_while_its_keepers_are_stopped_is_known_to(tmp_path, mark):
    """They are continued: nobody waits for ready_timeout_s, or, where a checkpoint is cut, for ever."""
    with shell("sleep 0.5; exit 7", tmp_path, mark) as running:
        for pid in keeper_and_guard(running)[::-1]:
            os.kill(pid, signal.SIGSTOP)

        assert running.wait() == 7


def test_stopped_keepers_do_not_hold_up_the_end(tmp_path, mark):
    """They are continued."""
    loading = Loading()
    with loading.command(tmp_path, mark) as running:
        until(loading.is_there)
        for pid in keeper_and_guard(running):
            os.kill(pid, signal.SIGSTOP)

    assert (living(mark), loading.left()) == ([], [])


def test_a_tree_ends_when_its_keepers_are_stopped_and_the_driver_is_killed(tmp_path, mark):
    """The kernel continues the guard when the driver dies, and the guard its keeper."""
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, STUBBORN], cwd=tmp_path, env=os.environ | {MARK: mark}
    ) as driver:
        until(lambda: log.exists() and b"up" in log.read_bytes())
        for pid in living(mark):
            if b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGSTOP)
        driver.kill()

    until(lambda: not living(mark))


def test_what_is_left_when_driver_guard_and_keeper_are_killed_at_once_is_ended_by_the_next_command(tmp_path, mark):
    """Whatever title a process has given itself: vLLM's do, in the place of their environment."""
    pytest.importorskip("setproctitle")
    log, title = tmp_path / "log", "import setproctitle; setproctitle.setproctitle('VLLM::Worker')\n"
    script = f"exec {sys.executable} -c {shlex.quote(title + SHARED)}"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, script], cwd=tmp_path, env=os.environ | {MARK: mark}
    ) as driver:
        until(lambda: log.exists() and log.read_bytes().count(b"made") == 2)
        loading = Loading(Heard(line.split(maxsplit=1)[1] for line in log.read_text().splitlines()))
        keepers = [pid for pid in living(mark) if b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (driver.pid, *keepers):
                os.kill(pid, number)
    end_forsaken()

    assert (living(mark), loading.left()) == ([], [])


def test_what_failed_is_ended_sooner(tmp_path, mark):
    """Whoever interrupts does not wait for stop_timeout_s, which is what a good start leaves vLLM to end."""
    heard = Heard()
    began_s = 0.0
    with (
        pytest.raises(ValueError, match="failed"),
        shell(STUBBORN, tmp_path, mark, heard=heard, stop_timeout_s=60.0),
    ):
        until(lambda: "up" in heard)
        began_s = time.monotonic()
        raise ValueError("failed")

    assert time.monotonic() - began_s < 30
    assert living(mark) == []


def test_garbage_instead_of_reports_is_an_end_of_the_command():
    """Nothing of it raises; what is not known stays unknown."""
    reports, written = os.pipe()
    os.write(
        written,
        b'{"pid": 1, "keeper_pid": 1, "started_s": 0.0}\n\xff\n[1]\n{"exit_code": "x", "cpu_s": []}\n'
        + b"[" * 9999
        + b"\n",
    )
    os.close(written)
    running = Kept(Reports(reports))
    code = running.exit_code()
    os.close(reports)

    assert code == -signal.SIGKILL
    assert (running.cpu, running.read_bytes) == (None, None)


def test_a_host_without_descriptors_is_a_failed_start(tmp_path, mark):
    """Nothing was started then."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 1, before[1]))
    try:
        with (
            pytest.raises(StartError, match=r"could not be started: .*Too many open files"),
            shell("true", tmp_path, mark),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert living(mark) == []


def test_a_log_that_cannot_be_written_is_a_failed_start(mark):
    """As on a full disk; vLLM is gone, and was not stalled."""
    with (
        pytest.raises(StartError, match=r"vLLM's log could not be written to /dev/full: No space left on device"),
        kept(["seq", "100000"], {MARK: mark}, log_path=Path("/dev/full"), stop_timeout_s=5, on_line=Heard()) as running,
    ):
        assert running.wait() == 0

    assert living(mark) == []


MAPPED = r"""
import mmap, os, signal, sys, time
path = f"/dev/shm/bench-test-{os.getpid()}"
raw = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(raw, 4096)
mapped = mmap.mmap(raw, 4096)
os.close(raw)
linked, closed = f"/dev/shm/bench-test-tmp-{os.getpid()}", f"torch_{os.getpid()}_1 {sys.argv[1]}"
semaphore = os.open(linked, os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(semaphore, 4096)
also_mapped = mmap.mmap(semaphore, 4096)
os.close(semaphore)
os.link(linked, f"/dev/shm/sem.bench-test-{os.getpid()}")
os.unlink(linked)
for name in closed.split():
    os.close(os.open(f"/dev/shm/{name}", os.O_CREAT, 0o600))
os.write(1, f"made bench-test-{os.getpid()} sem.bench-test-{os.getpid()} {closed}\n".encode())
time.sleep(2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_process_that_died_by_itself_had_is_removed_or_named(tmp_path, mark):
    """As ranks of vLLM on a CPU, whose segments no resource tracker knows of: mapped and closed, under another name than its first, or
    named by its pid. What was only made is named: it may be anybody's.
    """
    loading = Loading()
    command = kept(
        [sys.executable, "-c", MAPPED, f"anybodys-{mark}"],
        {MARK: mark},
        log_path=tmp_path / "log",
        stop_timeout_s=0.2,
        on_line=loading.lines,
    )
    try:
        with pytest.raises(ValueError, match="failed"), command as running:
            running.wait()
            assert len(loading.left()) == 4
            raise ValueError("failed")

        assert [path.name for path in loading.left()] == [f"anybodys-{mark}"]
        assert f"anybodys-{mark}" in running.warnings[-1]
    finally:
        (SHM / f"anybodys-{mark}").unlink(missing_ok=True)


def test_a_command_is_in_its_cgroup_before_its_exec(tmp_path, mark):
    """So all that it starts is in it too; the variables that say so are the keeper's alone."""
    (tmp_path / "cgroup.procs").touch()
    heard = Heard()
    with kept(
        ["sh", "-c", f'cat {tmp_path}/cgroup.procs; echo " ${{BENCH_CGROUP-none}}${{BENCH_UNDO-none}}"'],
        {MARK: mark, "BENCH_CGROUP": str(tmp_path), "BENCH_UNDO": str(tmp_path / "none")},
        log_path=tmp_path / "log",
        stop_timeout_s=0.2,
        on_line=heard,
    ) as running:
        running.wait()

    assert heard == ["0 nonenone"]


def test_a_cgroup_that_is_gone_is_the_reason(tmp_path, mark):
    """And no command is started without its limits."""
    with (
        pytest.raises(StartError, match=r"could not be started: .*cgroup.procs: No such file"),
        kept(
            ["true"],
            {"BENCH_CGROUP": str(tmp_path / "gone")},
            log_path=tmp_path / "log",
            stop_timeout_s=0.2,
            on_line=Heard(),
        ),
    ):
        pass
