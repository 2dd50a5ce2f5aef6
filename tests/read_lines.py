"""Lines as tests write them -> what bench reads in them, each line looked at."""

from collections.abc import Iterable
from dataclasses import replace

from bench.log.capture import Piece, pieces, plain
from bench.log.interest import interest_in
from bench.log.lines import LogLine, parsed
from bench.log.outcome import Ending
from bench.log.prefixes import Ranks
from bench.log.readings import Reading
from bench.log.server_info import InfoReader, ServerInfo
from bench.log.start_log import StartLog, StartReader
from bench.log.unwrap import Around


def parse_line(text: str, number: int = 1) -> LogLine:
    """One line without its end."""
    return parsed(Piece(number, Around().taken_off(plain(text))))


def read_log(content: Iterable[bytes]) -> list[LogLine]:
    """The lines of a log of one start, the rank filled in where another line of the same process has it."""
    lines = [parsed(piece) for piece in pieces(content)]
    ranks = Ranks(lines)
    return [replace(line, rank=ranks.of(line)) for line in lines]


def start_log_of(lines: Iterable[LogLine]) -> StartLog:
    """All facts of the start that these lines are of."""
    reader = StartReader(1, 1, is_ours=True)
    for line in lines:
        reader.see(line, interest_in(line))
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
