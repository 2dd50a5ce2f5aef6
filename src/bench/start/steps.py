"""One guard around what happens to one start: each step's failure is collected, and the steps after it go on.

A start is prepared, read, described, drawn and saved in steps. Whatever one of them raises makes this start FAILED, and ends neither the
other steps nor the sweep. KeyboardInterrupt passes.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.errors import BenchError
from bench.masking import masked, private
from bench.start.files import ERRORS

LONGEST = 500  # characters of a reason; the rest is in error.txt

# Of the environment, no bug: a disk, a limit, a name that cannot be encoded. A command ends with a sentence.
ENVIRONMENT_ERRORS = (OSError, MemoryError, RecursionError, UnicodeError)

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A step, and what it raised."""

    step: str
    error: BaseException

    def __str__(self) -> str:
        words = masked(" ".join(f"{self.step} failed: {describe_error(self.error)}".split()))
        return words if len(words) <= LONGEST else f"{words[:LONGEST]} …"


@dataclass
class Steps:
    """The steps of one start so far. `failures` in the order in which they came."""

    failures: list[Failure] = field(default_factory=list)

    def run(self, name: str, step: Callable[[], T], default: T) -> T:
        """What `step` returns; `default` where it raises. `name` is what is done: "reading vllm.log"."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001  # the one place that catches them all
            self.failures.append(Failure(name, error))
            return default

    def fail(self, name: str, reason: str) -> None:
        """A step found something wrong without raising."""
        self.failures.append(Failure(name, BenchError(reason)))

    @property
    def sentences(self) -> list[str]:
        return list(dict.fromkeys(map(str, self.failures)))

    def write_errors(self, folder: Path) -> None:
        """error.txt in `folder`: the tracebacks of what was not expected. No file where there is none."""
        unexpected = [each for each in self.failures if not isinstance(each.error, BenchError)]
        if unexpected:
            texts = [f"{each}\n{''.join(traceback.format_exception(each.error, limit=50))}" for each in unexpected]
            private(folder / ERRORS).write_text(masked("\n".join(texts)), encoding="utf-8", errors="backslashreplace")


def describe_error(error: BaseException) -> str:
    """For people, in one line; of an error of bench's own, in its lines."""
    match error:
        case BenchError():
            return str(error)
        case OSError():
            words = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or repr(error)
        case MemoryError():
            words = "bench is out of memory"
        case RecursionError():
            words = "it is nested too deeply"
        case UnicodeError():
            words = f"a text cannot be encoded: {error}"
        case _:
            words = f"{type(error).__name__}: {error} (the traceback is in {ERRORS})"
    return " ".join(words.split())
