"""Why a start failed, in one line of vLLM's own words. Pure.

A failing vLLM prints the same accident several times: the process that met it, then every process above it that lost
its child. The first exception that is not such an echo is the cause.
"""

import re
from collections.abc import Sequence

from bench.startup.log import LogLine

LENGTH = 300

SOURCE = re.compile(r"^(?:ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\] ?")
EXCEPTION = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure))(?:: ?(?P<message>.*))?$"
)
USAGE = re.compile(r"^(?:\S+ -m )?\S*(?:api_server|vllm)\S*(?: \w+)?: error: (?P<message>.+)$")
VALIDATION = re.compile(r"^\d+ validation errors? for \S+$")  # pydantic: the indented lines after it say what
REPLACED = "During handling of the above exception, another exception occurred"

# What a process says of a child that is gone, not of an accident of its own.
ECHOES = (
    "Engine core initialization failed",
    "WorkerProc initialization failed",
    "Engine process failed to start",
    "EngineCore encountered an issue",
    "See root cause above",
    "See stack trace",
)


def reason_in(lines: Sequence[LogLine]) -> str | None:
    """vLLM's own words for what went wrong, or None where it said nothing."""
    return _usage_error(lines) or _first_cause(lines, echoes=False) or _first_cause(lines, echoes=True)


def _usage_error(lines: Sequence[LogLine]) -> str | None:
    found = (USAGE.match(line.text.strip()) for line in lines)
    return next((_one_line(match["message"]) for match in found if match), None)


def _first_cause(lines: Sequence[LogLine], *, echoes: bool) -> str | None:
    for index, line in enumerate(lines):
        found = EXCEPTION.match(_bare(line).strip())
        if not found or any(echo in line.text for echo in ECHOES) != echoes:
            continue
        following = _following(lines, index)
        if any(text.startswith(REPLACED) for text in following[:3]):
            continue  # another exception came while this one was handled: that one ended the start
        kind, message = found["kind"].rpartition(".")[2], found["message"] or ""
        detail = _validation_detail(following) if VALIDATION.match(message) else ""
        return _one_line(": ".join(filter(None, [kind, message, detail])))
    return None


def _bare(line: LogLine) -> str:
    """Without vLLM's level, time and source; a traceback's indentation stays."""
    return SOURCE.sub("", line.text)


def _following(lines: Sequence[LogLine], index: int) -> list[str]:
    """The next lines of the same process that are not blank: ranks print between each other's lines."""
    same = (_bare(line) for line in lines[index + 1 : index + 20] if line.pid == lines[index].pid)
    return [text for text in same if text.strip()]


def _validation_detail(following: Sequence[str]) -> str:
    """The field and what is wrong with it, or only the latter where the whole model is wrong."""
    detail = []
    for text in following[:2]:
        if not text.startswith(" ") or "For further information" in text:
            break
        detail.append(text.strip().partition(" [type=")[0])
    return ": ".join(detail)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
