"""Text -> LogLine: who said it, when, and what. Pure.

A line of vLLM's log carries up to three things in front of its text: the stamp that bench put there (seconds since
exec), the processes that it came through, innermost last, and vLLM's own time and source. Only the first two are taken
off. Progress bars leave carriage returns and may have a log line glued behind, so rules search anywhere in a line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

STAMP = re.compile(r"^ *(\d+\.\d{3}) ")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROCESS = re.compile(r"^\((?P<name>[A-Za-z][\w-]*)(?: (?P<rank>TP\d+|rank=\d+))? pid=(?P<pid>\d+)\) ?")
RANK_IN_NAME = re.compile(r"(?:^|_)(TP\d+)(?:_|$)")
ASSIGNED = re.compile(r"rank \d+ in world size \d+ is assigned as .*\bTP rank (?P<tp>\d+)")


@dataclass(frozen=True)
class LogLine:
    """One line. None is what the line does not say: no stamp, no process, no rank."""

    number: int  # in the file, from 1
    elapsed_s: float | None  # since exec
    process: str | None  # as printed, the innermost: Worker_TP0, EngineCore
    pid: int | None
    rank: str | None  # TP0
    text: str
    raw: str  # as printed, without bench's stamp


def read_log(lines: Iterable[bytes]) -> list[LogLine]:
    """All lines of a log, the rank filled in where another line of the same process tells it."""
    read = list(_parse_all(lines))
    ranks = {line.pid: line.rank for line in read if line.pid and line.rank}
    ranks |= {line.pid: rank for line in read if line.pid and line.pid not in ranks and (rank := _assigned(line.text))}
    return [replace(line, rank=line.rank or ranks.get(line.pid)) if line.pid else line for line in read]


def _parse_all(lines: Iterable[bytes]) -> Iterator[LogLine]:
    for number, raw in enumerate(lines, 1):
        for piece in raw.decode(errors="replace").rstrip("\r\n").split("\r"):
            if piece.strip():
                yield parse_line(piece, number)


def parse_line(text: str, number: int = 1) -> LogLine:
    """One line without its end."""
    text = ANSI.sub("", text)
    elapsed_s = None
    if stamp := STAMP.match(text):
        elapsed_s, text = float(stamp[1]), text[stamp.end() :]
    raw = text
    name = pid = rank = None
    while found := PROCESS.match(text):
        name, pid = found["name"], int(found["pid"])
        rank = _rank(found) or rank
        text = text[found.end() :]
    return LogLine(number, elapsed_s, name, pid, rank, text, raw)


def _rank(found: re.Match[str]) -> str | None:
    if in_name := RANK_IN_NAME.search(found["name"]):
        return in_name[1]
    return found["rank"].replace("rank=", "TP") if found["rank"] else None


def _assigned(text: str) -> str | None:
    found = ASSIGNED.search(text)
    return f"TP{found['tp']}" if found else None
