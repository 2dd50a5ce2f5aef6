"""What happened, on disk as it happens: one line of JSON an event, in a file a process. Times: CLOCK_MONOTONIC, seconds."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .counters import process_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Journal:
    """The file of this process. A process that is forked off begins one of its own, with its first event."""

    def __init__(self) -> None:
        self._folder = ""
        self._file = -1
        self._pid = 0
        self._reached_s: float | None = None  # the plugin's turn: what vLLM imports before it is imported

    @property
    def is_open(self) -> bool:
        return bool(self._folder)

    def reached_s(self) -> float:
        """When the plugin's turn came in this process, or when it was forked off."""
        assert self._reached_s is not None
        return self._reached_s

    def open_in(self, folder: str) -> None:
        self._reached_s = time.monotonic()
        self._folder = folder
        os.register_at_fork(after_in_child=self._forked)
        self._begin()

    def _forked(self) -> None:
        """It has imported by then all that its parent had."""
        self._reached_s = time.monotonic()

    def _begin(self) -> None:
        self._pid = os.getpid()
        path = os.path.join(self._folder, f"{self._pid}.jsonl")  # noqa: PTH118  # pathlib may not be imported here
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._append(
            event="process",
            t=time.monotonic(),
            pid=self._pid,
            parent=os.getppid(),
            kind=process_kind(),
            started_s=process_start(),
            imported_s=self._reached_s,
        )

    def write(self, event: str, t: float, facts: dict[str, Any]) -> None:
        if not self._folder:  # nobody has asked for events
            return
        if self._pid != os.getpid():
            self._begin()
        self._append(event=event, t=t, **facts)

    def _append(self, **line: Any) -> None:
        os.write(self._file, json.dumps(line, default=str).encode() + b"\n")


JOURNAL = Journal()
WARNED: set[tuple[int, str]] = set()  # warnings, by process


def open_in(folder: str) -> bool:
    """Begin this process's file. False: it has one, or none can be made, so that nothing is to be measured."""
    if JOURNAL.is_open:
        return False
    try:
        JOURNAL.open_in(folder)
    except Exception:  # noqa: BLE001  # the driver finds no file of this process
        return False
    return True


def write(event: str, t: float | None = None, **facts: Any) -> None:
    """One event, at time `t`, by default now. On an error such as a full disk the event is lost, and nothing is raised."""
    with suppress(Exception):
        JOURNAL.write(event, time.monotonic() if t is None else t, facts)


def warn(text: str) -> None:
    """Records a warning that something could not be measured: once a process, since it may recur with every tensor."""
    if (os.getpid(), text) not in WARNED:
        WARNED.add((os.getpid(), text))
        write("warning", text=text)


@contextmanager
def guarded(what_fails: str) -> Iterator[None]:
    """For the probe's own work only, never around vLLM's: whatever is raised in it becomes a warning."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # that is what it is for
        warn(f"{what_fails}: {type(error).__name__}: {error}")


def process_kind() -> str:
    """Which of vLLM's processes this is, by the name that it was started under.

    Source: vllm/v1/engine/utils.py, vllm/v1/executor/multiproc_executor.py, vllm/model_executor/models/registry.py
    """
    name = process_names()[0]
    if "EngineCore" in name:
        return "engine_core"
    if "Worker" in name:
        return "worker"
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return "model_inspection" if getattr(spec, "name", "").endswith("models.registry") else "api_server"


def process_names() -> tuple[str, str]:
    """multiprocessing's names for this process and for the one that started it; empty where it has none."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is None:
        return "", ""
    parent = processes.parent_process()
    return processes.current_process().name, parent.name if parent else ""
