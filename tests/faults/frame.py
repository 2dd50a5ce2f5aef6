"""The frame of the fault suite: a moment of a command, a fault that is provoked there, and what must hold afterwards.

A moment is a named function of bench at which the command stops (`hooks.py`), or what its fake vLLM does (FAKE_MODE). A new
moment, a new fault and a new case are a row each.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import Command, Preloaded, command
from conftest import Workplace, fake_for, quiet, until
from whole_sweeps import SHARED_MEMORY

STARTUP, BEGUN = "startup.json", "begun.json"


@dataclass(frozen=True)
class Moment:
    """Where a command is when something happens to it.

    `hook` is where it is stopped; None: `words` make the fake vLLM stop there, which is seen by what it has printed, or `has_come`
    says so. `complete` are the starts that are complete then, `begun` those that a killed command leaves.
    """

    name: str
    words: tuple[str, ...]
    hook: str | None = None
    module: str = "bench"
    complete: int = 0
    begun: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    has_come: Callable[[Command], object] = lambda running: running.place.logs()


@dataclass(frozen=True)
class Fault:
    """What happens there, and the exit code that must come of it."""

    name: str
    provoke: Callable[[Command], None]
    code: int


def signals(*numbers: int) -> Callable[[Command], None]:
    """Each one when the one before has been noticed: the kernel makes one of two equal ones that wait."""

    def send(running: Command) -> None:
        for sent, number in enumerate(numbers):
            until(lambda sent=sent: running.err.count("ending") >= sent or running.poll() is not None)
            if running.poll() is None:
                running.send(number)

    return send


INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL


def kill_all_of_ours(running: Command) -> None:
    """The driver, its guard and its keeper, so that none of them can do anything about it."""
    ours = [running.pid, *(pid for pid in running.place.living() if b"keeper.py" in cmdline(pid))]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in ours:
            os.kill(pid, number)


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


FAULTS = {
    "quit": Fault("quit", signals(signal.SIGQUIT), 131),
    "kill with its keepers": Fault("kill with its keepers", kill_all_of_ours, -9),
    "int": Fault("int", signals(INT), 130),
    "term": Fault("term", signals(TERM), 143),
    "hup": Fault("hup", signals(HUP), 129),
    "int twice": Fault("int twice", signals(INT, INT), 130),
    "int, then term": Fault("int, then term", signals(INT, TERM), 130),
    "kill": Fault("kill", signals(KILL), -9),
}


def provoked(
    preloaded: Preloaded, place: Workplace, moment: Moment, fault: Fault, words: Sequence[str] = ()
) -> Command:
    """The command, brought to the moment, with the fault provoked there, at its end."""
    every = (*moment.words, *words)
    given = fake_for(every) if moment.module == "bench" else []
    running = command(preloaded, place, moment.module, *every, *given, hook=moment.hook, environment=moment.environment)
    has_come = (lambda: running.has_reached) if moment.hook else (lambda: moment.has_come(running))
    until(lambda: has_come() or running.poll() is not None)
    assert running.poll() is None, f"it ended before the moment {moment.name}: {running.err}"
    fault.provoke(running)
    running.go_on()
    running.ended()
    return running


# What must hold, whatever happened.


def check_nothing_left(preloaded: Preloaded, place: Workplace) -> None:
    """No process or shared memory of vLLM, and, when the next command has opened the store, no run RUNNING and every start counted once."""
    until(lambda: not place.living())
    ports = {port for folder in starts_on_disk(place) if (port := port_of(folder))}

    assert not ports & listening(), "somebody still listens on a port of vLLM"
    next_command(preloaded, place)
    assert [path.name for path in SHARED_MEMORY.iterdir() if place.mark in path.name] == []
    assert [*place.folder.rglob(BEGUN)] == []
    assert [run.info.run_id for run in every_run(place) if run.info.status == "RUNNING"] == []
    assert counted(place) == Counter({identity_of(folder): 1 for folder in starts_on_disk(place)})


def next_command(preloaded: Preloaded, place: Workplace) -> Command:
    """That opens the store: what an earlier one could not finish is finished by it."""
    running = command(preloaded, place, "bench.compare")
    running.ended()
    assert "Traceback" not in running.err, running.err
    return running


def starts_on_disk(place: Workplace) -> list[Path]:
    """The folders of those that were written down; copies in MLflow's own folder are none."""
    found = (path.parent for kind in ("outputs", "multirun") for path in place.folder.glob(f"{kind}/**/{STARTUP}"))
    return sorted(found)


def startup_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STARTUP).read_text())
    return found


def identity_of(folder: Path) -> tuple[str, int]:
    """A start's name and its time in milliseconds, which every run of it has, however it came into the store."""
    startup = startup_in(folder)
    return startup["name"], int(startup["started_at"] * 1000)


def counted(place: Workplace) -> Counter[tuple[str, int]]:
    """How many runs the store has of each start."""
    starts = [run for run in every_run(place) if run.data.tags.get("bench.kind") in {"start", "prime"}]
    return Counter((run.info.run_name, run.info.start_time) for run in starts)


def every_run(place: Workplace) -> list[Any]:
    """Of every experiment."""
    from conftest import mlflow_client

    with quiet():
        client = mlflow_client(place.folder)
        experiments = [each.experiment_id for each in client.search_experiments()]
        return list(client.search_runs(experiments))


def port_of(folder: Path) -> int | None:
    words = startup_in(folder)["params"].get("vllm_command", "").split()
    return int(words[words.index("--port") + 1]) if "--port" in words else None


def listening() -> set[int]:
    """TCP ports of this host that somebody listens on. Source: proc(5), /proc/net/tcp; state 0A is LISTEN."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}
