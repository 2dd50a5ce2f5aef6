"""Lines as tests write them -> what bench reads in them."""

from collections.abc import Iterable

from bench.log.around import Around
from bench.log.capture import Piece, plain
from bench.log.lines import LogLine, parsed
from bench.log.said import Listener, Said


def parse_line(text: str, number: int = 1) -> LogLine:
    """One line without its end."""
    return parsed(Piece(number, Around().taken_off(plain(text))))


def said_in(lines: Iterable[LogLine]) -> Said:
    """What these lines of one start say."""
    listener = Listener()
    for line in lines:
        listener.see(line)
    return listener.said()
