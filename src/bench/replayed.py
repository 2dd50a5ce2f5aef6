"""A log that was recorded elsewhere -> a Startup, as far as the log tells; several of them -> a sweep."""

import secrets
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.config import Tracking
from bench.errors import LogError
from bench.report.startup_figure import draw_startup
from bench.startup.coverage import Coverage, coverage, expected_by, version_doubts
from bench.startup.log import read_log
from bench.startup.metrics import missing_phases, summarise
from bench.startup.outcome import Ending, ending_of, outcome_tags
from bench.startup.perfetto import write_trace
from bench.startup.phases import Reading, read_phases, timeline
from bench.startup.record import LOG, Startup, write_excerpts
from bench.startup.said import params_said, said_in, tags_said
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
    ending, said = ending_of(lines), said_in(lines)
    if not readings and ending.reason is None:
        raise LogError(f"{name}: no line of this file tells anything about a start of vLLM.")
    write_excerpts(readings, folder)
    ready_s = _ready(readings)
    expected = (
        expected_by(said) if ending.engine_came_up else set()
    )  # of one that did not, nobody knows how far it should
    now = time.time()
    startup = Startup(
        name=label,
        parent_run_id=None,
        params=params_said(said),
        tags={"bench.kind": "replay", "bench.point": label, "bench.repeat": "0", "bench.file": Path(name).name}
        | outcome_tags(ending)
        | tags_said(said),
        started_at=now - (ready_s or 0.0),
        ended_at=now,
        ready_s=ready_s,
        reason=_reason(ending),
        metrics=summarise(readings)
        | ({} if ready_s is None else {"ready_s": ready_s})
        | _coverage_metric(coverage(readings, expected)),
        phases=timeline(lines, readings, ready_s, None),
        warnings=[
            *([] if ready_s is not None else ["the log does not say when vLLM was ready"]),
            *version_doubts(said.version),
            *missing_phases(readings, expected, said.version),
        ],
    )
    draw_startup(startup, folder)
    write_trace(startup, folder)
    return startup


def _reason(ending: Ending) -> str | None:
    """A log that just ends is not a start that finished."""
    return "the log ends before the engine was ready" if ending.outcome == "incomplete" else ending.reason


def _coverage_metric(found: Coverage) -> dict[str, float]:
    return {} if found.share is None else {"log/coverage": found.share}


def _ready(readings: list[Reading]) -> float | None:
    return next((reading.values["duration_s"] for reading in readings if reading.phase == "ready"), None)
