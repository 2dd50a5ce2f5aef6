"""A start that was recorded elsewhere -> its Startup, as far as its log shows."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import LogError
from bench.log.coverage import coverage, expected_phases, missing_phases, version_doubts
from bench.log.lines import elapsed_s, stamp_of
from bench.log.outcome import Ending
from bench.log.readings import Reading
from bench.log.recordings import Recording
from bench.log.server_info import ServerInfo, info_params
from bench.log.start_log import MOST_READINGS, StartLog
from bench.log.texts import HEAD
from bench.log.texts.phases import CONFIG_TEXT
from bench.log.texts.server_info import ARGUMENTS_TEXT
from bench.masking import masked_tree
from bench.start import tags as t
from bench.start.checks import problems_in
from bench.start.evidence import Asked, Evidence
from bench.start.log_metrics import summarise
from bench.start.metric_types import named
from bench.start.metrics import COVERAGE, READY, WALL
from bench.start.record import Startup
from bench.start.tag_types import brief
from bench.start.tags import info_tags, outcome_tags, validity_tags
from bench.start.timeline import log_spans
from bench.start.warning import ResultWarning, WarningKind, warnings_of
from bench.system.output import print_message


def labels_of(recordings: list[Recording]) -> list[str]:
    """The file's name without its ending, or the whole path where two files share it; and which start, if there are several, and of
    which container, if there are several.
    """
    counts = Counter(file.stem for file in {recording.file for recording in recordings})
    sources = Counter(file for file, _ in {(each.file, each.log.source) for each in recordings})
    return [
        (each.file.stem if counts[each.file.stem] == 1 else each.file.name)
        + ("" if each.is_alone else f" start {each.number}")
        + (f" of {each.log.source}" if sources[each.file] > 1 and each.log.source else "")
        for each in recordings
    ]


@dataclass(frozen=True)
class Place:
    """Where a start stands in its sweep. `name` is its own, `point` that of all that repeat it, `repeat` counts these from 0."""

    name: str
    point: str
    repeat: int = 0


def places_of(recordings: list[Recording]) -> list[Place]:
    """Each start a point of its own, named after its file, but for those that were given to one (`point.NAME=…`), and for logs that are
    numbered (`local-1.log`, `local-2.log`) and print the same arguments: these repeat one point.

    Raises:
        LogError: a log that was given to no point has the name of one, or one start is there twice among the repeats of a point.
    """
    labels = labels_of(recordings)
    points = [each.file.point or label for each, label in zip(recordings, labels, strict=True)]
    if twice := {each.file.point for each in recordings} & {
        label for each, label in zip(recordings, labels, strict=True) if not each.file.point
    }:
        name = min(filter(None, twice))
        raise LogError(f"point.{name}: another log has this name. Give that one a point of its own: point.NAME=LOG")
    for name, members in _numbered(recordings, labels).items():
        if name not in points:
            for at in members:
                points[at] = name
    _refuse_copies(recordings, labels, points)
    counts = Counter[str]()
    places = []
    for label, point in zip(labels, points, strict=True):
        places.append(Place(brief(label), brief(point), counts[point]))
        counts[point] += 1
    return places


Printed = list[tuple[str | None, int | None, str, bool]]
TOLD_APART = 3  # times that two starts do not print all the same


def _refuse_copies(recordings: list[Recording], labels: list[str], points: list[str]) -> None:
    """A start that was saved twice, the second time perhaps further on, has no spread: it is one repeat of one point. Where two files
    that nobody gave to a point have it, that is printed: each is read, and neither is faster.
    """
    for first, second in _copies([_printed(each.log) for each in recordings]):
        one = f"{labels[first]} and {labels[second]} are one start: they print the same times and numbers."
        if points[first] == points[second]:
            why = f"repeats of `{points[first]}` they would make its interval too narrow"
        elif recordings[first].file.point and recordings[second].file.point:
            why = "points it would be compared with itself"
        else:
            print_message(f"{one} Their difference shows nothing.")
            continue
        raise LogError(f"{one} As two {why}. Leave one of them out.")


def _copies(printed: Sequence[Printed]) -> Iterator[tuple[int, int]]:
    """Each that was there before, with the first of its kind."""
    alike: dict[object, list[int]] = {}  # by the first that they print
    for second, each in enumerate(printed):
        others = alike.setdefault(each[0] if each else None, [])
        found = [first for first in others if _is_one_start(printed[first], each)]
        if found:
            yield found[0], second
        others.append(second)


def _printed(log: StartLog) -> Printed:
    """Who printed each number, in which words, and whether it is a time."""
    return [(each.line.process, each.line.pid, each.line.text, "duration_s" in each.values) for each in log.readings]


def _is_one_start(first: Printed, second: Printed) -> bool:
    """Whether the one prints what the other begins with, and not by chance."""
    shorter, longer = sorted((first, second), key=len)
    times = [text for *_, text, is_time in shorter if is_time]
    enough = 1 if len(shorter) == len(longer) and any(map(stamp_of, times)) else TOLD_APART
    return len(times) >= enough and longer[: len(shorter)] == shorter


NUMBERED = re.compile(r"(?P<name>.+?)[-_. ]+(?:(?:run|repeat|rep|try|take)[-_. ]?)?(?P<number>\d{1,4})")


def _numbered(recordings: list[Recording], labels: list[str]) -> dict[str, list[int]]:
    """Which of these repeat one start, in the order of their numbers, by the name that they share. Numbers have no gap, and start at 0 or
    1: `threads-4` and `threads-16` are two points.
    """
    groups: dict[str, dict[int, int]] = {}
    for at, (recording, label) in enumerate(zip(recordings, labels, strict=True)):
        found = NUMBERED.fullmatch(label)
        if found and recording.is_alone and not recording.file.point:
            groups.setdefault(found["name"], {})[int(found["number"])] = at
    return {
        name: [members[number] for number in sorted(members)]
        for name, members in groups.items()
        if len(members) > 1
        and sorted(members) in (list(range(len(members))), list(range(1, len(members) + 1)))
        and len({_asked_for(recordings[at]) for at in members.values()}) == 1
        and _asked_for(recordings[min(members.values())])
    }


def _asked_for(recording: Recording) -> tuple[str, ...]:
    """The arguments and the engine's config, as they are printed."""
    lines = (line.text for line in recording.log.info_lines)
    return tuple(
        HEAD.sub("", text, count=1) for text in lines if ARGUMENTS_TEXT.text in text or CONFIG_TEXT.text in text
    )


def startup_of(recording: Recording, place: Place) -> Startup:
    """What the log has of this start."""
    log = recording.log
    readings, ending, info = log.readings, log.ending, log.info
    ready_s = _ready(readings)
    expected = expected_of(ending, info)
    problems = problems_in(Evidence(_asked_in(info), log, ready_s=ready_s))
    now = time.time()
    startup = Startup(
        name=place.name,
        parent_run_id=None,
        params=info_params(info),
        tags=_place_tags(recording, place)
        | outcome_tags(ending)
        | info_tags(info)
        | (validity_tags(problems) if problems else {}),
        started_at=now - (ready_s or 0.0),
        ended_at=now,
        ready_s=ready_s,
        reason=reason_of(ending),
        metrics=metrics_of_log(readings) | named({WALL: wall_s(log), COVERAGE: coverage(readings, expected).share}),
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


def _place_tags(recording: Recording, place: Place) -> dict[str, str]:
    return (
        t.KIND.of(t.Kind.REPLAY)
        | t.POINT.of(place.point)
        | t.REPEAT.of(place.repeat)
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
    return ending.reason or ("the log ends before the engine was ready" if ending.outcome == "incomplete" else None)


def _warnings(log: StartLog, readings: list[Reading], ready_s: float | None, expected: set[str]) -> list[ResultWarning]:
    of_log = [] if ready_s is not None else ["the log does not say when vLLM was ready"]
    cut = [f"more than {MOST_READINGS:,} lines have numbers: the last ones were left out"] if log.is_full else []
    return [
        *warnings_of(WarningKind.LOG, of_log),
        *warnings_of(WarningKind.RELEASE, version_doubts(log.info.version)),
        *warnings_of(WarningKind.MISSING_PHASE, missing_phases(readings, expected, log.info.version)),
        *warnings_of(WarningKind.LOG, cut),
    ]


def wall_s(log: StartLog) -> float | None:
    """From the first time in the log to that at which the start was up."""
    first, last = log.first_stamp, log.ending.stamp
    return elapsed_s(first, last) if first and last else None


def _ready(readings: list[Reading]) -> float | None:
    return next((reading.values["duration_s"] for reading in readings if reading.phase == "ready"), None)
