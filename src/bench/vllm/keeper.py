"""Starts vLLM and ends its whole process tree. Run as a script, between the driver and vLLM; standard library only.

    python keeper.py REPORT_FD STOP_TIMEOUT_S COMMAND...

    driver ── guard ── keeper ── vLLM ── …

The keeper is the subreaper of everything that vLLM starts (prctl(2), PR_SET_CHILD_SUBREAPER): a process that is
orphaned, or that moves to a session of its own, still ends up below the keeper, so no process escapes it. Its
standard input is its line to the driver. The keeper ends the tree when a byte comes, because the start is over, with
STOP_TIMEOUT_S between SIGTERM to vLLM and SIGKILL to all that is left; or when the line closes, because the driver failed, was
interrupted or was killed, with HURRY_S at most. That is the one way a start ends, whatever happened.

The guard is the subreaper above: if the keeper is killed, the tree becomes the guard's, which ends it; if it is stopped, the
guard continues it. The guard itself is continued by the kernel when the driver dies. If the guard is killed, the keeper goes on
alone; if both are, the driver, a subreaper too, ends the tree. If all three are killed at once, the kernel sends SIGTERM to vLLM's
first process, which ends the others unless it is still loading; what remains is ended by the next command (forsaken.py).

By two variables, which vLLM does not get: the command enters the cgroup BENCH_CGROUP before its exec, so that all that it starts is in it too; and what
the journal BENCH_UNDO holds of changes to the host (system/undo.py) is put back once the tree has ended, where the driver was killed.

What the tree leaves in /dev/shm is removed: Python's resource trackers, which do that, outlive the rest by TRACKERS_S, and what
they do not know of is removed here.

It reports to the driver, as JSON lines on REPORT_FD: {"pid", "keeper_pid", "started_s"} right after exec, on CLOCK_MONOTONIC,
{"exit_code"} when vLLM itself ended, {"left"}: names in /dev/shm that may be the tree's, {"keeper_died"} if it was the guard that ended the tree, and {"read_bytes", "cpu_s",
"keeper_cpu_s"} at the very end: what the whole tree has read from
storage, the processor time that it took, and the keeper's own. The kernel adds a process's counts to those of the parent
that reaps it, and in the end that is the keeper. vLLM's own output is inherited and never passes through here.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # by an interpreter that looks for no packages, since that takes time
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.system.processes import TRACKERS_S, adopt_orphans, descendants, kill, kill_all, prctl
from bench.vllm.shared_memory import SharedMemory

PR_SET_PDEATHSIG = 1
POLL_S = 0.05
SHARED_MEMORY_EVERY_S = 0.5
HURRY_S = 3.0  # for what failed or was interrupted: vLLM takes no notice of SIGTERM while it loads
LEFT_AT_MOST = 20  # names in a report
LINE = 0  # standard input
CGROUP, UNDO = "BENCH_CGROUP", "BENCH_UNDO"
ERRNO_AT_MOST = 4096  # bytes of an errno and a path
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


def main() -> None:
    """Become the guard of a keeper, and the keeper."""
    reports, stop_timeout_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    cgroup, journal = os.environ.pop(CGROUP, None), os.environ.pop(UNDO, None)
    for name in IGNORED:
        signal.signal(name, signal.SIG_IGN)  # only the driver's line ends a start
    adopt_orphans()
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    os.set_inheritable(reports, False)  # noqa: FBT003  # positional only
    shared_memory = SharedMemory()
    try:
        keeper = os.fork()
    except OSError as error:
        report(reports, error=f"its keeper: {error.strerror}")
        return
    if not keeper:
        keep(command, reports, stop_timeout_s, shared_memory, cgroup)
        put_back(journal)
    elif not guard(keeper, reports, stop_timeout_s, shared_memory):
        put_back(journal)
        sys.exit(1)


def put_back(journal: str | None) -> None:
    """What the driver has changed of this host, if it is gone. Imported here: few starts change anything."""
    if journal:
        from bench.system.undo import undo_forsaken

        undo_forsaken(Path(journal))


def guard(keeper: int, reports: int, stop_timeout_s: float, shared_memory: SharedMemory) -> bool:
    """Return when the keeper is done: True. If it was killed, do its work."""
    status = 0
    while os.WIFSTOPPED(status := os.waitpid(keeper, os.WUNTRACED)[1]):
        os.kill(keeper, signal.SIGCONT)
    if status != 0:
        report(reports, keeper_died=True)
        end(None, reports, min(HURRY_S, stop_timeout_s), shared_memory)
    return status == 0


def keep(
    command: list[str], reports: int, stop_timeout_s: float, shared_memory: SharedMemory, cgroup: str | None
) -> None:
    """Start the command, report, wait for the driver, end everything."""
    adopt_orphans()
    started_s = time.monotonic()
    try:
        pid = start(command, cgroup)
    except OSError as error:
        report(reports, error=f"{error.filename or command[0]}: {error.strerror}")
        return
    shared_memory.look([pid])
    report(reports, pid=pid, keeper_pid=os.getpid(), started_s=started_s)
    is_patient = watch(pid, reports, shared_memory)
    end(pid, reports, stop_timeout_s if is_patient else min(HURRY_S, stop_timeout_s), shared_memory)
    report(
        reports,
        read_bytes=read_bytes(),
        cpu_s=cpu_s(resource.RUSAGE_CHILDREN),
        keeper_cpu_s=cpu_s(resource.RUSAGE_SELF),
    )


def read_bytes() -> int | None:
    """From storage, by this process and all that it has reaped. None: this kernel does not count. Source: proc(5)."""
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines():
            if line.startswith("read_bytes: "):
                return int(line.split()[1])
    return None


def cpu_s(whose: int) -> float:
    """User's and system's time together."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def start(command: list[str], cgroup: str | None = None) -> int:
    """Exec the command in a session and a cgroup of its own, with /dev/null as standard input, and sent SIGTERM by the kernel when the keeper dies.

    By hand, since neither posix_spawn nor a thread-safe wrapper supports PR_SET_PDEATHSIG; this process has one thread.
    """
    failed, failed_end = os.pipe()  # closed by exec; else the child writes its errno
    libc = ctypes.CDLL(None)
    entry = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY) if cgroup else None
    pid = os.fork()
    if pid == 0:
        try:
            if entry is not None:
                enter(entry)
            os.dup2(os.open(os.devnull, os.O_RDONLY), LINE)
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            for name in IGNORED:
                signal.signal(name, signal.SIG_DFL)
            os.execvp(command[0], command)  # noqa: S606  # no shell is needed
        except OSError as error:
            os.write(failed_end, f"{error.errno} {error.filename or ''}".encode())
        finally:
            os._exit(127)
    os.close(failed_end)
    if entry is not None:
        os.close(entry)
    errno, _, place = os.read(failed, ERRNO_AT_MOST).decode(errors="replace").partition(" ")
    os.close(failed)
    if errno:
        os.waitpid(pid, 0)
        raise OSError(int(errno), os.strerror(int(errno)), place or None)
    return pid


def enter(entry: int) -> None:
    """Makes this process one of a cgroup, by its opened `cgroup.procs`."""
    try:
        os.write(entry, b"0")
    except OSError as error:
        raise OSError(error.errno, error.strerror, "its cgroup") from error
    os.close(entry)


def report(reports: int, **facts: Any) -> None:
    """Writes a report, one JSON object, to the driver."""
    with suppress(BrokenPipeError):  # the driver is gone, and no longer needs reports
        os.write(reports, json.dumps(facts).encode() + b"\n")


def watch(pid: int, reports: int, shared_memory: SharedMemory) -> bool:
    """Return once the driver has enough: True for a byte, False for a closed line. vLLM's own end is reported as soon as it comes.

    A child's end wakes the keeper. In between it only checks twice a second whether /dev/shm has changed.
    """
    deaths, wakeup = os.pipe()
    os.set_blocking(wakeup, False)  # positional only
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reap(pid, reports)  # children that ended before
    while True:
        readable = select.select([LINE, deaths], [], [], SHARED_MEMORY_EVERY_S)[0]
        if LINE in readable:
            return bool(os.read(LINE, 1))
        if deaths in readable:
            os.read(deaths, 4096)
            reap(pid, reports)
        shared_memory.look_if_changed(lambda: descendants(os.getpid()))


def end(pid: int | None, reports: int, patience_s: float, shared_memory: SharedMemory) -> None:
    """End all that vLLM started: with SIGTERM first, so that it can free its GPU and shared memory itself. `pid` is vLLM's; None: unknown."""
    tree = descendants(os.getpid())
    shared_memory.look(tree)
    for first in tree if pid is None else [pid]:
        kill(first, signal.SIGTERM)
    deadline_s, is_open = time.monotonic() + patience_s, True
    while reap(pid, reports) and time.monotonic() < deadline_s:
        # The driver is interrupted, or gone.
        if is_open and select.select([LINE], [], [], 0)[0] and not os.read(LINE, 1):
            is_open, deadline_s = False, min(deadline_s, time.monotonic() + HURRY_S)
        time.sleep(POLL_S)
    deadline_s = time.monotonic() + TRACKERS_S
    while reap(pid, reports):
        tree = descendants(os.getpid())
        shared_memory.look(tree)
        kill_all(tree, spare_trackers=time.monotonic() < deadline_s)
        time.sleep(POLL_S)
    report(reports, left=shared_memory.remove()[:LEFT_AT_MOST])


def reap(pid: int | None, reports: int) -> bool:
    """Reap ended children, orphans too, and report vLLM's own exit code: negative for a signal, as subprocess has it.

    Returns whether any child is left. Every orphan becomes a child of the subreaper, so then the whole tree has ended.
    """
    try:
        while (done := os.waitpid(-1, os.WNOHANG))[0]:
            if done[0] == pid:
                report(reports, exit_code=os.waitstatus_to_exitcode(done[1]))
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
