"""A log that was recorded elsewhere -> a Startup, as far as the log tells; several of them -> a sweep."""

import secrets
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.config import Tracking
from bench.errors import LogError
from bench.report.startup_figure import draw_startup
from bench.startup.failure import reason_in
from bench.startup.log import read_log
from bench.startup.metrics import summarise
from bench.startup.perfetto import write_trace
from bench.startup.phases import Reading, read_phases, timeline
from bench.startup.record import LOG, Startup, write_excerpts
from bench.tracking.runs import close_sweep, log_start, open_sweep


def replay_sweep(tracking: Tracking, logs: dict[str, bytes]) -> str:
    """One sweep of these logs, by file name. All are read before MLflow hears of any. Returns the sweep's id.

    Raises:
        LogError: a log tells nothing about a start of vLLM.
    """
    sweep_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    labels = _labels(list(logs))
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / str(index) for index, name in enumerate(logs)}
        startups = {name: read_startup(name, labels[name], logs[name], folder) for name, folder in folders.items()}
        parent = open_sweep(
            tracking,
            sweep_id,
            adopted=None,
            params={},
            tags={"bench.points": "\n".join(labels.values()), "bench.replayed": "true"},
        )
        failed = True
        try:
            for name, startup in startups.items():
                child = _below(startup, parent, sweep_id)
                child.save(folders[name])
                log_start(tracking, child, folders[name])
            failed = False
        finally:
            close_sweep(tracking, parent, failed=failed, ended_by="the last log", adopted=False)
    return sweep_id


def _labels(names: list[str]) -> dict[str, str]:
    """The file's name without its ending; the whole path where two files share it."""
    stems = {name: "stdin" if name == "-" else Path(name).stem for name in names}
    return {name: stem if list(stems.values()).count(stem) == 1 else name for name, stem in stems.items()}


def _below(startup: Startup, parent: str, sweep_id: str) -> Startup:
    return replace(startup, parent_run_id=parent, tags=startup.tags | {"bench.sweep": sweep_id})


def read_startup(name: str, label: str, content: bytes, folder: Path) -> Startup:
    """What this log tells. Its lines and excerpts go to `folder`."""
    folder.mkdir(parents=True)
    (folder / LOG).write_bytes(content)
    lines = read_log(content.splitlines(keepends=True))
    readings = read_phases(lines)
    reason = reason_in(lines)
    if not readings and reason is None:
        raise LogError(f"{name}: no line of this file tells anything about a start of vLLM.")
    write_excerpts(readings, folder)
    ready_s = _ready(readings)
    now = time.time()
    startup = Startup(
        name=label,
        parent_run_id=None,
        params={},
        tags={"bench.kind": "replay", "bench.point": label, "bench.repeat": "0", "bench.file": Path(name).name}
        | _version(readings),
        started_at=now - (ready_s or 0.0),
        ended_at=now,
        ready_s=ready_s,
        reason=None if ready_s is not None else reason or _unfinished(readings),
        metrics=summarise(readings) | ({} if ready_s is None else {"ready_s": ready_s}),
        phases=timeline(lines, readings, ready_s, None),
        warnings=[] if ready_s is not None else ["the log does not say when vLLM was ready"],
    )
    draw_startup(startup, folder)
    write_trace(startup, folder)
    return startup


def _unfinished(readings: list[Reading]) -> str | None:
    """A log that just ends is not a start that finished. The engine's own last line is enough: offline starts have no other."""
    return (
        None
        if any(reading.phase == "init_engine" for reading in readings)
        else "the log ends before the engine was ready"
    )


def _ready(readings: list[Reading]) -> float | None:
    return next((reading.values["duration_s"] for reading in readings if reading.phase == "ready"), None)


def _version(readings: list[Reading]) -> dict[str, str]:
    found = next((reading.texts["version"] for reading in readings if reading.phase == "version"), None)
    return {"version.vllm": found} if found else {}
