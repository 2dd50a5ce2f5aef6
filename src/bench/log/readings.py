"""Log lines -> the numbers that each rank printed about each phase of its start. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from bench.log.filter import Found
from bench.log.lines import LogLine
from bench.log.texts import TEXT_FIELDS, Rule

# What a printed unit is in GiB. Where vLLM prints GB and means GiB, the rule has no unit to convert.
GIB = {"byte": 1 / 1024**3, "bytes": 1 / 1024**3}
GIB |= {f"{prefix}iB": 1024.0 ** (power - 3) for power, prefix in enumerate("KMGTP", 1)}
GIB |= {f"{prefix}B": 1000.0**power / 1024**3 for power, prefix in enumerate("KMGTP", 1)}

V0_WORKER = "VllmWorkerProcess"  # every rank but the first, which is the engine's process and has no name

CUT = "cut"  # in place of the phase: a number was cut off in this line. Its texts hold the phase of each field

# Rank, node and who it is there: pids of two nodes can be the same.
Process = tuple[str | None, str | None, int | str | None]


@dataclass(frozen=True)
class Reading:
    """What was read in one line. `values` holds fields named with their unit: duration_s, memory_gib, size_gib, rate_gib_per_s,
    tokens, max_concurrency.
    """

    phase: str
    rank: str | None
    line: LogLine
    values: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    process: Process = (None, None, None)  # whose line it is, as far as that is known when all lines are there


def added_up(
    found: Iterable[tuple[Rule, Reading]], *, one_rank: bool, is_of_many: Callable[[LogLine], bool] = lambda _: False
) -> list[Reading]:
    """What the rules found in the lines of one start, each number what its line adds. `one_rank`: there is no other, by the log.
    `is_of_many`: whether the process in front of a line has others in it, which may have printed the line.
    """
    found = list(_each_once(found))
    readings = [reading for _, reading in found]
    together = drafted(readings) and (one_rank or any(reading.line.process == V0_WORKER for reading in readings))
    return list(_apart(_each_of_a_process(found, together=together, is_of_many=is_of_many)))


def drafted(readings: Iterable[Reading]) -> bool:
    """Whether a second model, the drafter of speculative decoding, is loaded and compiled after the first. One that looks for its
    guesses in the text so far has none, and prints that in words of a drafter.
    """
    phases = {reading.phase for reading in readings}
    return "drafter" in phases and "ngram" not in phases


def _each_of_a_process(
    found: Iterable[tuple[Rule, Reading]], *, together: bool, is_of_many: Callable[[LogLine], bool]
) -> Iterator[tuple[Rule, Reading]]:
    """Each with the process whose line it is.

    Lines of vLLM without a process are one process's where a second model explains that there are several, and the log shows
    that there is one rank, or the others of the V0 engine have their names. Else, and the streamer's always, each stands for
    itself: they may be those of several ranks, whose names were cut off.
    """
    seen = Counter[tuple[Rule, int, str]]()  # the number of a line is not its own: bare carriage returns end none
    owners: dict[tuple[int, str, int], int] = {}
    for rule, reading in found:
        line = reading.line
        who = line.who
        if reading.rank is None and (who is None or is_of_many(line)) and (reading.phase == "stream" or not together):
            seen[rule, line.number, line.raw] += 1
            who = owners.setdefault((line.number, line.raw, seen[rule, line.number, line.raw]), -1 - len(owners))
        yield rule, replace(reading, process=(reading.rank, line.node, who))


def is_nameless(process: Process) -> bool:
    """Whether it is one line's own, since nobody knows whose that is."""
    return isinstance(process[2], int) and process[2] < 0


def _each_once(found: Iterable[tuple[Rule, Reading]]) -> Iterator[tuple[Rule, Reading]]:
    """Each line of a process once: Ray shows what a worker prints, and what the engine and a replica show of it, and a captor may write
    all twice; they would add up. A repeat has the same text, time included where there is one, and is of the same process, whatever
    that is called. The same behind the mark of a drafter is another one: two small models can take as long within a second.
    """
    shown: dict[tuple[Rule, str, int | str, str], dict[str, list[int]]] = {}
    marks: Counter[int | str] = Counter()  # of drafters, by process
    for rule, reading in found:
        line = reading.line
        if line.who is not None:
            ways = shown.setdefault((rule, line.node or "", line.who, line.text), {})
            most = max(map(len, ways.values()), default=0)
            seen_at = ways.setdefault(line.raw, [])  # the marks at which it was shown in this way
            mark = marks[line.who]
            if mark in seen_at:
                continue
            seen_at.append(mark)
            marks[line.who] += reading.phase == "drafter"
            if len(seen_at) <= most:
                continue
        yield rule, reading


def readings_of(line: LogLine, found: Found) -> Iterator[tuple[Rule, Reading]]:
    """What rules find in a line, as it is printed there. Two different numbers in one line are of two records: neither is taken. What was
    cut off is said to have been there.
    """
    for rule in found.rules:
        match = rule.search(line.text)
        if match is None:
            continue
        other = rule.pattern.search(line.text, match.end())
        if (other and other.groups() != match.groups()) or not line.is_whole(match.end()):
            yield rule, _cut(rule, line)
            continue
        groups = {name: value for name, value in match.groupdict().items() if value is not None}
        texts = {name: groups.pop(name) for name in TEXT_FIELDS & groups.keys()}
        yield rule, Reading(rule.phase, line.rank, line, _in_gib(groups), texts)
    for rule in found.cut:
        yield rule, _cut(rule, line)


def _cut(rule: Rule, line: LogLine) -> Reading:
    return Reading(CUT, line.rank, line, texts=dict.fromkeys(rule.fields, rule.phase))


def _in_gib(groups: dict[str, str]) -> dict[str, float]:
    values = {name: float(text.replace(",", "")) for name, text in groups.items() if not name.endswith("_unit")}
    if "size" in values:
        values["size_gib"] = values.pop("size") * _unit(groups["size_unit"])
        values["rate_gib_per_s"] = values.pop("rate") * _unit(groups["rate_unit"])
    return values


def _unit(printed: str) -> float:
    return GIB[printed.lower() if "yte" in printed else printed]


def _apart(found: Iterable[tuple[Rule, Reading]]) -> Iterator[Reading]:
    """What each line adds, where vLLM prints a number that counts on."""
    totals: dict[Process, float] = {}
    for rule, reading in found:
        if not rule.running or reading.phase == CUT:
            yield reading
            continue
        process, total_s = reading.process, reading.values["duration_s"]
        before_s = totals.get(process, 0.0)
        totals[process] = total_s
        added_s = round(total_s - before_s, 6) if total_s >= before_s else total_s
        yield replace(reading, values=reading.values | {"duration_s": added_s})
