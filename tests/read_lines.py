"""Lines as tests write them -> what bench reads in them."""

from collections.abc import Iterable

from bench.startup.around import Around
from bench.startup.capture import Piece, plain
from bench.startup.log import LogLine, parsed
from bench.startup.said import Listener, Said


def parse_line(text: str, number: int = 1) -> LogLine:
    """One line without its end."""
    return parsed(Piece(number, Around().taken_off(plain(text))))


def said_in(lines: Iterable[LogLine]) -> Said:
    """What these lines of one start say."""
    listener = Listener()
    for line in lines:
        listener.see(line)
    return listener.said()
