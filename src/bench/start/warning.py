"""A warning about a measurement: a value that code counts and selects by its kind, and that is rendered as text here alone. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class WarningKind(Enum):
    """What a warning is about; the values are what files and tags have."""

    HOST = "host"  # bench chose an argument because of it
    NOISE = "noise"  # before the start, or during it
    STATE = "state"  # of the caches
    MISSING_PHASE = "missing_phase"  # expected of this log
    RELEASE = "release"  # the log's is unknown, or none that the texts were collected from
    LOG = "log"  # of a start that was recorded elsewhere
    PROBE = "probe"
    RAN = "ran"  # other than what was set
    CGROUP = "cgroup"  # a limit of it was reached
    CLOCK = "clock"
    OUTPUT = "output"  # vLLM's, lost or cut
    MEMORY = "memory"  # its samples
    ANSWER = "answer"  # the first one did not come
    LOAD = "load"  # after the timed part of a start: it failed, or service did not become steady
    UNATTRIBUTED = "unattributed"  # time that no phase explains
    STEP = "step"  # of bench, failed
    TRACE = "trace"  # not kept by MLflow
    OUTLIER = "outlier"
    DRIFT = "drift"
    OTHER = "other"  # of an earlier bench, which wrote the text alone, or of a later one


KINDS = {kind.value: kind for kind in WarningKind}


@dataclass(frozen=True)
class ResultWarning:
    """`text` is one line."""

    kind: WarningKind
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", " ".join(self.text.split()))

    def __str__(self) -> str:
        return self.text


def warnings_of(kind: WarningKind, texts: Iterable[str]) -> list[ResultWarning]:
    """One of this kind for each text."""
    return [ResultWarning(kind, text) for text in texts]


def to_line(warning: ResultWarning) -> str:
    """`clock: the driver was stopped for 3.1 s`"""
    return f"{warning.kind.value}: {warning.text}"


def from_line(line: str) -> ResultWarning:
    """The inverse of `to_line`. A line without a known kind is all text."""
    kind, colon, text = line.partition(": ")
    known = KINDS.get(kind) if colon else None
    return ResultWarning(known, text) if known else ResultWarning(WarningKind.OTHER, line)


def from_json(value: Any) -> Any:
    """A warning of startup.json: `{"kind", "text"}`, or a text alone. What is neither is returned for pydantic to refuse."""
    if isinstance(value, str):
        return ResultWarning(WarningKind.OTHER, value)
    if isinstance(value, dict) and value.get("kind") not in KINDS:
        return value | {"kind": WarningKind.OTHER}
    return value
