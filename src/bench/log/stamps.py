"""The times that vLLM prints, which have no year: from one to another. Pure."""

import re
from datetime import datetime

from bench.log.unwrap import LEVELS

STAMP = re.compile(rf"(?:{'|'.join(LEVELS)}) (?P<time>\d\d-\d\d \d\d:\d\d:\d\d) ")
# Of a year with a 29th of February, and the next.
YEAR, NEXT = 2000, 2001


def stamp_of(text: str) -> str | None:
    """When vLLM printed a line, of the text of a record. None: it is no record, or has no such time."""
    found = STAMP.match(text)
    return found["time"] if found else None


def elapsed_s(first: str, last: str) -> float | None:
    """From one stamp to a later one, which may be of the next year. None: they are no times."""
    try:
        begin, end = (_time(stamp, YEAR) for stamp in (first, last))
        end = end if end >= begin else _time(last, NEXT)
    except ValueError:
        return None
    return (end - begin).total_seconds()


def _time(stamp: str, year: int) -> datetime:
    return datetime.strptime(f"{year}-{stamp}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - vLLM prints no zone
