"""A line that is a record of JSON -> the lines in it, written as vLLM writes them without JSON. Pure.

Sources: Docker's json-file driver (`log`, `stream`, `time`; a line above 16 KiB comes in several records, of which only the
last ends it); vLLM 0.32.0, `--logging-config.formatter json` (logging_utils/formatter.py: asctime, levelname, name,
processName, process, message, and exc_info where there is one); journald's `-o json` (`MESSAGE`).
"""

import json
import re
from dataclasses import dataclass
from typing import Any

TEXTS = ("message", "msg", "MESSAGE")
TIME = re.compile(r"\d{4}-(\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


@dataclass(frozen=True)
class Json:
    """A record and its text. `unfinished`: the line goes on in another record."""

    fields: dict[str, Any]
    text: str
    stream: str = ""
    unfinished: bool = False


def read_json(line: str) -> Json | None:
    """None where the line is no record of a log: it stays as it is."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    if isinstance(log := fields.get("log"), str):
        stream = str(fields.get("stream", ""))
        return Json({}, log, stream, unfinished=bool(stream) and not log.endswith("\n"))
    text = next((fields[name] for name in TEXTS if isinstance(fields.get(name), str)), None)
    return None if text is None else Json(fields, text)


def json_texts(record: Json, text: str) -> list[str]:
    """The lines of a record, each with process, level and time in front of it. Docker's record may hold one of vLLM's."""
    if not record.fields:
        inner = read_json(text) if text.startswith("{") else None
        return json_texts(inner, inner.text) if inner and inner.fields else _lines(text)
    before = _before(record.fields)
    trace = record.fields.get("exc_info")
    return [before + line for line in [*_lines(text), *(_lines(trace) if isinstance(trace, str) else [])]]


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def _before(fields: dict[str, Any]) -> str:
    pid, process = fields.get("process"), re.sub(r"[^\w-]", "_", str(fields.get("processName") or "Process"))
    who = f"({process} pid={pid}) " if isinstance(pid, int) and not isinstance(pid, bool) and pid >= 0 else ""
    level, time = fields.get("levelname"), TIME.match(str(fields.get("asctime")))
    if not isinstance(level, str) or not time:
        return who
    return f"{who}{level} {time[1]} {time[2]} [{fields.get('name', 'vllm')}] "
