"""Words of the command line -> log files, and the starts of vLLM that were recorded in them."""

import sys
from dataclasses import dataclass, replace
from glob import glob, has_magic
from itertools import chain, pairwise
from pathlib import Path

from bench.errors import LogError
from bench.log.exports import readable
from bench.log.files import BLOCK_BYTES, BYTES_AT_MOST, log_lines
from bench.log.server_info import ServerInfo
from bench.log.side_by_side import apart
from bench.log.start_log import StartLog
from bench.log.starts import starts_of

STDIN = "-"
PACKED = {".gz", ".zst"}
MOST_STARTS = 200  # of one file, each of which becomes a run


@dataclass(frozen=True)
class LogFile:
    """A log, and where its bytes are: those of standard input are put into a file, so that they can be read again; and so is a log that
    had to be changed to be read.
    """

    name: str  # as it was given
    path: Path
    changes: tuple[str, ...] = ()  # what was found in it: newest first
    point: str | None = None  # whose starts it holds, as it was given; None: that is not said

    @property
    def stem(self) -> str:
        """The name without folder and ending, and without that of what packed it."""
        path = Path(self.name)
        return "stdin" if self.name == STDIN else Path(path.stem if path.suffix in PACKED else path.name).stem


@dataclass(frozen=True)
class Recording:
    """One start in a log."""

    file: LogFile
    number: int  # of the start in its file, from 1
    is_alone: bool  # there is no other in its file
    log: StartLog


def expanded(words: list[str]) -> list[str]:
    """The files that these words mean, each once, in their order; a pattern's by name. What is there by its name is no pattern.

    Raises:
        LogError: a pattern fits no file.
    """
    return list(dict.fromkeys(name for word in words for name in _meant_by(word)))


def _meant_by(word: str) -> list[str]:
    if word == STDIN or not has_magic(word) or Path(word).exists():
        return [word]
    if found := sorted(glob(word, recursive=True)):  # noqa: PTH207 - that of Path takes no absolute pattern
        return found
    raise LogError(f"{word}: no file has a name like this.")


def log_file(name: str, place: Path, point: str | None = None) -> LogFile:
    """The file of this name. What comes from standard input is put into `place`, and so is what cannot be read as it lies there.

    Raises:
        LogError: it cannot be read.
    """
    path = Path(name) if name != STDIN else _stdin(place)
    return LogFile(name, *readable(path, name, place), point)


def _stdin(place: Path) -> Path:
    path = place / "stdin"
    left = BYTES_AT_MOST
    with path.open("wb") as file:
        while block := sys.stdin.buffer.read(BLOCK_BYTES):
            file.write(block)
            left -= len(block)
            if left < 0:
                raise LogError(
                    f"standard input is longer than {BYTES_AT_MOST >> 30} GiB. Cut out the start that is wanted."
                )
    return path


def recordings_in(file: LogFile, start: int | None) -> list[Recording]:
    """The starts in a log of which anything was read, or only that of this number. The file is read once, in little memory.

    Raises:
        LogError: it cannot be read, has no line about a start of vLLM, has too many of them, or fewer than that.
    """
    found: list[Recording] = []
    count = 0
    lines = log_lines(file.path, file.name)
    starts = starts_of(lines, is_selected=lambda each: each in {start - 1, start} if start else each <= MOST_STARTS)
    for count, (log, following) in enumerate(pairwise(chain(starts, [None])), 1):
        assert log is not None
        is_alone = count == 1 and following is None
        if log.is_selected and _has_facts(log):
            found.append(Recording(file, log.number, is_alone=is_alone, log=log))
        if start == log.number:
            break
    else:
        _check_count(file, start, count)
    found.sort(key=lambda recording: recording.number)
    logs = apart([each.log for each in found])
    found = [replace(each, log=log) for each, log in zip(found, logs, strict=True) if start in {None, log.number}]
    if not found:
        raise LogError(f"{file.name}: no line of this {'file' if start is None else 'start'} is about a start of vLLM.")
    return found


def _check_count(file: LogFile, start: int | None, count: int) -> None:
    if start is not None:
        raise LogError(f"{file.name}: there is no start={start}: {_count(count)} in this file.")
    if count > MOST_STARTS:
        raise LogError(f"{file.name}: {_count(count)} in this file, too many to be one sweep. Choose one:  start=N")


def _has_facts(log: StartLog) -> bool:
    return bool(log.readings) or log.ending.reason is not None or log.info != ServerInfo()


def _count(number: int) -> str:
    return f"there {'is' if number == 1 else 'are'} {number:,} {'start' if number == 1 else 'starts'}"
