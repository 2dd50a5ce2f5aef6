"""What vLLM printed, against the stamps of its lines and the probe. Each function gives a sentence for each
contradiction, with both values.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

from bench.log.lines import LogLine, stamp_of, time_of
from bench.log.readings import Reading
from bench.start.evidence import Evidence, quoted, release_of
from bench.vllm.probe_report import ProbeProcess

ROUNDING_S = 0.1  # two clocks, and at most two decimals
WHOLE_SECONDS_S = 0.6
IN_WHOLE_SECONDS = frozenset({"graph_capture", "encoder_graph_capture"})
NEVER_BELOW_NOTHING = frozenset({"kv_cache", "stream", "deserialize"})  # a model or graphs may give memory back
ARRIVAL_S = 3.0  # by which the stamp of a line, and vLLM's own time in whole seconds, differ at most
TIME_ZONE_S = 900  # time zones differ by a multiple of it
FARTHEST_ZONE_S = 14 * 3600
ONCE = frozenset({"load_weights", "load_model", "init_engine", "server_starting"})
RANKED = re.compile(r"^(?:APIServer|EngineCore|Worker_[A-Z]+\d+.*)$")
OF_VLLM = re.compile(r"APIServer|EngineCore|Worker")
# A phase of the log, the probe's spans that it is compared with, and the shares of those which it takes at least and at most: a part can
# be any, the loader's call and the engine's steps are held by what the log times, and what both time alike differs by where the clock is read.
SHARES_OF_SPANS: tuple[tuple[str, tuple[str, ...], float, float | None], ...] = (
    ("load_weights", ("load_model",), 0.0, 1.05), ("stream", ("load_model",), 0.0, 1.05), ("load_model", ("load_model",), 0.5, None),
    ("graph_capture", ("capture",), 0.5, 1.05), ("torch_compile", ("profile", "warm_up"), 0.0, 1.05),
    ("init_engine", ("profile", "kv_cache", "warm_up"), 0.5, None),
)  # fmt: skip
WITHIN_S = 0.5
RATE_WITHIN = 0.2  # of three rounded numbers
DEFAULT_LOADER = "DefaultModelLoader"  # prints how long its load_weights took, and nothing else
STREAMER = "RunaiModelStreamerLoader"


def longer_than_possible(e: Evidence) -> Iterator[str]:
    """A duration that is longer than from exec, or from the making of its process, to the line that prints it."""
    by_pid = {process.pid: process for process in e.probe.processes}
    # Of a start from elsewhere only its log's own word is known.
    whole_s = e.ready_s if e.ended_s is None else e.ended_s
    for reading, duration_s in _durations(e.log.readings):
        line = reading.line
        slack_s = WHOLE_SECONDS_S if reading.phase in IN_WHOLE_SECONDS else ROUNDING_S
        process = by_pid.get(line.pid or -1)
        began_s = process.started_s if process and process.started_s is not None else 0.0
        if duration_s < 0:
            yield f"vLLM printed {quoted(line)}: a duration below 0"
        elif line.elapsed_s is not None and duration_s > line.elapsed_s - began_s + slack_s:
            since = "exec" if began_s == 0.0 else f"its process was made, at {began_s:.2f} s"
            yield f"vLLM printed {quoted(line)} at {line.elapsed_s:.2f} s by the driver: {duration_s:g} s is longer than the time since {since}"
        elif whole_s is not None and duration_s > whole_s + slack_s:
            yield f"vLLM printed {quoted(line)}, but the whole start took {whole_s:.2f} s"


def parts_longer_than_whole(e: Evidence) -> Iterator[str]:
    """A rank's weights took longer than its whole model, by the log alone; or the model and the engine's init than the time to ready."""
    weights_s, model_s = _by_rank(e.log.readings, "load_weights"), _by_rank(e.log.readings, "load_model")
    for rank in weights_s.keys() & model_s.keys():
        if weights_s[rank] > model_s[rank] + ROUNDING_S:
            yield f"loading weights took {weights_s[rank]:g} s and loading the model {model_s[rank]:g} s by vLLM's log: the whole is shorter than its part"
    steps = {
        name: [seconds for each, seconds in _durations(e.log.readings) if each.phase == name]
        for name in ("load_model", "init_engine")
    }
    model, engine = steps.values()
    if e.ready_s is not None and model and len(engine) == 1 and max(model) + engine[0] > e.ready_s + ROUNDING_S:
        yield f"loading the model took {max(model):g} s and the engine's init behind it {engine[0]:g} s by vLLM's log, and ready was {e.ready_s:.2f} s after exec: one comes after the other"


def stream_disagrees(e: Evidence) -> Iterator[str]:
    """The streamer's size, seconds and rate, and what the probe saw delivered."""
    for reading in e.log.readings:
        size, duration_s, rate = (reading.values.get(name) for name in ("size_gib", "duration_s", "rate_gib_per_s"))
        if size is None or duration_s is None or rate is None or not size:
            continue
        if duration_s > ROUNDING_S and abs(rate - size / duration_s) > RATE_WITHIN * size / duration_s:
            yield f"vLLM printed {quoted(reading.line)}: {size:g} GiB in {duration_s:g} s are {size / duration_s:.3g} GiB/s, not {rate:g}"


def log_from_another_time(e: Evidence) -> Iterator[str]:
    """vLLM's own time in its lines against bench's stamps: a log of another start, or lines that were put into it."""
    if e.started_at is None:
        return
    slack_s, zones_s = ARRIVAL_S + e.late_s + abs(e.stepped_s), set[int]()
    for line in sorted(_lines(e), key=lambda line: line.number):
        own = _own_time(line, e.started_at)
        if own is None or line.elapsed_s is None:
            continue
        ahead_s = (own - datetime.fromtimestamp(e.started_at + line.elapsed_s, UTC)).total_seconds()
        zone_s = round(ahead_s / TIME_ZONE_S) * TIME_ZONE_S
        zones_s.add(zone_s)
        if abs(ahead_s - zone_s) > slack_s or abs(zone_s) > FARTHEST_ZONE_S or len(zones_s) > 1:
            stamped = datetime.fromtimestamp(e.started_at + line.elapsed_s, UTC)
            yield f"vLLM printed {quoted(line)} at {stamped:%m-%d %H:%M:%S} UTC by the driver: its own time differs by {ahead_s:.0f} s, which no time zone that all lines have does"
            return


def log_of_other_processes(e: Evidence) -> Iterator[str]:
    """Lines of a process, or of a rank, that the probe does not know so."""
    by_pid = {process.pid: process for process in e.probe.processes}
    told = {(line.pid, line.rank): line for line in _lines(e) if not line.node and OF_VLLM.match(line.process or "")}
    for line in told.values() if by_pid else ():
        if line.pid is None:
            continue
        process = by_pid.get(line.pid)
        if process is None:
            yield f"{line.process} with pid {line.pid} printed {quoted(line)}, but those that reported to the probe are pid {', '.join(map(str, by_pid))}"
        elif line.rank and process.rank and not set(line.rank.split("_")) <= set(process.rank.split("_")):
            yield f"pid {line.pid} is rank {line.rank} by vLLM's log and {process.rank} by the probe"


def printed_twice(e: Evidence) -> Iterator[str]:
    """What a process prints once, and a rank that is in two processes, by the log alone."""
    if not e.asked.has_drafter and not any(reading.phase in {"drafter", "ngram"} for reading in e.log.readings):
        yield from _loaded_twice(e)  # a second model is loaded behind the first
    ready = {reading.values["duration_s"]: reading.line for reading in e.log.readings if reading.phase == "ready"}
    if len(ready) > 1:
        yield f"the log has {' and '.join(map(quoted, ready.values()))}: a start is ready once"


def _loaded_twice(e: Evidence) -> Iterator[str]:
    printed: dict[tuple[str, int | None, str | None], LogLine] = {}
    for reading in e.log.readings:
        line, key = reading.line, (reading.phase, reading.line.pid, reading.rank)
        if reading.phase in ONCE and line.pid is not None and line.repeated == 1:
            if key in printed and printed[key].number != line.number:
                yield f"pid {line.pid} printed {quoted(printed[key])} and {quoted(line)}: it does that once"
            printed.setdefault(key, line)
    pids: dict[str, set[int]] = {}
    for line in _lines(e):
        if line.process and RANKED.search(line.process) and line.pid is not None and not line.node:
            pids.setdefault(line.process, set()).add(line.pid)
    for name, found in pids.items():
        if len(found) > 1:
            yield f"{name} printed from pid {' and '.join(map(str, sorted(found)))} by vLLM's log: it is one process"


def below_nothing(e: Evidence) -> Iterator[str]:
    """What a start that was ready printed of its cache and its streams; without room for a cache, vLLM prints that it is below 0 and ends."""
    for reading in e.log.readings if e.ready_s is not None else ():
        below = {name: value for name, value in reading.values.items() if value < 0 and name != "duration_s"}
        for name, value in below.items() if reading.phase in NEVER_BELOW_NOTHING else ():
            yield f"vLLM printed {quoted(reading.line)}: {name} is {value:g}, below 0"


def versions_differ(e: Evidence) -> Iterator[str]:
    """Every process prints the version that it is of."""
    printed = {release_of(text): text for reading in e.log.readings if (text := reading.texts.get("version"))}
    if len(printed) > 1:
        yield f"vLLM is {' and '.join(sorted(printed.values()))} by lines of one log"


def log_disagrees_with_probe(e: Evidence) -> Iterator[str]:
    """A phase's seconds by the log, which cannot exceed the probe's span around it, nor be next to nothing of one that it is."""
    for process in e.probe.processes:
        of_process = [reading for reading in e.log.readings if _is_of(reading, process, e)]
        for phase, names, least, most in (*SHARES_OF_SPANS, *_of_loader(process)):
            logged_s, span_s = _total(of_process, phase), _spans_s(process, names)
            if logged_s is None or span_s is None:
                continue
            slack_s = WITHIN_S + (WHOLE_SECONDS_S if phase in IN_WHOLE_SECONDS else 0.0)
            if logged_s < least * span_s - slack_s or (most is not None and logged_s > most * span_s + slack_s):
                yield f"{phase} took {logged_s:g} s by vLLM's log, {' + '.join(names)} of pid {process.pid} {span_s:.2f} s by the probe"


def _is_of(reading: Reading, process: ProbeProcess, e: Evidence) -> bool:
    """By the id; without one by the rank. The only engine's steps are those of every rank."""
    if reading.phase == "init_engine":
        return process.rank is not None and e.asked.data_parallel_size == 1
    if reading.line.pid is not None:
        return reading.line.pid == process.pid
    return reading.rank is not None and reading.rank == process.rank


def _of_loader(process: ProbeProcess) -> list[tuple[str, tuple[str, ...], float, float | None]]:
    """vLLM's own prints how long the call took which the probe times; the streamer from its first file to its last tensor in it."""
    if process.loaders == {DEFAULT_LOADER}:
        return [("load_weights", ("load_weights",), 0.5, 1.25)]
    return [("stream", ("load_weights",), 0.2, None)] if process.loaders == {STREAMER} else []


def _durations(readings: Iterable[Reading]) -> Iterator[tuple[Reading, float]]:
    for reading in readings:
        if reading.phase != "ready" and (duration_s := reading.values.get("duration_s")) is not None:
            yield reading, duration_s


def _total(readings: Iterable[Reading], phase: str) -> float | None:
    found = [duration_s for reading, duration_s in _durations(readings) if reading.phase == phase]
    return sum(found) if found else None


def _by_rank(readings: list[Reading], phase: str) -> dict[str, float]:
    ranks = {reading.rank for reading in readings if reading.rank}
    totals = {rank: _total([each for each in readings if each.rank == rank], phase) for rank in ranks}
    return {rank: total_s for rank, total_s in totals.items() if total_s is not None}


def _spans_s(process: ProbeProcess, names: tuple[str, ...]) -> float | None:
    """All of these together. None: there is none, or one has no end."""
    spans = process.calls(*names)
    return sum(span.duration_s for span in spans) if spans and all(span.end_s is not None for span in spans) else None


def _lines(e: Evidence) -> Iterator[LogLine]:
    return chain((reading.line for reading in e.log.readings), e.log.milestones, e.log.info_lines)


def _own_time(line: LogLine, started_at: float) -> datetime | None:
    """In the zone that vLLM printed it in, as if that were UTC. None: it has none. The year is the start's, or one beside it."""
    stamp = stamp_of(line.text)
    if stamp is None or line.elapsed_s is None:
        return None
    stamped = datetime.fromtimestamp(started_at + line.elapsed_s, UTC)
    try:
        own = time_of(stamp, stamped.year)
    except ValueError:
        return None
    half = timedelta(days=183)
    return own.replace(year=own.year - (own - stamped > half) + (stamped - own > half))
