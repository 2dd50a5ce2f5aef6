"""The files that the probe wrote inside vLLM's processes -> ProbeReport. Pure, but for reading them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.errors import EvidenceError
from bench.host.byte_code import ByteCode
from bench.system.regular_files import read_at_most
from bench.vllm.probe_report import CLOCK_TICK_S, GIB, ProbeProcess, ProbeReport, RankSums, TensorSum
from bench.vllm.ran import ran_of
from bench.vllm.span import Facts, Memory, Span

# A process of vLLM leaves some kB, of about twenty spans.
BYTES_AT_MOST = 16 << 20  # of a file
FILES_AT_MOST = 4096
SPANS_AT_MOST = 1000
LONGEST_S = 1e7
LONGEST_MESSAGE = 200
NAMED_AT_MOST, MODULES_BELOW = 3, 1_000_000  # modules
BEGINNING = b'{"'  # of a line, however little of it is left

Event = dict[str, Any]


def read_events(folder: Path, exec_at_s: float, ended_s: float = LONGEST_S) -> ProbeReport:
    """Every process's file. `exec_at_s` is on CLOCK_MONOTONIC, as all that the probe writes. `ended_s`: seconds since then after which
    nothing can have happened.
    """
    processes: dict[int, ProbeProcess] = {}
    warnings, unreadable = [], []
    paths = sorted(folder.glob("*.jsonl"))
    if len(paths) > FILES_AT_MOST:
        unreadable.append(f"the probe left {len(paths):,} files, of which {FILES_AT_MOST:,} were read")
    for path in paths[:FILES_AT_MOST]:
        try:
            process = _read_process(path, exec_at_s, ended_s)
        except (EvidenceError, FileNotFoundError) as error:
            unreadable.append(f"{path.name} of the probe: {error}")
            continue
        if process is None:
            warnings.append(f"{path.name} of the probe does not say whose it is")
        elif process.pid in processes:
            unreadable.append(f"{path.name} of the probe: it is of pid {process.pid}, as another file")
        else:
            processes[process.pid] = process
    in_order = tuple(sorted(processes.values(), key=lambda each: each.imported_s))
    return ProbeReport(in_order, tuple(warnings), tuple(unreadable))


def _read_process(path: Path, exec_at_s: float, ended_s: float) -> ProbeProcess | None:
    """The process that wrote this file. None: the line that describes it was cut.

    Raises:
        EvidenceError: the probe does not write such a file.
    """
    events, doubts = _parse(path)
    first = next((event for event in events if event["event"] == "process"), None)
    if not first:
        return None
    try:
        return _checked(_process(first, events, doubts, exec_at_s), ended_s)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise EvidenceError(f"its events are not the probe's: {_shortened(error)}") from error


def _checked(process: ProbeProcess, ended_s: float) -> ProbeProcess:
    """The same, if its values have the types and the size that they are declared with, and nothing is later than `ended_s`.

    Raises:
        ValueError: names the one that is wrong.
    """
    spans = process.spans
    if len(spans) > SPANS_AT_MOST:
        raise ValueError(f"{len(spans):,} spans")
    times = [
        process.started_s,
        process.imported_s,
        *(each.start_s for each in spans),
        *(each.end_s for each in spans),
    ]
    if any(time is not None and not -CLOCK_TICK_S <= time <= ended_s for time in times):
        raise ValueError("a time lies before exec, after the end, or is no time")
    if any(each.until_s < each.start_s for each in spans):
        raise ValueError("a span ends before it begins")
    return _schema().validate_python(process)


@cache
def _schema() -> TypeAdapter[ProbeProcess]:
    return TypeAdapter(ProbeProcess)


def _shortened(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_MESSAGE]


def _parse(path: Path) -> tuple[list[Event], list[str]]:
    """The events, and what is doubtful about them. A line that a full disk or a kill has cut is left out.

    Raises:
        EvidenceError: a line is no event, nor the beginning of one.
    """
    data, more = read_at_most(path, BYTES_AT_MOST)
    events, cut = [], 0
    for number, line in enumerate(data.splitlines(), 1):
        try:
            event = json.loads(line)
            events.append(event | {"event": event["event"], "t": float(event["t"])})
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            if not line.startswith(BEGINNING):
                raise EvidenceError(f"its line {number} is no event of the probe") from error
            cut += 1
    doubts = [f"{cut} lines of its events are cut"] if cut else []
    return events, [
        *doubts,
        f"more than {BYTES_AT_MOST >> 20} MiB of events: the rest was not read",
    ] if more else doubts


def _process(first: Event, events: list[Event], doubts: list[str], exec_at_s: float) -> ProbeProcess:
    known = first
    for event in events:
        known = known | {name: event[name] for name in ("rank", "kind") if event["event"] == "rank" and name in event}
    started_s = first["started_s"]
    return ProbeProcess(
        pid=first["pid"],
        parent=first["parent"],
        kind=known["kind"],
        rank=known.get("rank"),
        started_s=None if started_s is None else started_s - exec_at_s,
        imported_s=first["imported_s"] - exec_at_s,
        spans=tuple(_spans(events, exec_at_s)),
        warnings=(*(event["text"] for event in events if event["event"] == "warning"), *doubts),
        sums=_sums(events),
        ran=ran_of(events, exec_at_s),
        byte_code=_byte_code(events),
    )


def _byte_code(events: list[Event]) -> ByteCode | None:
    """By the last report: a process that is engine core and worker makes two.

    Raises:
        ValueError: it is no count, or one of more than there is.
    """
    last = next((event for event in reversed(events) if event["event"] == "byte_code"), None)
    if last is None:
        return None
    known = {each.name: last[each.name] for each in fields(ByteCode) if each.name != "named"}
    found = ByteCode(**known, named=tuple(name[:LONGEST_MESSAGE] for name in last["named"][:NAMED_AT_MOST]))
    parts = (found.written, found.missing, found.stale, found.unwritable)
    if any(type(each) is not int or each < 0 for each in parts) or not found.compiled <= found.modules < MODULES_BELOW:
        raise ValueError("its modules are not counted")
    return found


def _sums(events: list[Event]) -> RankSums | None:
    ends = [event for event in events if event["event"] == "checksums"]
    found = [event for event in events if event["event"] == "tensor"]
    if not ends or len(found) != sum(event["tensors"] for event in ends):
        return None
    named = {f"{event['model'] + 1}:{event['name']}" if event["model"] else event["name"]: event for event in found}
    return RankSums(
        {name: TensorSum(each["dtype"], tuple(each["shape"]), each.get("digest")) for name, each in named.items()},
        {name: each["failed"] for name, each in named.items() if "failed" in each},
        gib=sum(event["bytes"] for event in ends) / GIB,
        duration_s=sum(event["duration_s"] for event in ends),
    )


def _spans(events: list[Event], exec_at_s: float) -> Iterator[Span]:
    ends = {event["span"]: event for event in events if event["event"] == "end"}
    delivered = {event["iterator"]: event for event in events if event["event"] == "delivered"}  # the last of each
    for begin in events:
        if begin["event"] == "begin":
            end = ends.get(begin["span"], {})
            facts = Facts(
                of=begin["of"],
                failed=end.get("failed"),
                read_bytes=_between(begin, end, "read_bytes"),
                before=_memory(begin),
                after=_memory(end) if end else None,
                **_delivered(each for each in delivered.values() if each["span"] == begin["span"]),
            )
            ended_s = end["t"] - exec_at_s if end else None
            yield Span(None, None, begin["name"], begin["t"] - exec_at_s, ended_s, "probe", facts)

    for event in delivered.values():
        if event["span"] is None:  # its loader is not measured
            facts = Facts(of=event["name"], **_delivered([event]))
            began_s, ended_s = event["began_s"] - exec_at_s, event["t"] - exec_at_s
            yield Span(None, None, "weights_iterator", began_s, ended_s, "probe", facts)


def _between(begin: Event, end: Event, name: str) -> int | None:
    return end[name] - begin[name] if name in begin and name in end else None


def _memory(event: Event) -> Memory:
    names = (each.name.removesuffix("_gib") for each in fields(Memory))
    sizes = {f"{name}_gib": event.get(f"{name}_bytes") for name in names}
    return Memory(**{name: None if size is None else size / GIB for name, size in sizes.items()})


def _delivered(found: Iterable[Event]) -> dict[str, Any]:
    """Iterators of other threads count only where the loading thread has none: those would feed this one."""
    every = list(found)
    counted = [event for event in every if not event["aside"]] or every
    if not counted:
        return {}
    return {
        "delivered_bytes": sum(event["bytes"] for event in counted),
        "delivered_tensors": sum(event["tensors"] for event in counted),
        "blocked_s": None if counted[0]["aside"] else sum(event["blocked_s"] for event in counted),
    }
