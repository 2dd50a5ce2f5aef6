"""Printing: masked, in any locale, and without ever raising.

A terminal may be closed, a disk full, a reader gone (`| head -1`). A sweep goes on then, in silence, with the exit code that it would have
had. Only where the printed text is a command's whole result, its loss is an error: see `exit_where_lost`.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from bench.masking import collect_environment, collect_words, masked
from bench.system.program import as_typed

STANDARD_DESCRIPTORS = (0, 1, 2)
# What makes a terminal do something, or shows a line in another order than it has; not tabs and the ends of lines.
CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")


class Output:
    """A text stream over another one: masks, escapes what the other's encoding does not have, and never raises.

    `failure` is why nothing more is written; None: all was.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None: it was closed when this process began
        self.failure: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        if self._stream is not None and self.failure is None:
            self._do(self._stream.write, _encodable(masked(text), getattr(self._stream, "encoding", None)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._stream is not None and self.failure is None:
            self._do(self._stream.flush)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def _do(self, call: Any, *arguments: str) -> None:
        try:
            call(*arguments)
        except BlockingIOError:
            pass  # a reader who is slow
        except (OSError, ValueError) as error:
            self.failure = error
            self._drop_what_is_left()

    def _drop_what_is_left(self) -> None:
        """Else Python tries once more at the end, prints a warning and exits with 120."""
        with suppress(OSError, ValueError, AttributeError):
            if (descriptor := self.fileno()) in STANDARD_DESCRIPTORS:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:  # encoding, buffer …
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._stream, name)


def _encodable(text: str, encoding: str | None) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding) if encoding else text


def visible(text: str) -> str:
    """Control characters as they are written in Python: vLLM's texts, and what they quote, are printed to a terminal."""
    return CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def guard_output() -> None:
    """From now on all that this process prints, tracebacks and other libraries' output too, goes through `Output`; the secrets of its
    environment and its command line are registered.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in STANDARD_DESCRIPTORS:
        os.set_inheritable(descriptor, True)  # noqa: FBT003  # it was closed: the next file would get its number, and what is printed
    os.close(descriptor)
    collect_environment()
    collect_words(sys.argv[1:])
    for name in ("stdout", "stderr"):
        if not isinstance(stream := getattr(sys, name), Output):
            setattr(sys, name, Output(stream))


def print_message(text: str) -> None:
    """Prints a line for the user on standard error, flushed; standard output is for a command's result."""
    _print(sys.stderr, text)


def print_result(text: str) -> None:
    """Prints a line of a command's result on standard output, flushed."""
    _print(sys.stdout, text)


def print_markdown(text: str) -> None:
    """Prints a command's result: on a terminal with its tables drawn, elsewhere as the text that it is."""
    if not (sys.stdout and sys.stdout.isatty()) or os.environ.get("TERM") in {"dumb", "unknown"}:
        print_result(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(file=sys.stdout).print(Markdown(visible(as_typed(masked(text)))))
    sys.stdout.flush()


def _print(stream: Any, text: str) -> None:
    output = stream if isinstance(stream, Output) else Output(stream)
    output.write(f"{visible(as_typed(masked(text)))}\n")
    output.flush()


def exit_where_lost() -> None:
    """Exits with 1 where a command's only result, its standard output, could not be written. A closed pipe (`| head -1`) and a standard
    output that was closed from the beginning are no errors.
    """
    failure = getattr(sys.stdout, "failure", None)
    if failure is not None and not isinstance(failure, BrokenPipeError):
        print_message(f"standard output: {getattr(failure, 'strerror', None) or failure}")
        sys.exit(1)
