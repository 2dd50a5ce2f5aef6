"""A recorded start -> its log's lines with what was taken from each. Nothing is written to MLflow."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.log.coverage import Coverage, coverage, version_doubts
from bench.log.lines import LogLine
from bench.log.outcome import Ending
from bench.log.readings import Reading
from bench.log.recordings import Recording
from bench.log.server_info import InfoReader, ServerInfo, info_params
from bench.masking import masked
from bench.start.log_metrics import METRICS
from bench.start.metrics import READY
from bench.start.replay import expected_of, metrics_of_log, reason_of
from bench.start.tags import REASON, info_tags, outcome_tags

WIDTH = 160  # of a line's text
ARROW = "        -> "


@dataclass
class Taken:
    """A line and what was taken from it."""

    line: LogLine
    words: list[str] = field(default_factory=list)


def explanation(recording: Recording) -> Iterator[str]:
    """The lines to print: those from which something was taken, and what all of them come to."""
    log = recording.log
    readings, ending, info = log.readings, log.ending, log.info
    taken = _taken(readings, ending, info, log.info_lines)
    last_number = log.last_number or log.first_number
    of = f" of {log.source}" if log.source else ""
    changed = (
        f" ({', '.join(recording.file.changes)}: lines are counted from the earliest)" if recording.file.changes else ""
    )
    yield f"{recording.file.name}{changed}, start {recording.number}{of}: lines {log.first_number:,} to {last_number:,}"
    for each in taken:
        yield f"{each.line.number:7}  {_shortened(masked(each.line.raw))}"
        yield from (ARROW + words for words in each.words)
    others = last_number - log.first_number + 1 - len({each.line.number for each in taken})
    yield f"{others:7,}  other lines, from which nothing was taken"
    yield from _conclusion(ending, info, coverage(readings, expected_of(ending, info)))


def _taken(readings: list[Reading], ending: Ending, info: ServerInfo, sources: list[LogLine]) -> list[Taken]:
    """In the order of the log. What is taken from a line twice is printed once."""
    found: dict[tuple[int, str], Taken] = {}
    metrics = metrics_of_log(readings)
    of_info = [(line, words) for line in sources for words in _info_in(line, info)]
    of_readings = [(reading.line, words) for reading in readings for words in _numbers(reading, metrics)]
    for line, words in [*of_info, *of_readings, *_of_ending(ending)]:
        taken = found.setdefault((line.number, line.raw), Taken(line))
        if words not in taken.words:
            taken.words.append(words)
    return sorted(found.values(), key=lambda taken: taken.line.number)


def _info_in(line: LogLine, info: ServerInfo) -> Iterator[str]:
    """The params and tags that come from this line: another may have known better."""
    reader = InfoReader()
    reader.see(line)
    reader.see(line)  # a version that ends a line counts only when there is another
    alone = reader.info()
    for name, value in (info_params(alone) | info_tags(alone)).items():
        if (info_params(info) | info_tags(info)).get(name) == value:
            yield f"{name} = {value}"


def _numbers(reading: Reading, metrics: dict[str, float]) -> Iterator[str]:
    """The metrics that a reading goes into, with what the run has in the end, where that is another number."""
    whose = f" of {reading.rank}" if reading.rank else ""
    named = [
        (metric.name, reading.values[source.field])
        for metric, source in METRICS
        if source.phase == reading.phase and source.field in reading.values
    ]
    if reading.phase == "ready":
        named = [(READY.name, reading.values["duration_s"])]
    for name, value in named:
        yield f"{name} = {value:.10g}{whose}{_in_the_end(value, metrics.get(name))}"
    if not named and reading.phase != "version":
        yield " ".join([f"phase {reading.phase}{whose}", *(f"{name}={text}" for name, text in reading.texts.items())])


def _in_the_end(value: float, final: float | None) -> str:
    if final is None:
        return " (does not count)"
    return "" if final == value else f" (the run has {final:.10g})"


def _of_ending(ending: Ending) -> list[tuple[LogLine, str]]:
    if ending.line is None:
        return []
    tags = outcome_tags(ending) | REASON.of(ending.reason or None)
    return [(ending.line, f"{name} = {value}") for name, value in tags.items()]


def _conclusion(ending: Ending, info: ServerInfo, found: Coverage) -> Iterator[str]:
    yield f"outcome         {ending.outcome}" + (f", while {ending.stage}" if ending.stage else "")
    if reason := reason_of(ending):
        yield f"reason          {reason}" + (f" ({ending.reason_class})" if ending.reason_class else "")
    if found.share is None:
        yield "coverage        unknown: it did not come up, and nobody knows how far it should have come"
    else:
        yield f"coverage        {found.share:.2f}"
        for name, phases in (("found", found.found), ("missing", found.missing), ("not expected", found.not_expected)):
            yield f"  {name:14}{', '.join(phases) or '-'}"
    for doubt in version_doubts(info.version):
        yield f"warning         {doubt}"


def _shortened(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
