"""Servers that printed into one log at the same time, with nothing in front of their lines that names the server. Pure.

Whose an engine's line is follows from where it stands, so numbers of one were taken for the other's: none is kept of either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from bench.log.lines import LogLine
from bench.log.outcome import Ending
from bench.log.server_info import ServerInfo
from bench.log.start_log import StartLog
from bench.log.texts.server_info import begins_front

MIXED = "another vLLM prints into this log at the same time, and whose each line is does not show: no number is taken"
ENGINE = "EngineCore"
SINGLE = ("APIServer", ENGINE)  # of which a start without data parallelism has one process each

Process = tuple[str, int]  # name and pid


def apart(starts: Sequence[StartLog]) -> list[StartLog]:
    """The starts of one log, those without their numbers that another one's lines are among."""
    mixed = {at for at, each in enumerate(starts) if _has_two_of_a_kind(each)}
    processes = [set(_processes(each)) for each in starts]
    near = [(at, at + 1) for at, (one, other) in enumerate(pairwise(starts)) if one.source == other.source]
    mixed |= {at for pair in near if _is_one_front(*(starts[at] for at in pair)) for at in pair}
    for pair in [*near, *reversed(near)]:
        if mixed & {*pair} and processes[pair[0]] & processes[pair[1]]:
            mixed |= {*pair}
    return [_without_facts(each) if at in mixed else each for at, each in enumerate(starts)]


def _has_two_of_a_kind(start: StartLog) -> bool:
    """Whether two processes have the name of a single one."""
    names = [name for name, _ in set(_processes(start))]
    return start.info.data_parallel_size in {None, 1} and len(set(names)) < len(names)


def _is_one_front(first: StartLog, second: StartLog) -> bool:
    """Whether the first has the front of a server and an engine, and the second another engine and no front."""
    engines = [{pid for name, pid in _processes(each) if name == ENGINE} for each in (first, second)]
    fronts = [any(begins_front(line.text) for line in each.info_lines) for each in (first, second)]
    return all(engines) and not engines[0] & engines[1] and fronts == [True, False]


def _processes(start: StartLog) -> Iterator[Process]:
    """Those of one node that printed what was read, each by itself: behind the name of an actor there may be several servers."""
    for line in _lines(start):
        is_by_itself = not line.hosts and not line.node
        if line.process in SINGLE and line.pid is not None and is_by_itself:
            yield line.process, line.pid


def _lines(start: StartLog) -> list[LogLine]:
    return [*start.info_lines, *(reading.line for reading in start.readings)]


def _without_facts(start: StartLog) -> StartLog:
    place = StartLog(
        number=start.number, source=start.source, first_number=start.first_number, last_number=start.last_number
    )
    return replace(place, info=ServerInfo(version=start.info.version), ending=Ending("incomplete", MIXED), reason=MIXED)
