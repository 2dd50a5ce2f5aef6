"""The tree of a start -> a trace file that ui.perfetto.dev and chrome://tracing open. Pure, but for writing it.

Source: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.masking import private
from bench.start.files import TRACE
from bench.start.record import Startup
from bench.start.trace import TraceSpan, trace_of

START = 1  # the pid that the start itself goes by: init's, which none of vLLM's processes has
PID_MAX = 2**22  # Linux gives none above; what only the log has goes by one

Event = dict[str, Any]


def write_trace(startup: Startup, folder: Path) -> Path | None:
    """trace.json in `folder`, or None where nothing of the start can be placed in time."""
    tree = trace_of(startup)
    if tree is None:
        return None
    path = folder / TRACE
    private(path).write_text(json.dumps(perfetto(tree)), encoding="utf-8")
    return path


def perfetto(tree: TraceSpan) -> dict[str, Any]:
    """The whole tree, in microseconds since exec. vLLM's processes are processes there too, in the order of their start."""
    owned: dict[int, list[TraceSpan]] = {}
    _share_out(tree, START, owned, itertools.count(PID_MAX + 1))
    events = [_mark(name, at_s) for name, at_s in tree.marks.items()]
    for order, (pid, spans) in enumerate(owned.items()):
        events.append(_named("process_name", pid, name=spans[0].name))
        events.append(_named("process_sort_index", pid, sort_index=order))
        events += [_complete(span, pid, lane) for lane, span in _lanes(spans)]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _share_out(span: TraceSpan, pid: int, owned: dict[int, list[TraceSpan]], unnumbered: Iterator[int]) -> None:
    """The spans of each process, itself first."""
    owned.setdefault(pid, []).append(span)
    for child in span.children:
        own = int(child.attributes.get("pid") or next(unnumbered)) if child.kind == "process" else pid
        _share_out(child, own, owned, unnumbered)


def _lanes(spans: Iterable[TraceSpan]) -> Iterator[tuple[int, TraceSpan]]:
    """Each on the first lane where it lies within what is going on there, since on one lane spans may only nest."""
    lanes: list[list[TraceSpan]] = []
    for span in sorted(spans, key=lambda each: (each.started_s, -each.ended_s)):
        for lane in lanes:
            while lane and lane[-1].ended_s <= span.started_s:
                lane.pop()
        fitting = [place for place, lane in enumerate(lanes) if not lane or span.ended_s <= lane[-1].ended_s]
        if not fitting:
            lanes.append([])
        place = fitting[0] if fitting else len(lanes) - 1
        lanes[place].append(span)
        yield place + 1, span


def _complete(span: TraceSpan, pid: int, lane: int) -> Event:
    began, ended = _micro(span.started_s), _micro(span.ended_s)
    where = {"pid": pid, "tid": lane, "ts": began, "dur": ended - began}
    return {"ph": "X", "name": span.name, "cat": span.kind, "args": dict(span.attributes)} | where


def _mark(name: str, at_s: float) -> Event:
    """A line across all processes."""
    return {"ph": "i", "name": name, "cat": "mark", "pid": START, "tid": 1, "ts": _micro(at_s), "s": "g"}


def _named(what: str, pid: int, **arguments: str | int) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": 1, "ts": 0, "args": arguments}


def _micro(seconds: float) -> int:
    """Whole ones, so that what nests in seconds nests here."""
    return round(seconds * 1e6)
