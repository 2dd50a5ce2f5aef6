"""INT (Ctrl-C), QUIT (Ctrl-Backslash), TERM, USR1 and USR2 (schedulers), HUP (a closed terminal), ALRM (timeout -s) and XCPU (ulimit -t), at
every moment of a command.

    while the command is imported     it ends at once: there is nothing to clean up            exit_at_once()
    while it works                    the first signal raises KeyboardInterrupt, once          handled()
    while a start is written down     no signal raises; the first is recorded                  deferred()
    while it waits in such a block    the first raises again, also if it came before           interruptible()
    when all is done                  signals are ignored: the exit code is decided

No later signal raises anything, so none breaks the cleanup that the first one has begun: it only shows what is still
waited for. Code that must not be interrupted at an arbitrary line lies in `deferred()`, its waits in `interruptible()`.
KeyboardInterrupt is only ever raised in the main thread, which is where all of this is to be used.

A signal that is ignored when the command starts stays ignored: SIGHUP under nohup, SIGINT in a shell's background job.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

SIGNALS = (
    signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU,
)  # fmt: skip
STDERR = 2
GRACE_S = 10.0  # for what is under way when a signal comes, such as an upload
POLL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """Something that the user has to wait for. `at_most_s` is None where it has no bound."""

    what: str
    at_most_s: float | None
    began_s: float

    def __str__(self) -> str:
        bound = "" if self.at_most_s is None else f", at most {self.at_most_s:g} s"
        return f"waiting for {self.what}, {time.monotonic() - self.began_s:.0f} s so far{bound}"


@dataclass
class State:
    """Of this process. `received` are the numbers of the signals so far, the first of which names the exit code."""

    installed: bool = False
    received: list[int] = field(default_factory=list)
    raised: bool = False
    is_deferred: bool = False
    waits: list[Wait] = field(default_factory=list)

    def begin(self) -> None:
        self.installed, self.raised, self.is_deferred = True, False, False
        self.received.clear()
        self.waits.clear()

    def end(self) -> None:
        self.begin()
        self.installed = False


_state = State()


def exit_at_once() -> None:
    """Until `handled()`, and after it, a signal ends the process with its exit code and without a traceback."""
    atexit.register(_ignore_all)  # registered before all others, so it is called last
    _install(_exit)


@contextmanager
def handled() -> Iterator[None]:
    """The work of a command. An interruption ends it with 128 and the number of the signal, as a shell expects: 130 for INT.

    Nested, or in another thread than the main one, it has no effect.
    """
    if _state.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.begin()
    before = _install(_receive)
    try:
        yield
        raise_if_interrupted()
    except KeyboardInterrupt:
        _show("interrupted")
        sys.exit(exit_code())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.end()


@contextmanager
def deferred(what: str | None = None) -> Iterator[None]:
    """A block that no signal interrupts. One that came meanwhile raises KeyboardInterrupt at the end of the outermost.

    `what` is shown after a signal, as what is waited for.
    """
    with _mode(is_deferred=True), waiting_for(what):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """A wait within `deferred()` that the first signal ends, also one that came before."""
    with _mode(is_deferred=False):
        raise_if_interrupted()
        yield


@contextmanager
def waiting_for(what: str | None, at_most_s: float | None = None) -> Iterator[None]:
    """While it lasts, a signal shows what is waited for; if one came before, that is shown at once."""
    if what is None:
        yield
        return
    this = Wait(what, at_most_s, time.monotonic())
    _state.waits.append(this)
    if _state.received:
        _show(str(this))
    try:
        yield
    finally:
        _state.waits.remove(this)


def unbroken(action: Callable[[], T], what: str, grace_s: float = GRACE_S) -> T:
    """What `action` returns or raises; done in another thread, so that no signal breaks a transaction in its middle. Once
    there is an interruption it has `grace_s` more; then it is left alone, and ends with the process.

    Raises:
        KeyboardInterrupt: it was not done by then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def do() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that waits
            errors.append(error)

    worker = threading.Thread(target=do, daemon=True)
    with deferred(), waiting_for(what, grace_s):
        worker.start()
        deadline_s = None
        while worker.is_alive():
            worker.join(POLL_S)
            if deadline_s is None and is_interrupted():
                deadline_s = time.monotonic() + grace_s
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise KeyboardInterrupt
        if errors:
            raise errors[0]
        return results[0]


def is_interrupted() -> bool:
    """Whether a signal came. A grace may be cut short by it."""
    return bool(_state.received)


def raise_if_interrupted() -> None:
    """At a point where ending is safe: in a loop that waits, between two starts.

    Raises:
        KeyboardInterrupt: a signal came, however long ago.
    """
    if _state.received:
        _state.raised = True
        raise KeyboardInterrupt


def exit_code() -> int:
    """128 and the number of the first signal; of SIGINT where there was none."""
    return 128 + (_state.received[0] if _state.received else signal.SIGINT)


@contextmanager
def _mode(*, is_deferred: bool) -> Iterator[None]:
    before, _state.is_deferred = _state.is_deferred, is_deferred
    try:
        yield
    finally:
        _state.is_deferred = before
        if is_deferred and not before:
            raise_if_interrupted()  # also where something else failed meanwhile: nothing is to go on


def _receive(number: int, _frame: FrameType | None) -> None:
    _state.received.append(number)
    name, again = signal.Signals(number).name, " again" if len(_state.received) > 1 else ""
    _show("; ".join([f"{name}{again}: ending", *map(str, _state.waits[-1:])]))
    if not _state.is_deferred and not _state.raised:
        raise_if_interrupted()


def _exit(number: int, _frame: FrameType | None) -> None:
    _show("interrupted")
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or interrupted in the middle of a write
            stream.flush()
    os._exit(128 + number)


def _ignore_all() -> None:
    """When all is done: Python itself puts the kernel's own action in place of a handler before its last, slow steps, and a
    signal that comes then would end as -2 what has ended as 130, or as 0.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Returns what was there. What is ignored stays so."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: signal.signal(number, handler) for number, found in before.items() if found is not signal.SIG_IGN}


def _show(text: str) -> None:
    """Not by `print`: the signal may have come in the middle of one, and a buffer is not entered twice."""
    with suppress(OSError):  # the terminal is gone
        os.write(STDERR, f"{text}\n".encode())
