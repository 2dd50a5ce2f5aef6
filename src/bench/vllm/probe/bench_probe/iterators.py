"""What a weights iterator delivers, and how long it lets its consumer wait. Of nested iterators the outermost counts."""

from __future__ import annotations

import itertools
import threading
import time
from types import GeneratorType
from typing import TYPE_CHECKING

from . import events, hooks, spans

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FunctionType
    from typing import Any

LAZY = (GeneratorType, map, filter, zip, itertools.chain, itertools.islice)  # they can nothing but be iterated over
EVERY_S = 1.0  # how often an iterator that goes on is written down: what a crash may cost
NUMBERS = itertools.count(1)
LIVE: list[Count] = []
HERE = threading.local()


class Count:
    """What one iterator has given so far. Written down every second, at the end, and when a span ends around it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = next(NUMBERS)
        self.bytes = self.tensors = 0
        self.blocked_s = 0.0
        self.began_s = self.left_s = self.written_s = 0.0
        self.facts: dict[str, Any] | None = None  # None: it was never the outermost

    def enter(self) -> bool:
        """The consumer requests the next item. True: no other iterator is being waited for, and the wait counts."""
        if getattr(HERE, "waiting", False):
            return False
        HERE.waiting = True
        if self.facts is None:
            span = spans.innermost()
            aside = span is not None and span.thread != threading.get_ident()  # another thread's, as a prefetcher's
            self.facts = {"iterator": self.number, "name": self.name, "span": span and span.number, "aside": aside}
            self.written_s = time.monotonic()
            self.facts["began_s"] = self.written_s
            LIVE.append(self)
        self.began_s = time.monotonic()
        return True

    def leave(self) -> None:
        self.left_s = time.monotonic()
        self.blocked_s += self.left_s - self.began_s
        HERE.waiting = False

    def add(self, item: Any) -> None:
        """A tensor is what has a size in bytes; an item is one, or a tuple that has them beside names."""
        for part in item if isinstance(item, (tuple, list)) else (item,):
            size = getattr(part, "nbytes", None)
            if isinstance(size, int):
                self.tensors += 1
                self.bytes += size
        if self.left_s - self.written_s > EVERY_S:
            self.write()

    def write(self) -> None:
        self.written_s = self.left_s
        numbers = {"bytes": self.bytes, "tensors": self.tensors, "blocked_s": round(self.blocked_s, 6)}
        events.write("delivered", self.left_s, **(self.facts or {}), **numbers)

    def finish(self) -> None:
        if self in LIVE:
            LIVE.remove(self)
            self.write()


def write_all() -> None:
    """Those that go on, too."""
    for count in LIVE.copy():
        count.write()


spans.AT_END.append(write_all)


def counted(iterator: Any, name: str) -> Any:
    """The iterator, counted where it is one; everything else as it is."""
    if not isinstance(iterator, LAZY):
        return iterator
    generator: Any = _through(iterator, Count(name))
    generator.__name__ = getattr(iterator, "__name__", name)
    generator.__qualname__ = getattr(iterator, "__qualname__", name)
    return generator


def _through(iterator: Any, count: Count) -> Generator[Any, Any, Any]:
    """`yield from iterator`, with a clock around each step. What is sent, thrown and closed reaches it in the same way.

    Source: PEP 380
    """
    sent, thrown, item = None, None, None
    try:
        while True:
            outermost = _enter(count)
            try:
                item = _step(iterator, sent, thrown)
            except StopIteration as stop:
                return stop.value
            finally:
                thrown = None
                if outermost:
                    count.leave()
            if outermost:
                _add(count, item)
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  # the iterator's to handle, as it would be without us
                sent, thrown = None, error
            item = None  # or the last tensor would live until the next is there
    finally:
        if hasattr(iterator, "close"):
            iterator.close()
        with events.guarded(f"{count.name} was not counted"):
            count.finish()


def _step(iterator: Any, sent: Any, thrown: BaseException | None) -> Any:
    if thrown is not None:
        if not hasattr(iterator, "throw"):
            raise thrown
        return iterator.throw(thrown)
    return next(iterator) if sent is None else iterator.send(sent)


def _enter(count: Count) -> bool:
    try:  # the shape that costs least: this is done for each tensor
        return count.enter()
    except Exception as error:  # noqa: BLE001  # not counted, and delivered all the same
        events.warn(f"{count.name} was not counted: {type(error).__name__}: {error}")
        return False


def _add(count: Count, item: Any) -> None:
    try:
        count.add(item)
    except Exception as error:  # noqa: BLE001  # a strange item is vLLM's to judge
        events.warn(f"an item of {count.name} was not counted: {type(error).__name__}: {error}")


def counting(function: FunctionType) -> Callable[..., Any]:
    """The function, which counts what it returns where that is an iterator."""

    @hooks.wraps(function)
    def returning(*arguments: Any, **options: Any) -> Any:
        returned = function(*arguments, **options)
        return counted(returned, function.__name__) if isinstance(returned, LAZY) else returned

    return returning
