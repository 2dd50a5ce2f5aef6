"""A command of the user's, or a script of bench's that an interpreter of the user's runs, to its end: bounded in time and in bytes.

Processes that it leaves behind are not waited for.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from typing import IO

from bench.errors import BenchError
from bench.system.output import print_message

PIECE_BYTES = 1 << 16
POLL_S = 0.05
SILENT_S = 3.0  # then the user learns what is waited for


class ShortCommandError(BenchError):
    """The command exceeded its time limit or its output limit."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command, as text: bytes that are not UTF-8 are replaced."""

    exit_code: int  # negative: the signal that killed it
    output: str
    errors: str

    @property
    def ended(self) -> str:
        return f"killed by signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"


def script_answer(
    words: Sequence[str],
    *,
    timeout_s: float,
    bytes_at_most: int,
    environment: Mapping[str, str] | None = None,
    doing: str,
) -> str:
    """The last line that a script prints. `words`: its interpreter, its path, what it is asked. `doing` is printed where that takes long.

    Raises:
        OSError: it cannot be executed.
        ShortCommandError: it took longer, printed more, or failed.
    """
    waiting = Timer(SILENT_S, print_message, [doing])
    waiting.start()
    try:
        done = run_short(words, timeout_s=timeout_s, bytes_at_most=bytes_at_most, environment=environment)
    finally:
        waiting.cancel()
    if done.exit_code:
        last = next(iter(done.errors.strip().splitlines()[-1:]), "")
        raise ShortCommandError(f"{done.ended}: {last[-200:]}")
    return done.output.strip().rpartition("\n")[2]


def run_short(
    arguments: Sequence[str], *, timeout_s: float, bytes_at_most: int, environment: Mapping[str, str] | None = None
) -> CommandResult:
    """Runs the command to its end, then kills its process group; a process that holds its pipes longer is not waited for.

    `environment` comes on top of the driver's own.
    `bytes_at_most`: of its standard output; of its standard error the first `bytes_at_most` are kept.

    Raises:
        OSError: it cannot be executed.
        ShortCommandError: it took longer, or printed more.
    """
    with subprocess.Popen(
        arguments,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    ) as process:
        try:
            output, errors = _read(process, time.monotonic() + timeout_s, timeout_s, bytes_at_most)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return CommandResult(process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))


def _read(process: subprocess.Popen[bytes], ends_s: float, timeout_s: float, bytes_at_most: int) -> tuple[bytes, bytes]:
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        for pipe, into in ((process.stdout, output), (process.stderr, errors)):
            assert pipe is not None
            waiting.register(pipe, selectors.EVENT_READ, into)
        while waiting.get_map():
            has_ended = process.poll() is not None  # first: what it wrote before is in the pipes then
            ready = waiting.select(0 if has_ended else POLL_S)
            if has_ended and not ready:
                break
            for key, _ in ready:
                _take(key.fileobj, key.data, waiting, bytes_at_most)  # type: ignore[arg-type]  # a selector takes numbers too
            if len(output) > bytes_at_most:
                raise ShortCommandError(f"it printed more than {bytes_at_most >> 10} KiB")
            if time.monotonic() > ends_s:
                raise ShortCommandError(f"it did not end within {timeout_s:g} s")
    try:
        process.wait(max(0.0, ends_s - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ShortCommandError(f"it did not end within {timeout_s:g} s") from error
    return bytes(output), bytes(errors)


def _take(pipe: IO[bytes], into: bytearray, waiting: selectors.BaseSelector, bytes_at_most: int) -> None:
    data = os.read(pipe.fileno(), PIECE_BYTES)
    if not data:
        waiting.unregister(pipe)
    into += data[: max(0, bytes_at_most + 1 - len(into))]
