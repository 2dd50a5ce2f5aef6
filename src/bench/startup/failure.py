"""Why a start failed, in one line of vLLM's own words. Pure.

A failing vLLM prints the same accident several times: the process that met it, then every process above it that lost
its child. The first exception that is not such an echo is the cause.
"""

import re
from collections.abc import Sequence

from bench.startup.log import LogLine

LENGTH = 300

SOURCE = re.compile(r"^(?:ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\] ?")
EXCEPTION = re.compile(r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)): ?(?P<message>.*)$")
USAGE = re.compile(r"^\S*(?:api_server|vllm)\S*(?: \w+)?: error: (?P<message>.+)$")

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
    bare = [SOURCE.sub("", line.text).strip() for line in lines]
    return _usage_error(bare) or _first_cause(bare)


def _usage_error(texts: Sequence[str]) -> str | None:
    return next((_one_line(found["message"]) for text in texts if (found := USAGE.match(text))), None)


def _first_cause(texts: Sequence[str]) -> str | None:
    for index, text in enumerate(texts):
        found = EXCEPTION.match(text)
        if not found or any(echo in text for echo in ECHOES) or _was_replaced(texts, index):
            continue
        following = texts[index + 1] if index + 1 < len(texts) else ""
        # pydantic's first line only counts: "1 validation error for ModelConfig"; the next one says which.
        detail = f": {following}" if re.match(r"\d+ validation errors? for", found["message"]) else ""
        return _one_line(f"{found['kind'].rpartition('.')[2]}: {found['message']}{detail}")
    return None


def _was_replaced(texts: Sequence[str], index: int) -> bool:
    """True where Python says next that another exception came while this one was handled: that one is what ended the start."""
    following = next((text for text in texts[index + 1 : index + 4] if text), "")
    return following.startswith("During handling of the above exception, another exception occurred")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
