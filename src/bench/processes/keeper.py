"""Starts vLLM and answers for its whole process tree. Run as a script, between the driver and vLLM; standard library only.

    python keeper.py REPORT_FD STOP_TIMEOUT_S COMMAND...

The keeper is the subreaper of everything that vLLM starts (prctl(2), PR_SET_CHILD_SUBREAPER): a process that is
orphaned, or that moves to a session of its own, still ends up below the keeper, so nothing can hide from it. Its
standard input is its line to the driver. When that closes, because the driver is done, was interrupted or was killed,
the keeper ends the tree: SIGTERM to vLLM, SIGKILL to all that is left after STOP_TIMEOUT_S. That is the one way a
start ends, whatever happened.

It tells the driver, as JSON lines on REPORT_FD: {"pid", "started_s"} right after exec, on CLOCK_MONOTONIC, {"exit_code"}
when vLLM itself ended, and {"read_bytes", "cpu_s", "keeper_cpu_s"} at the very end: what the whole tree has read from
storage, the processor time that it took, and the keeper's own. The kernel adds a process's counts to those of the parent
that buries it, and in the end that is the keeper. vLLM's own output is inherited and never passes through here.
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

PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05


def main() -> None:
    """Start the command, report, wait for the driver's line to close, end everything."""
    reports, stop_timeout_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # only the driver's line ends a start
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(reports, False)  # noqa: FBT003  # positional only
    started_s = time.monotonic()
    try:
        pid = start(command)
    except OSError as error:
        report(reports, error=f"{command[0]}: {error.strerror}")
        return
    report(reports, pid=pid, started_s=started_s)
    watch(pid, reports)
    end(pid, reports, stop_timeout_s)
    report(
        reports,
        read_bytes=read_bytes(),
        cpu_s=cpu_s(resource.RUSAGE_CHILDREN),
        keeper_cpu_s=cpu_s(resource.RUSAGE_SELF),
    )


def read_bytes() -> int | None:
    """From storage, by this process and all that it has buried. None: this kernel does not count. Source: proc(5)."""
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("read_bytes: "):
                return int(line.split()[1])
    return None


def cpu_s(whose: int) -> float:
    """User's and system's time together."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def start(command: list[str]) -> int:
    """Exec the command in a session of its own, reading from nothing."""
    null = os.open(os.devnull, os.O_RDONLY)
    return os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, null, 0)],
        setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    )


def report(reports: int, **facts: Any) -> None:
    """Tell the driver."""
    with suppress(BrokenPipeError):  # the driver is gone: what it wanted to know no longer matters
        os.write(reports, json.dumps(facts).encode() + b"\n")


def watch(pid: int, reports: int) -> None:
    """Return once the driver closes its line. vLLM's own end is reported as soon as it comes.

    Nothing is looked at in between: whoever dies wakes the keeper up.
    """
    deaths, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reap(pid, reports)  # who died before
    while 0 not in select.select([0, deaths], [], [])[0]:  # the driver never writes, so a readable line is a closed one
        os.read(deaths, 4096)
        reap(pid, reports)


def end(pid: int, reports: int, stop_timeout_s: float) -> None:
    """End all that vLLM started: politely first, so that it can free its GPU and shared memory itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + stop_timeout_s
    while reap(pid, reports):
        if time.monotonic() > deadline_s:
            for process in descendants():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(POLL_S)


def reap(pid: int, reports: int) -> bool:
    """Bury the dead, orphans too, and report vLLM's own exit code: negative for a signal, as subprocess has it.

    Returns whether anybody is left. Every orphan becomes a child of the subreaper, so nobody else can be.
    """
    try:
        while (done := os.waitpid(-1, os.WNOHANG))[0]:
            if done[0] == pid:
                report(reports, exit_code=os.waitstatus_to_exitcode(done[1]))
    except ChildProcessError:
        return False
    return True


def descendants() -> list[int]:
    """Every process below this one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            process, _, rest = stat.read_text(errors="replace").partition(" (")
            parent = int(rest.rpartition(") ")[2].split()[1])
            children.setdefault(parent, []).append(int(process))
    found: list[int] = []
    frontier = [os.getpid()]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


if __name__ == "__main__":
    main()
