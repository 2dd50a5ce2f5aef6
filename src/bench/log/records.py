"""A record of a collector's, in JSON or logfmt -> its text, its time, and whose it is. Pure.

Sources: Docker's json-file driver (`log`, `stream`, `time`; a line above 16 KiB comes in several records, of which only the last
ends it); vLLM 0.32.0, `--logging-config.formatter json` (logging_utils/formatter.py: asctime, levelname, name, processName, process,
message, and exc_info where there is one); journald's `-o json` (`MESSAGE`, a list of bytes where it has colours); Google's, Amazon's,
Azure's, Datadog's, Elastic's, Splunk's, Loki's and OpenTelemetry's exports, each of which has one text and one time a record.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TEXTS = (
    "log", "message", "msg", "MESSAGE", "textPayload", "@message", "line", "_raw", "body", "text", "content", "LogMessage", "LogEntry",
    "Log", "Message", "Line",
)  # fmt: skip
TIMES = (
    "timestamp", "@timestamp", "time", "ts", "_time", "datetime", "date", "timeUnixNano", "eventTime", "TimeGenerated",
    "__REALTIME_TIMESTAMP", "receiveTimestamp", "asctime", "Date", "Time", "Timestamp",
)  # fmt: skip
INSIDE = ("jsonPayload", "_source", "result", "attributes", "body", "event", "data")  # objects that hold the text
PODS = ("pod_name", "pod", "podName")
OF_PODS = ("resource", "kubernetes", "labels", "k8s")  # objects that hold the pod's name, or one that does
NAMES = ("field", "name", "key")  # of a field, where a record is a list of them
DEPTH = 3
VLLMS_TIME = re.compile(r"\d{4}-(\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")

WRITTEN_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?")
EPOCH = re.compile(r"(\d{9,11})(\d{3}|\d{6}|\d{9})?(?:\.\d+)?")
FIELD = r"""[A-Za-z_@][\w.@-]{0,60}=(?:"(?:[^"\\]|\\.)*+"|[^\s"]*+)"""
LOGFMT = re.compile(rf"(?:{FIELD} ){{1,40}}{FIELD}\s*")
OF_LOGFMT = re.compile(FIELD)
ESCAPED = re.compile(r"\\(.)")
SPLIT_BYTES = 16_000  # Docker divides longer lines


@dataclass(frozen=True)
class Record:
    """A record and its text. `unfinished`: the line goes on in another record."""

    fields: dict[str, Any]
    text: str
    stream: str = ""
    unfinished: bool = False

    @property
    def time(self) -> str:
        """As RFC 3339 writes it, in whatever zone it was written; empty: it has none that can be read."""
        return next(filter(None, (_rfc3339(self.fields.get(name)) for name in TIMES)), "")

    @property
    def pod(self) -> str:
        """The name of the pod that printed it; empty: it is not there."""
        return _pod(self.fields, DEPTH)


def read_json(line: str) -> Record | None:
    """None where the line is no record of a log: it stays as it is."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record_of(fields)


def read_logfmt(line: str) -> Record | None:
    """`time=… level=info msg="…"`. None where the line is something else, or has no text."""
    if not LOGFMT.fullmatch(line):
        return None
    pairs = (field.partition("=") for field in OF_LOGFMT.findall(line))
    fields = {name: ESCAPED.sub(_unescaped, value[1:-1]) if value[:1] == '"' else value for name, _, value in pairs}
    text = text_in(fields)
    return None if text is None or not {"level", "lvl", "severity", *TIMES} & fields.keys() else Record(fields, text)


def record_of(fields: Any) -> Record | None:
    """None where these are no fields of a record of a log. Some exports list them: objects of a name and a value each."""
    fields = _named(fields) if isinstance(fields, list) else fields
    if not isinstance(fields, dict):
        return None
    text = text_in(fields)
    if text is None:
        return None
    stream = fields.get("stream")
    is_dockers = isinstance(fields.get("log"), str) and isinstance(stream, str) and bool(stream)
    return Record(fields, text, str(stream or ""), unfinished=is_dockers and not text.endswith("\n"))


def _named(pairs: list[Any]) -> dict[str, Any] | None:
    """The fields that a list has, as Amazon's `get-query-results` writes each record. None: it is another list."""
    names = [
        next((each[key] for key in NAMES if isinstance(each.get(key), str)), None) if isinstance(each, dict) else None
        for each in pairs
    ]
    if not pairs or None in names or not all("value" in each for each in pairs):
        return None
    return {str(name): each["value"] for name, each in zip(names, pairs, strict=True)}


def text_in(fields: dict[str, Any], depth: int = DEPTH) -> str | None:
    """What was printed, of the fields of a record."""
    for name in TEXTS:
        value = fields.get(name)
        if isinstance(value, str):
            return value
        if name == "MESSAGE" and isinstance(value, list) and all(isinstance(each, int) and 0 <= each < 256 for each in value):  # fmt: skip  # noqa: PLR2004
            return bytes(value).decode(errors="replace")
        if name == "body" and isinstance(value, dict) and isinstance(value.get("stringValue"), str):
            return str(value["stringValue"])
    inside = (fields[name] for name in INSIDE if isinstance(fields.get(name), dict)) if depth else ()
    return next((text for each in inside if (text := text_in(each, depth - 1)) is not None), None)


def texts_of(record: Record, text: str) -> list[str]:
    """The lines of a record, each with process, level and time in front of it. It may hold one of vLLM's."""
    fields = record.fields
    if text.startswith("{") and (inner := read_json(text)):
        return texts_of(inner, inner.text)
    trace = fields.get("exc_info")
    return [_before(fields) + line for line in [*_lines(text), *(_lines(trace) if isinstance(trace, str) else [])]]


def _lines(text: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def _before(fields: dict[str, Any]) -> str:
    """What vLLM's own formatter puts in fields and its usual one in front of the text."""
    pid, process = fields.get("process"), re.sub(r"[^\w-]", "_", str(fields.get("processName") or "Process"))
    who = f"({process} pid={pid}) " if isinstance(pid, int) and not isinstance(pid, bool) and pid >= 0 else ""
    level, time = fields.get("levelname"), VLLMS_TIME.match(str(fields.get("asctime")))
    if not isinstance(level, str) or not time:
        return who
    return f"{who}{level} {time[1]} {time[2]} [{fields.get('name', 'vllm')}] "


def _pod(fields: dict[str, Any], depth: int) -> str:
    for name in PODS:
        if isinstance(value := fields.get(name), str) and value:
            return value
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return str(value["name"])
    inside = (fields[name] for name in OF_PODS if isinstance(fields.get(name), dict)) if depth else ()
    return next(filter(None, (_pod(each, depth - 1) for each in inside)), "")


def _rfc3339(value: Any) -> str:
    text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    if found := WRITTEN_TIME.match(text):
        return f"{found[1]}T{found[2]}.{(found[3] or '0')[:9]}Z"
    if not (found := EPOCH.fullmatch(text)):
        return ""
    return f"{datetime.fromtimestamp(int(found[1]), UTC):%Y-%m-%dT%H:%M:%S}.{found[2] or '0'}Z"


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1])
