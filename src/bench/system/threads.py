"""Work of one kind for many things, several at once, in threads that end with the process: whatever hangs keeps nobody waiting at its end."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8  # a server's answer takes longer than a file of its
POLL_S = 0.5  # between two looks at a signal


def side_by_side(work: Callable[[T], R], things: Sequence[T], *, within_s: float | None = None) -> list[R | None]:
    """What `work` returns of each, in their order. None: it was not done within these seconds, all together.

    Raises:
        Whatever `work` raises, of the first thing for which it does.
    """
    waiting = queue.SimpleQueue[int]()
    for index in range(len(things)):
        waiting.put(index)
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}

    def do() -> None:
        while not errors:
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = work(things[index])
            except BaseException as error:  # noqa: BLE001  # raised again below
                errors[index] = error

    threads = [threading.Thread(target=do, daemon=True) for _ in things[:AT_ONCE]]
    for thread in threads:
        thread.start()
    deadline_s = None if within_s is None else time.monotonic() + within_s
    for thread in threads:
        while thread.is_alive() and (deadline_s is None or time.monotonic() < deadline_s):
            thread.join(POLL_S if deadline_s is None else max(0.0, min(POLL_S, deadline_s - time.monotonic())))
    if errors:
        raise errors[min(errors)]
    return [results.get(index) for index in range(len(things))]
