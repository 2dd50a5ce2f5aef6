"""A command that runs below its keeper: what the keeper reports of it, and how it ended."""

import json
import os
import select
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.errors import StartError
from bench.system.processes import parent_of
from bench.vllm.clocks import Watch

FIRST_REPORT_S = 60.0  # the keeper needs 30 ms to start
REPORT_AT_MOST = 1 << 16  # bytes
POLL_S = 0.1


@dataclass(frozen=True)
class Cpu:
    """Processor time from exec to the end of the last process, in seconds: user's and system's, over all cores."""

    tree_s: float  # of the command and all that it started
    ours_s: float  # of the driver and the keeper


class Reports:
    """What the keeper and its guard report: a JSON object a line, through a pipe that is closed when both are gone."""

    def __init__(self, descriptor: int) -> None:
        self.closed = False
        self._descriptor = descriptor
        self._pending = b""
        self._whole: deque[dict[str, Any]] = deque()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """None: there is none in this time, or no more at all."""
        while not self._whole and not self.closed and self._poll.poll(timeout_s * 1000):
            self._read()
        return self._whole.popleft() if self._whole else None

    def _read(self) -> None:
        chunk = b""
        with suppress(OSError):
            chunk = os.read(self._descriptor, REPORT_AT_MOST)
        self.closed = not chunk
        *lines, pending = (self._pending + chunk).split(b"\n")
        self._pending = pending[-REPORT_AT_MOST:]
        for line in lines:
            with suppress(ValueError, RecursionError):  # not a report
                if isinstance(report := json.loads(line), dict):
                    self._whole.append(report)


class Kept:
    """The command, running. Every time is in seconds since exec, on CLOCK_MONOTONIC."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._exit_code: int | None = None
        self._busy_s = time.process_time()
        # Of the whole tree; known when all of it is gone.
        self.read_bytes: int | None = None  # from storage
        self.cpu: Cpu | None = None
        self.keeper_died = False
        self.left: list[str] = []  # files in /dev/shm, new since exec, that nobody uses: perhaps of the command
        self.warnings: list[str] = []  # what of the output is lost
        self.unread = threading.Event()  # set once `on_line` is not called for every line
        first = reports.next(FIRST_REPORT_S) or {}
        try:
            self.pid = int(first["pid"])  # and its session's
            self.keeper_pid = int(first["keeper_pid"])  # all that runs here is below it
            # On CLOCK_MONOTONIC, which all processes of a host share: their own times become seconds since exec with it.
            self.exec_at_s = float(first["started_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise StartError(f"the process could not be started: {first.get('error', 'its keeper died')}") from error
        self.watch = Watch(self.exec_at_s)
        self.clocks = self.watch.clocks
        self.started_at = time.time() - self.elapsed_s()  # UNIX time

    def elapsed_s(self) -> float:
        return time.monotonic() - self.exec_at_s

    def exit_code(self) -> int | None:
        """Of the command itself, None while it runs; negative for the signal that killed it. A keeper that was stopped goes on."""
        with suppress(OSError):
            if not self._reports.closed:
                os.kill(self.keeper_pid, signal.SIGCONT)
        while self._exit_code is None and (report := self._reports.next(0.0)):
            self.take(report)
        if self._exit_code is None and self._reports.closed:
            self.take({"keeper_died": True})
        return self._exit_code

    def how_it_ended(self) -> str:
        """How the command ended, in words. Call it when there is an exit code."""
        if self.keeper_died:
            return "bench's keeper of its processes was killed"
        return how_it_ended(self._exit_code or 0)

    def take(self, report: dict[str, Any]) -> None:
        """A report of the keeper. What it does not hold stays unknown."""
        with suppress(KeyError, TypeError, ValueError):
            self._exit_code = int(report["exit_code"])
        with suppress(KeyError, TypeError, ValueError):
            ours_s = float(report["keeper_cpu_s"]) + time.process_time() - self._busy_s
            self.cpu = Cpu(float(report["cpu_s"]), ours_s)
        with suppress(KeyError, TypeError, ValueError):
            self.read_bytes = int(report["read_bytes"])
        if isinstance(left := report.get("left"), list):
            self.left = [str(name) for name in left]
        if report.get("keeper_died") and self._exit_code is None:
            self.keeper_died, self._exit_code = True, -signal.SIGKILL

    def wait(self) -> int:
        """Until it ends by itself."""
        while (code := self.exit_code()) is None:
            time.sleep(POLL_S)
        return code


def is_below(pid: int, ancestor: int) -> bool:
    """Whether a live process is this one, or was started by it, directly or through others."""
    while pid not in {0, ancestor}:
        try:
            pid = parent_of(pid)
        except OSError:
            return False
    return pid == ancestor


def how_it_ended(code: int) -> str:
    """An exit code in words; SIGKILL is what the kernel's out-of-memory killer sends too."""
    if code >= 0:
        return f"exit code {code}"
    hint = ", as when the host is out of memory" if code == -signal.SIGKILL else ""
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}{hint}"
