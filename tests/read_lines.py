"""Lines as tests write them -> what bench reads in them, each line looked at."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from bench.log.filter import found_in
from bench.log.lines import LogLine, Ranks, parsed
from bench.log.outcome import Ending
from bench.log.pieces import LOOKED_AT, Piece, PieceReader, numbered
from bench.log.readings import Reading
from bench.log.server_info import InfoReader, ServerInfo
from bench.log.start_log import StartLog, StartReader
from bench.log.texts import Rule
from bench.log.texts.phases import RULES
from bench.log.unwrap import Wrapping, plain


def pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """All that was printed, in order. Blank lines are left out and counted."""
    reader, lines = PieceReader(), iter(lines)
    first = list(islice(lines, LOOKED_AT))
    reader.learn(first)
    number = 0
    for number, raw in numbered(chain(first, lines)):
        yield from reader.pieces_of(number, raw)
    yield from reader.rest(number)


def parse_line(text: str, number: int = 1) -> LogLine:
    """One line without its end."""
    return parsed(Piece(number, Wrapping().taken_off(plain(text))))


def read_log(content: Iterable[bytes]) -> list[LogLine]:
    """The lines of a log of one start, the rank filled in where another line of the same process has it."""
    lines = [parsed(piece) for piece in pieces(content)]
    ranks = Ranks(lines)
    return [replace(line, rank=ranks.of(line)) for line in lines]


def start_log_of(lines: Iterable[LogLine]) -> StartLog:
    """All facts of the start that these lines are of."""
    reader = StartReader(1, 1, is_ours=True)
    for line in lines:
        reader.see(line, found_in(line.text))
    return reader.start_log()


def read_phases(lines: Iterable[LogLine]) -> list[Reading]:
    return start_log_of(lines).readings


def ending_of(lines: Iterable[LogLine]) -> Ending:
    return start_log_of(lines).ending


def reason_in(lines: Iterable[LogLine]) -> str | None:
    return start_log_of(lines).reason


def milestones_of(lines: Iterable[LogLine]) -> list[LogLine]:
    return start_log_of(lines).milestones


def info_in(lines: Iterable[LogLine]) -> ServerInfo:
    """What these lines of one start hold about it, by the reader of that alone."""
    reader = InfoReader()
    for line in lines:
        reader.see(line)
    return reader.info()


def rules_in(text: str) -> Iterator[tuple[Rule, re.Match[str]]]:
    """Each row that matches a text, tried one by one."""
    for rule in RULES:
        if found := rule.pattern.search(text):
            yield rule, found


def fields_in(text: str) -> Iterator[tuple[Rule, dict[str, str]]]:
    """The same, with what it found. What the line leaves out is absent."""
    for rule, found in rules_in(text):
        yield rule, {name: value for name, value in found.groupdict().items() if value is not None}


def fields_by_phase(text: str) -> dict[str, dict[str, str]]:
    """What all rows find in a text, by phase."""
    found: dict[str, dict[str, str]] = {}
    for rule, fields in fields_in(text):
        found.setdefault(rule.phase, {}).update(fields)
    return found
