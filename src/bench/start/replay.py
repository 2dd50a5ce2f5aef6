"""A start that was recorded elsewhere -> its Startup, as far as its log shows."""

import time
from collections import Counter
from pathlib import Path

from bench.log.coverage import coverage, expected_phases, missing_phases, version_doubts
from bench.log.outcome import Ending
from bench.log.readings import Reading
from bench.log.recordings import Recording
from bench.log.server_info import ServerInfo, info_params
from bench.log.start_log import MOST_READINGS, StartLog
from bench.masking import masked_tree
from bench.start import tags as t
from bench.start.checks import problems_in
from bench.start.evidence import Asked, Evidence
from bench.start.log_metrics import summarise
from bench.start.metric_types import named
from bench.start.metrics import COVERAGE, READY
from bench.start.record import Startup
from bench.start.tags import info_tags, outcome_tags, validity_tags
from bench.start.timeline import log_spans
from bench.start.warning import ResultWarning, WarningKind, warnings_of


def labels_of(recordings: list[Recording]) -> list[str]:
    """The file's name without its ending, or the whole path where two files share it; and which start, if there are several, and of
    which container, if there are several.
    """
    counts = Counter(file.stem for file in {recording.file for recording in recordings})
    sources = Counter(file for file, _ in {(each.file, each.log.source) for each in recordings})
    return [
        t.brief(
            (each.file.stem if counts[each.file.stem] == 1 else each.file.name)
            + ("" if each.is_alone else f" start {each.number}")
            + (f" of {each.log.source}" if sources[each.file] > 1 and each.log.source else "")
        )
        for each in recordings
    ]


def startup_of(recording: Recording, label: str) -> Startup:
    """What the log has of this start."""
    log = recording.log
    readings, ending, info = log.readings, log.ending, log.info
    ready_s = _ready(readings)
    expected = expected_of(ending, info)
    problems = problems_in(Evidence(_asked_in(info), log, ready_s=ready_s))
    now = time.time()
    startup = Startup(
        name=label,
        parent_run_id=None,
        params=info_params(info),
        tags=_place_tags(recording, label)
        | outcome_tags(ending)
        | info_tags(info)
        | (validity_tags(problems) if problems else {}),
        started_at=now - (ready_s or 0.0),
        ended_at=now,
        ready_s=ready_s,
        reason=reason_of(ending),
        metrics=metrics_of_log(readings) | named({COVERAGE: coverage(readings, expected).share}),
        spans=log_spans(log.milestones, readings, ready_s, None),
        warnings=_warnings(log, readings, ready_s, expected),
        problems=problems,
    )
    return masked_tree(startup)


def _asked_in(info: ServerInfo) -> Asked:
    """What was started is known by the log alone."""
    return Asked(
        tensor_parallel_size=info.tensor_parallel_size or 1,
        pipeline_parallel_size=info.pipeline_parallel_size or 1,
        data_parallel_size=info.data_parallel_size or 1,
    )


def _place_tags(recording: Recording, label: str) -> dict[str, str]:
    return (
        t.KIND.of(t.Kind.REPLAY)
        | t.POINT.of(label)
        | t.REPEAT.of(0)
        | t.FILE.of(Path(recording.file.name).name)
        | t.SOURCE_IN_FILE.of(recording.log.source or None)
        | t.START_IN_FILE.of(None if recording.is_alone else recording.number)
    )


def metrics_of_log(readings: list[Reading]) -> dict[str, float]:
    """The numbers of a start, with the time to ready where it was written down when the log was recorded."""
    return summarise(readings) | named({READY: _ready(readings)})


def expected_of(ending: Ending, info: ServerInfo) -> set[str]:
    """The phases that the log should have. Of a start that did not come up, how far it should is unknown."""
    return expected_phases(info) if ending.engine_came_up else set()


def reason_of(ending: Ending) -> str | None:
    """A log that just ends is not a start that finished."""
    return "the log ends before the engine was ready" if ending.outcome == "incomplete" else ending.reason


def _warnings(log: StartLog, readings: list[Reading], ready_s: float | None, expected: set[str]) -> list[ResultWarning]:
    of_log = [] if ready_s is not None else ["the log does not say when vLLM was ready"]
    cut = [f"more than {MOST_READINGS:,} lines have numbers: the last ones were left out"] if log.is_full else []
    return [
        *warnings_of(WarningKind.LOG, of_log),
        *warnings_of(WarningKind.RELEASE, version_doubts(log.info.version)),
        *warnings_of(WarningKind.MISSING_PHASE, missing_phases(readings, expected, log.info.version)),
        *warnings_of(WarningKind.LOG, cut),
    ]


def _ready(readings: list[Reading]) -> float | None:
    return next((reading.values["duration_s"] for reading in readings if reading.phase == "ready"), None)
