"""A command whose whole process tree ends with the block that started it, and whose output is stamped on arrival."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import StartError
from bench.system.interrupts import is_interrupted, waiting_for
from bench.system.processes import TRACKERS_S, adopt_orphans, children_by_parent, descendants, kill, kill_all
from bench.vllm import keeper
from bench.vllm.forsaken import marks
from bench.vllm.keeper_reports import Kept, Reports
from bench.vllm.log_copy import Copy, OnLine
from bench.vllm.shared_memory import SharedMemory

UNKILLABLE_S = 60.0  # a process that SIGKILL does not end in this time sits in the kernel, and will not end at all
POLL_S = 0.1
PATIENT = b"."  # to the keeper: the start succeeded, vLLM has its whole stop timeout


@contextmanager
def kept(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    log_path: Path,
    stop_timeout_s: float,
    on_line: OnLine,
) -> Iterator[Kept]:
    """The command, started now and gone, with its whole tree, when the block is left. Its output goes to `log_path`.

    `environment` comes on top of the driver's own. After a block that ends normally the command has `stop_timeout_s` to end;
    after one that raised, keeper.HURRY_S, if that is less.

    Raises:
        StartError: it could not be executed, its log could not be written, or a process of its tree could not be ended even by
            SIGKILL.
    """
    with _adopting() as orphans, ExitStack() as stack:
        launched = _launch(
            stack, [str(stop_timeout_s), *arguments], os.environ | environment | marks(), log_path, on_line
        )
        running = None
        try:
            running = Kept(launched.reports)
            launched.begin(running)
            yield running
            launched.be_patient()
        finally:
            try:
                launched.await_end(running, stop_timeout_s)
            finally:
                if launched.process.poll() != 0:
                    orphans.end()
                launched.finish(running)
    if isinstance(failure := launched.copied.failure, OSError):
        raise StartError(f"vLLM's log could not be written to {log_path}: {failure.strerror}") from failure
    if failure:
        raise failure


@dataclass
class Launched:
    """The keeper's guard, and what connects it with the driver."""

    process: subprocess.Popen[bytes]
    reports: Reports
    copied: Copy
    is_patient: bool = False

    def begin(self, running: Kept) -> None:
        running.unread = self.copied.unread
        try:
            self.copied.start(running.elapsed_s)
            running.watch.start()
        except RuntimeError as error:
            raise StartError(
                f"bench could not start a thread: {error}. Raise the limit of processes (ulimit -u)"
            ) from error

    def be_patient(self) -> None:
        """Gives the command its whole stop timeout, as long as the keeper's standard input stays open."""
        with suppress(OSError):  # the keeper died
            self._line.write(PATIENT)
            self.is_patient = True

    def hurry(self) -> None:
        self._line.close()

    @property
    def _line(self) -> Any:
        assert self.process.stdin is not None
        return self.process.stdin

    def await_end(self, running: Kept | None, stop_timeout_s: float) -> None:
        """Waits until keeper and guard are gone. An interruption is raised after that."""
        interruption = None
        grace_s = stop_timeout_s if self.is_patient else min(keeper.HURRY_S, stop_timeout_s)
        deadline_s = time.monotonic() + stop_timeout_s + UNKILLABLE_S
        if not self.is_patient:
            self.hurry()
        with waiting_for("vLLM's processes, which are then killed", grace_s):
            while not self.reports.closed and time.monotonic() < deadline_s:
                kill(self.process.pid, signal.SIGCONT)
                try:
                    if (report := self.reports.next(POLL_S)) and running:
                        running.take(report)
                except KeyboardInterrupt as error:
                    interruption = error
                if interruption or is_interrupted():
                    self.hurry()
        if not self.reports.closed:
            raise StartError(
                f"a process is still there {UNKILLABLE_S:g} s after SIGKILL; the keeper that goes on killing it is {self.process.pid}. "
                "End it by hand, or restart the host, before you measure again"
            )
        self.hurry()
        self.process.wait(UNKILLABLE_S)
        if interruption:
            raise interruption

    def finish(self, running: Kept | None) -> None:
        """Reads the last output, and collects its warnings."""
        self.copied.finish()
        if running:
            running.watch.stop()
            running.warnings += self.copied.warnings()
            if running.left and not self.is_patient:
                running.warnings.append(
                    f"in /dev/shm, new since this start and used by no process: {', '.join(running.left)}. They may be vLLM's; remove them if so"
                )


def _launch(
    stack: ExitStack,
    words: Sequence[str],
    environment: Mapping[str, str],
    log_path: Path,
    on_line: OnLine,
) -> Launched:
    """Starts guard and keeper. `stack` closes the driver's ends of the pipes."""
    try:
        with ExitStack() as others:
            (reports, reports_end), (output, output_end) = _pipe(stack, others), _pipe(stack, others)
            copied = Copy(output, log_path, on_line)
            stack.callback(copied.finish)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, str(reports_end), *words],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=output_end,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=[reports_end],
                start_new_session=True,
            )
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        raise StartError(f"the process could not be started: {named}{error.strerror}") from error
    return Launched(process, Reports(reports), copied)


def _pipe(stack: ExitStack, others: ExitStack) -> tuple[int, int]:
    ours, theirs = os.pipe()
    stack.callback(os.close, ours)
    others.callback(os.close, theirs)
    return ours, theirs


class Orphans:
    """The rest of the tree where both keeper and guard were killed: children of the driver that it has not started."""

    def __init__(self) -> None:
        self._before = set(self._children())
        self._shared_memory = SharedMemory()

    def _children(self) -> list[int]:
        """Those in another session: what other threads of the driver start stays in its own."""
        session = os.getsid(0)
        found = []
        for pid in children_by_parent().get(os.getpid(), []):
            with suppress(OSError):
                if os.getsid(pid) != session:
                    found.append(pid)
        return found

    def end(self) -> None:
        """SIGKILL for all of them."""
        began_s = time.monotonic()
        while (mine := set(self._children()) - self._before) and time.monotonic() < began_s + UNKILLABLE_S:
            tree = [pid for child in mine for pid in (child, *descendants(child))]
            self._shared_memory.look(tree)
            kill_all(tree, spare_trackers=time.monotonic() < began_s + TRACKERS_S)
            for child in mine:
                with suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)
            time.sleep(keeper.POLL_S)
        self._shared_memory.remove()


@contextmanager
def _adopting() -> Iterator[Orphans]:
    """The driver is the subreaper above the guard."""
    adopt_orphans()
    try:
        yield Orphans()
    finally:
        adopt_orphans(on=False)
