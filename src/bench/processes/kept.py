"""A command whose whole process tree ends with the block that started it, and whose output is stamped on arrival."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

from bench.errors import StartError
from bench.masking import mask_bytes, private
from bench.processes import keeper

LAST_OUTPUT_S = 10.0  # how long a dead process's last lines may take through the pipe
UNKILLABLE_S = 60.0  # a process that SIGKILL does not end in this time sits in the kernel, and will not end at all
POLL_S = 0.1

OnLine = Callable[[float, str], None]


@dataclass(frozen=True)
class Cpu:
    """Processor time from exec to the end of the last process, in seconds: user's and system's, over all cores."""

    tree_s: float  # of the command and all that it started
    ours_s: float  # of the driver and the keeper


class Kept:
    """The command, running. Every time is in seconds since exec, on CLOCK_MONOTONIC."""

    def __init__(self, reports: int, keeper_pid: int) -> None:
        self._reports = reports
        self.keeper_pid = keeper_pid  # all that runs here is below it
        self._exit_code: int | None = None
        self._busy_s = time.process_time()
        # Of the whole tree; known when all of it is gone.
        self.read_bytes: int | None = None  # from storage
        self.cpu: Cpu | None = None
        first = self._next_report()
        if "started_s" not in first:
            raise StartError(f"the process could not be started: {first.get('error', 'its keeper died')}")
        self.pid = int(first["pid"])  # and its session's
        # On CLOCK_MONOTONIC, which all processes of a host share: their own times become seconds since exec with it.
        self.exec_at_s = float(first["started_s"])
        self.started_at = time.time() - self.elapsed_s()  # UNIX time

    def elapsed_s(self) -> float:
        return time.monotonic() - self.exec_at_s

    def exit_code(self) -> int | None:
        """Of the command itself, None while it runs; negative for the signal that killed it."""
        if self._exit_code is None and select([self._reports], [], [], 0)[0]:
            self._exit_code = self._next_report().get("exit_code", -signal.SIGKILL)
        return self._exit_code

    def finish(self) -> None:
        """Take in what the keeper still said; it is gone."""
        self.exit_code()
        while report := self._next_report():
            self.read_bytes = report.get("read_bytes", self.read_bytes)
            if "cpu_s" in report:
                self.cpu = Cpu(report["cpu_s"], report["keeper_cpu_s"] + time.process_time() - self._busy_s)

    def wait(self) -> int:
        """Until it ends by itself."""
        while (code := self.exit_code()) is None:
            time.sleep(POLL_S)
        return code

    def _next_report(self) -> dict[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._reports, 1)
            if not byte:
                return {}
            line += byte
        report: dict[str, Any] = json.loads(line)
        return report


def is_below(pid: int, ancestor: int) -> bool:
    """Whether a live process is this one, or was started by it, directly or through others."""
    while pid not in {0, ancestor}:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return False
        pid = int(stat.rpartition(") ")[2].split()[1])
    return pid == ancestor


def how_it_ended(code: int) -> str:
    """An exit code in words; SIGKILL is what the kernel's out-of-memory killer sends too."""
    if code >= 0:
        return f"exit code {code}"
    hint = ", as when the host is out of memory" if code == -signal.SIGKILL else ""
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}{hint}"


@contextmanager
def kept(
    arguments: Sequence[str], environment: Mapping[str, str], *, log_path: Path, stop_timeout_s: float, on_line: OnLine
) -> Iterator[Kept]:
    """The command, started now and gone, with its whole tree, when the block is left. Its output goes to `log_path`.

    `environment` comes on top of the driver's own.

    Raises:
        StartError: it could not be executed, or a process of its tree could not be ended even by SIGKILL.
    """
    reports, reports_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, str(reports_end), str(stop_timeout_s), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        pass_fds=[reports_end],
        start_new_session=True,
    )
    os.close(reports_end)
    assert process.stdin is not None
    assert process.stdout is not None
    copied = Copy(process.stdout.fileno(), log_path, on_line)
    running = None
    try:
        running = Kept(reports, process.pid)
        copied.start(running.elapsed_s)
        yield running
    finally:
        process.stdin.close()  # the keeper takes this as: end it all
        _await_end(process, stop_timeout_s)
        if running is not None:
            running.finish()
            if process.returncode != 0:
                end_session(running.pid)  # the keeper itself was killed
        copied.finish()
        process.stdout.close()
        os.close(reports)
    if copied.failure:
        raise copied.failure


def _await_end(process: subprocess.Popen[bytes], stop_timeout_s: float) -> None:
    try:
        process.wait(stop_timeout_s + UNKILLABLE_S)
    except subprocess.TimeoutExpired as error:
        raise StartError(
            f"a process is still there {UNKILLABLE_S:g} s after SIGKILL; the keeper that goes on killing it is {process.pid}. "
            "End it by hand, or restart the host, before you measure again"
        ) from error


def end_session(leader: int) -> None:
    """SIGKILL for every process of a session. Less sure than the keeper: a process may have left it."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(") ")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)


class Copy:
    """Copies output to a log as it comes, each line behind the seconds since exec at which its end arrived.

    Progress bars end their lines with a carriage return: each state of a bar becomes a line of its own. Empty lines,
    which bars leave in number, are left out. Whatever goes wrong here, the output is read on: a full pipe would stall vLLM.
    """

    def __init__(self, output: int, log_path: Path, on_line: OnLine) -> None:
        self.failure: Exception | None = None
        self._output = output
        self._log_path = log_path
        self._on_line = on_line
        self._thread: threading.Thread | None = None

    def start(self, elapsed_s: Callable[[], float]) -> None:
        self._thread = threading.Thread(target=self.run, args=(elapsed_s,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        if self._thread:
            self._thread.join(LAST_OUTPUT_S)

    def run(self, elapsed_s: Callable[[], float]) -> None:
        """Until the output ends."""
        pending = b""
        with suppress(OSError):  # closed under it: a process that cannot be ended still holds the other end
            while chunk := os.read(self._output, 1 << 16):
                *lines, pending = (pending + chunk).replace(b"\r", b"\n").split(b"\n")
                self._keep(lines, elapsed_s())
            self._keep([pending], elapsed_s())

    def _keep(self, lines: list[bytes], arrived_s: float) -> None:
        if self.failure:
            return
        whole = [line for line in lines if line]
        try:
            with private(self._log_path).open("ab") as log:
                log.writelines(b"%9.3f %s\n" % (arrived_s, mask_bytes(line)) for line in whole)
            for line in whole:
                self._on_line(arrived_s, line.decode(errors="replace"))
        except Exception as error:  # noqa: BLE001  # shown at the end of the block, when vLLM is gone
            self.failure = error
