"""Log lines -> what each rank said about each phase of its start. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.startup.log import LogLine
from bench.startup.rules import RULES
from bench.startup.screen import may_tell

GIB = {"Byte": 1 / 1024**3, "Bytes": 1 / 1024**3, "KiB": 1 / 1024**2, "MiB": 1 / 1024, "GiB": 1.0, "TiB": 1024.0}

TEXT_FIELDS = {"version"}


@dataclass(frozen=True)
class Reading:
    """What one line told. `values` holds fields named with their unit: duration_s, memory_gib, size_gib, rate_gib_per_s,
    tokens, max_concurrency.
    """

    phase: str
    rank: str | None
    line: LogLine
    values: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A stretch of a start, in seconds since exec. `rank` is None for what is not one rank's own."""

    name: str
    rank: str | None
    started_at_s: float
    ended_at_s: float

    @property
    def duration_s(self) -> float:
        return self.ended_at_s - self.started_at_s


def read_phases(lines: Iterable[LogLine]) -> list[Reading]:
    """Everything that the rules find, in the order of the log."""
    return [reading for line in lines if may_tell(line.text) for reading in _readings(line)]


def _readings(line: LogLine) -> Iterable[Reading]:
    for rule in RULES:
        if (found := rule.pattern.search(line.text)) and line.is_whole(found.end()):
            groups = found.groupdict()
            texts = {name: groups.pop(name) for name in TEXT_FIELDS & groups.keys()}
            yield Reading(rule.phase, line.rank, line, _in_gib(groups), texts)


def _in_gib(groups: dict[str, str]) -> dict[str, float]:
    values = {name: float(text.replace(",", "")) for name, text in groups.items() if not name.endswith("_unit")}
    if "size" in values:
        values["size_gib"] = values.pop("size") * GIB[groups["size_unit"]]
        values["rate_gib_per_s"] = values.pop("rate") * GIB[groups["rate_unit"]]
    return values


# What opens each of these is the text of another line, since vLLM prints no duration for it.
MILESTONES = (
    ("api_server", "non-default args"),
    ("engine_core", "Initializing a V"),
    ("worker", ("Starting to load model", "Loading model from scratch")),
)


def timeline(
    lines: Iterable[LogLine], readings: Iterable[Reading], ready_s: float | None, first_token_s: float | None
) -> list[Phase]:
    """The stretches of a start that its stamped log can place in time, for the figure.

    A phase ends where its line was printed and began its duration earlier. The imports of the API server, the engine core
    and the workers run one after the other, and end at the first line that each prints of its own. Without stamps: empty.
    """
    phases = [phase for reading in readings if (phase := _placed(reading))]
    phases += _imports(list(lines))
    if ready_s is not None and first_token_s is not None:
        phases.append(Phase("first_token", None, ready_s, first_token_s))
    return sorted(phases, key=lambda phase: (phase.started_at_s, phase.name, phase.rank or ""))


def _placed(reading: Reading) -> Phase | None:
    ended_s, duration_s = reading.line.elapsed_s, reading.values.get("duration_s")
    if ended_s is None or duration_s is None or reading.phase == "ready":
        return None
    return Phase(reading.phase, reading.rank, max(0.0, ended_s - duration_s), ended_s)


def _imports(lines: list[LogLine]) -> list[Phase]:
    phases = []
    began_s = 0.0
    for name, markers in MILESTONES:
        texts = (markers,) if isinstance(markers, str) else markers
        ended_s = next((line.elapsed_s for line in lines if any(text in line.text for text in texts)), None)
        if ended_s is not None and ended_s >= began_s:
            phases.append(Phase(f"start_{name}", None, began_s, ended_s))
            began_s = ended_s
    return phases
