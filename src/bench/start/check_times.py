"""Times that cannot be as they were recorded. Each function gives a sentence for each contradiction, with both values."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import isfinite

from bench.start.evidence import Evidence, quoted
from bench.start.timeline import process_title
from bench.vllm.probe_report import CLOCK_TICK_S, ProbeProcess
from bench.vllm.span import Span

# What is over in every process before /health can answer 200.
BEFORE_READY = frozenset({
    "config", "engine_client", "engine_core_init", "init_device", "load_model", "load_weights", "process_weights", "profile", "kv_cache",
    "warm_up",
})  # fmt: skip
PHASES_BEFORE_READY = frozenset({
    "download", "load_weights", "load_model", "stream", "deserialize", "kv_cache", "init_engine", "graph_capture", "torch_compile",
    "profiling_run", "compile_and_profiling_run", "server_starting",
})  # fmt: skip
OF_EACH_SERVER = {"server_starting"}  # of several the first to be up answers /health
ONE_CLOCK_S = 0.05  # the probe and the driver read the same clock
CPU_SLACK = 1.05  # the kernel counts in ticks
ARRIVAL_S = 1.0  # a line is stamped when it arrives; vLLM flushes each
SERVING_S = 10.0  # from vLLM's word that it begins to serve to the first answer; one or two are usual
# Calls of one process, of which each begins when the one before is over: driven by the engine core, and by the server.
ONE_AFTER_THE_OTHER = (("config", "engine_client"), ("init_device", "load_model", "profile", "kv_cache", "warm_up"))
LOADED_THEN_PROCESSED = {"DefaultModelLoader", "RunaiModelStreamerLoader"}  # others process while, or before, they load
# That an engine core's init makes and waits for.
OF_RANKS = ("init_device", "load_model", "profile", "kv_cache", "warm_up")
HANDOVER_S = 0.5  # from an engine core's word that it is ready to the end of the call


def ready_before_end(e: Evidence) -> Iterator[str]:
    """/health answered before what it waits for was over. Of several calls the last."""
    late = [
        (span.end_s, span.name, _name(process))
        for process, span in _awaited(e)
        if e.ready_s is not None and (span.end_s or 0.0) > e.ready_s + ONE_CLOCK_S
    ]
    if late and e.ready_s is not None:
        ended_s, call, name = max(late)
        yield f"ready {e.ready_s:.2f} s after exec by the driver, but {call} of {name} ended at {ended_s:.2f} s by the probe"


def never_ended(e: Evidence) -> Iterator[str]:
    """Something that /health waits for has no end. A file whose last lines are lost proves nothing."""
    for process, span in _awaited(e):
        if e.ready_s is not None and span.end_s is None and not process.warnings:
            yield f"ready {e.ready_s:.2f} s after exec by the driver, but {span.name} of {_name(process)} never ended by the probe"


def moments_out_of_order(e: Evidence) -> Iterator[str]:
    """Ready, first token, last token, end."""
    named = [("ready", e.ready_s), ("the first token", e.first_token_s), ("the completion's end", e.completion_ended_s), ("the first answer", e.first_answer_s), ("the end", e.ended_s)]  # fmt: skip
    known = [(name, moment_s) for name, moment_s in named if moment_s is not None]
    for (earlier, earlier_s), (later, later_s) in pairwise(known):
        if later_s < earlier_s:
            yield f"{later} was {later_s:.2f} s after exec by the driver, before {earlier} at {earlier_s:.2f} s"
    for name, moment_s in known:
        if not isfinite(moment_s):
            yield f"{name} was {moment_s} s after exec by the driver: that is no time"
    if known and known[0][1] < 0:
        yield f"{known[0][0]} was {known[0][1]:.2f} s after exec by the driver: before it"


def ready_before_log(e: Evidence) -> Iterator[str]:
    """A phase that is over before the server answers was printed after it had."""
    for name, moment_s in (
        ("ready", e.ready_s),
        ("the first token", e.first_token_s),
        ("the first answer", e.first_answer_s),
    ):
        late = [
            reading.line
            for reading in e.log.readings
            if reading.phase in PHASES_BEFORE_READY - (OF_EACH_SERVER if e.asked.api_servers > 1 else set())
            and moment_s is not None
            and reading.line.elapsed_s is not None
            and reading.line.elapsed_s > moment_s + ARRIVAL_S + e.late_s
        ]
        if late and moment_s is not None:
            yield f"{name} was {moment_s:.2f} s after exec by the driver, but vLLM printed {quoted(late[0])} at {late[0].elapsed_s:.2f} s"


def ready_long_after_log(e: Evidence) -> Iterator[str]:
    """vLLM's word that it begins to serve came long before /health answered, and nothing is known of the time between."""
    printed = [
        each.line for each in e.log.readings if each.phase == "server_starting" and each.line.elapsed_s is not None
    ]
    if e.ready_s is None or not printed:
        return
    last = max(printed, key=lambda line: line.elapsed_s or 0.0)
    waited_s = e.ready_s - (last.elapsed_s or 0.0)
    if waited_s > SERVING_S + e.late_s:
        yield f"ready {e.ready_s:.2f} s after exec by the driver, {waited_s:.1f} s after vLLM printed {quoted(last)} at {last.elapsed_s:.2f} s: what it did between is unknown"


def spans_out_of_bounds(e: Evidence) -> Iterator[str]:
    """A call that ends before it begins, or lies outside of its process or of the start."""
    for process, span in _spans(e):
        began_s = process.imported_s if process.started_s is None else process.started_s
        what = f"{span.name} of {_name(process)} by the probe"
        if span.until_s < span.start_s:
            yield f"{what} began at {span.start_s:.2f} s and ended at {span.until_s:.2f} s"
        elif span.start_s < began_s - CLOCK_TICK_S:
            yield f"{what} began at {span.start_s:.2f} s, before its process, which was made at {began_s:.2f} s"
        elif e.ended_s is not None and max(span.start_s, span.end_s or 0.0) > e.ended_s + ONE_CLOCK_S:
            yield f"{what} was at {max(span.start_s, span.end_s or 0.0):.2f} s, after the end of vLLM at {e.ended_s:.2f} s by the driver"


def loading_outside_model(e: Evidence) -> Iterator[str]:
    """load_weights is a part of load_model, wherever both were seen."""
    for process in e.probe.processes:
        models = process.calls("load_model")
        for part in process.calls("load_weights", "process_weights"):
            if not models or part.end_s is None:
                continue
            if not any(
                whole.start_s - ONE_CLOCK_S <= part.start_s and part.end_s <= whole.until_s + ONE_CLOCK_S
                for whole in models
            ):
                yield f"{part.name} of {_name(process)} was {part.start_s:.2f} to {part.end_s:.2f} s by the probe, outside of its load_model, {models[0].start_s:.2f} to {models[0].until_s:.2f} s"


def calls_out_of_order(e: Evidence) -> Iterator[str]:
    """Of each call the first: a drafter's model is loaded behind the model."""
    for process in e.probe.processes:
        first = {span.name: span for span in reversed(process.spans)}
        orders = [*ONE_AFTER_THE_OTHER]
        if (loading := first.get("load_weights")) and loading.facts.of in LOADED_THEN_PROCESSED:
            orders.append(("load_weights", "process_weights"))
        for order in orders:
            for earlier, later in combinations([first[name] for name in order if name in first], 2):
                if later.start_s < (earlier.start_s if earlier.end_s is None else earlier.end_s) - ONE_CLOCK_S:
                    yield f"{later.name} of {_name(process)} began at {later.start_s:.2f} s, before the end of its {earlier.name} at {earlier.until_s:.2f} s, both by the probe"


def ended_before_its_ranks(e: Evidence) -> Iterator[str]:
    """An engine core's init makes its ranks and all that they do before it can serve; the server's client waits for it."""
    if e.asked.has_other_nodes or e.asked.data_parallel_size > 1 or e.asked.api_servers > 1:
        return
    made = [(span, each) for each, span in _spans(e) if each.rank and span.name in OF_RANKS and span.end_s is not None]
    if not made:
        return
    last, rank = max(made, key=lambda pair: pair[0].until_s)
    for process, span in _spans(e):
        slack_s = {"engine_core_init": HANDOVER_S, "engine_client": ONE_CLOCK_S}.get(span.name)
        if slack_s is not None and span.end_s is not None and span.end_s < last.until_s - slack_s:
            yield f"{span.name} of {_name(process)} ended at {span.end_s:.2f} s, but {last.name} of {_name(rank)} at {last.until_s:.2f} s, both by the probe: it waits for that"


def waited_longer(e: Evidence) -> Iterator[str]:
    """An iterator was waited for, for longer than the call around it took."""
    for process, span in _spans(e):
        waited_s = span.facts.blocked_s
        if waited_s is not None and span.end_s is not None and waited_s > span.duration_s + ONE_CLOCK_S:
            yield f"{_name(process)} waited {waited_s:.2f} s for tensors in {span.name}, which took {span.duration_s:.2f} s, both by the probe"


def cpu_beyond_cores(e: Evidence) -> Iterator[str]:
    """More processor time than all cores have from exec to the end, or none."""
    if e.cpu_s is not None and e.cpu_s <= 0 and e.ready_s is not None:
        yield f"vLLM used {e.cpu_s:.1f} s of processors by the kernel, and was ready {e.ready_s:.2f} s after exec by the driver"
    if (
        e.cpu_s is not None
        and e.ended_s is not None
        and e.asked.cores
        and e.cpu_s > e.asked.cores * e.ended_s * CPU_SLACK
    ):
        yield f"vLLM used {e.cpu_s:.1f} s of processors by the kernel, in {e.ended_s:.2f} s on {e.asked.cores} cores"


def child_before_parent(e: Evidence) -> Iterator[str]:
    """A process that was made before exec, before its parent, or after its own imports; or imported after its own calls."""
    by_pid = {process.pid: process for process in e.probe.processes}
    for process in e.probe.processes:
        calls = [span for span in process.spans if span.start_s < process.imported_s - CLOCK_TICK_S]
        if calls:
            yield f"{calls[0].name} of {_name(process)} began at {calls[0].start_s:.2f} s, before the end of its imports at {process.imported_s:.2f} s, both by the probe"
        if process.started_s is None:
            continue
        parent = by_pid.get(process.parent)
        if process.started_s < -CLOCK_TICK_S:
            yield f"{_name(process)} was made {process.started_s:.2f} s after exec by the kernel: before it"
        if process.imported_s < process.started_s - CLOCK_TICK_S:
            yield f"{_name(process)} had imported at {process.imported_s:.2f} s by the probe, and was made at {process.started_s:.2f} s by the kernel"
        if parent and parent.started_s is not None and process.started_s < parent.started_s - CLOCK_TICK_S:
            yield f"{_name(process)} was made at {process.started_s:.2f} s, before its parent {_name(parent)} at {parent.started_s:.2f} s"


def _awaited(e: Evidence) -> Iterator[tuple[ProbeProcess, Span]]:
    """What /health waits for: of several API servers not each, since the first to be up answers."""
    for process, span in _spans(e):
        if span.name in BEFORE_READY and not (process.kind == "api_server" and e.asked.api_servers > 1):
            yield process, span


def _spans(e: Evidence) -> Iterator[tuple[ProbeProcess, Span]]:
    return ((process, span) for process in e.probe.processes for span in process.spans)


def _name(process: ProbeProcess) -> str:
    return f"{process_title(process.kind)} {process.rank or ''}".strip() + f" (pid {process.pid})"
