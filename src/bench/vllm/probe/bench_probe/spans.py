"""A call with its begin and its end. Of calls of one name that are nested, as a method's and its super's, the outermost."""

from __future__ import annotations

import itertools
import os
import threading
import time
from types import FunctionType
from typing import TYPE_CHECKING

from . import counters, events, hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OPEN: list[Span] = []  # of all threads
os.register_at_fork(after_in_child=OPEN.clear)  # a process that was forked off is in none of its parent's calls
AT_END: list[Callable[[], None]] = []  # what else is to be written before a span ends
NUMBERS = itertools.count(1)
BEGUN: set[str] = set()  # names of spans that this process has begun


class Span:
    """One call that is going on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = next(NUMBERS)
        self.thread = threading.get_ident()


def timed(
    name: str,
    function: Callable[..., Any],
    before: Callable[[Any], None] | None = None,
    after: Callable[[Any], None] | None = None,
) -> Callable[..., Any]:
    """The function, with its calls recorded. `before` and `after` are called with its first argument, a method's self."""

    @hooks.wraps(function)
    def measured(*arguments: Any, **options: Any) -> Any:
        subject = arguments[0] if arguments else None
        _call(name, before, subject)
        span = begin(name, subject)
        if span is None:
            return function(*arguments, **options)
        try:
            result = function(*arguments, **options)
        except BaseException as error:
            end(span, type(error).__name__)
            raise
        end(span)
        _call(name, after, subject)
        return result

    return measured


def measure_method(
    cls: type,
    method: str,
    name: str,
    before: Callable[[Any], None] | None = None,
    after: Callable[[Any], None] | None = None,
) -> None:
    """What the class defines itself, once."""
    function = vars(cls).get(method)
    if isinstance(function, FunctionType) and not hooks.is_ours(function):
        setattr(cls, method, timed(name, function, before, after))


def record(name: str, subject: Any, started_s: float, ended_s: float) -> None:
    """A stretch that is no call of its own, once it is over."""
    BEGUN.add(name)
    span = Span(name)
    events.write("begin", started_s, span=span.number, name=name, of=type(subject).__qualname__)
    events.write("end", ended_s, span=span.number, failed=None, **_sample())


def _call(name: str, action: Callable[[Any], None] | None, subject: Any) -> None:
    if action is not None:
        with events.guarded(f"at {name}"):
            action(subject)


def begin(name: str, subject: Any) -> Span | None:
    """None: a call of this name is going on in this thread."""
    thread = threading.get_ident()
    if any(span.name == name and span.thread == thread for span in OPEN):
        return None
    span = Span(name)
    OPEN.append(span)
    BEGUN.add(name)
    facts = _sample()
    events.write("begin", time.monotonic(), span=span.number, name=name, of=type(subject).__qualname__, **facts)
    return span


def end(span: Span, failed: str | None = None) -> None:
    """The GPU's part is over too, before the clock is read."""
    with events.guarded("the GPU was not waited for"):
        counters.synchronize()
    ended_s = time.monotonic()
    for write in AT_END:
        with events.guarded(f"at the end of {span.name}"):
            write()
    if span in OPEN:
        OPEN.remove(span)
    events.write("end", ended_s, span=span.number, failed=failed, **_sample())


def _sample() -> dict[str, int]:
    found: dict[str, int] = {}
    with events.guarded("bytes and memory were not read"):
        found.update(counters.host())
    with events.guarded("the GPU's memory was not read"):
        found.update(counters.gpu())
    return found


def innermost() -> Span | None:
    """The span that this moment belongs to: of this thread where it has one, else the last that another has opened."""
    thread = threading.get_ident()
    own = [span for span in OPEN if span.thread == thread]
    found = own or OPEN
    return found[-1] if found else None
