"""One planted case for each check: an honest recorded start, of which one thing was changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.config import Storage
from bench.host.byte_code import ByteCode
from bench.host.emulation.cgroup import Counted
from bench.host.emulation.emulate import Look, StorageInUse
from bench.host.storage_profile import StorageProfile
from bench.log.readings import Reading
from bench.start.evidence import Evidence
from bench.start.state_record import loading
from bench.start.storage_use import StorageUse
from bench.vllm.probe_report import GIB, ProbeProcess
from bench.vllm.span import Span
from recorded_evidence import evidence

ONE, TWO = "h200-storage_as_is/auto_1", "h200x2-gpt_oss_120b/auto_1"
STREAMED = "h200-storage_as_is/runai_streamer_1"
GRAPHS = "h100-vllm0.26.0-auto-cold"


def plain(**known: Any) -> Evidence:
    """One rank on one H200, with other facts."""
    return replace(evidence(ONE), **known)


def state(**known: Any) -> Evidence:
    found = evidence(ONE)
    assert found.state
    return replace(found, state=replace(found.state, **known))


def weights(**known: Any) -> Evidence:
    return replace(evidence(ONE), weights=replace(evidence(ONE).weights, **known))


def asked(**known: Any) -> Evidence:
    return replace(evidence(ONE), asked=replace(evidence(ONE).asked, **known))


def processes(change: Callable[[ProbeProcess], list[ProbeProcess]], name: str = ONE) -> Evidence:
    """Each process of the probe is what the change makes of it."""
    found = evidence(name)
    changed = tuple(new for process in found.probe.processes for new in change(process))
    return replace(found, probe=replace(found.probe, processes=changed))


def process(kind: str, **known: Any) -> Evidence:
    return processes(lambda each: [replace(each, **known) if each.kind == kind else each])


def spans(name: str, change: Callable[[Span], Span], of: str = ONE) -> Evidence:
    """Of all processes those of this name."""

    def changed(each: ProbeProcess) -> list[ProbeProcess]:
        return [replace(each, spans=tuple(change(span) if span.name == name else span for span in each.spans))]

    return processes(changed, of)


def facts(name: str, **known: Any) -> Evidence:
    return spans(name, lambda span: replace(span, facts=replace(span.facts, **known)))


def readings(phase: str, change: Callable[[Reading], Reading], name: str = ONE) -> Evidence:
    found = evidence(name)
    changed = [change(reading) if reading.phase == phase else reading for reading in found.log.readings]
    return replace(found, log=replace(found.log, readings=changed))


def values(phase: str, name: str = ONE, **known: float) -> Evidence:
    """Numbers in the lines of a phase."""
    return readings(phase, lambda reading: replace(reading, values=reading.values | known), name)


def lines(phase: str, **known: Any) -> Evidence:
    return readings(phase, lambda reading: replace(reading, line=replace(reading.line, **known)))


def emulated(found: list[Look], after: str | None = None, **known: Any) -> Evidence:
    """The same start on a storage of 500 requests a second. `after`: its read-ahead at the end."""
    fields = dict.fromkeys(Storage.model_fields) | {"name": "limited", "read_iops": 500} | known
    asked_for = Storage.model_validate(fields)
    return plain(storage=StorageInUse(asked_for, facts={"name": "limited"}, looks=found, read_ahead_after=after))


def looks(*reads: int, seconds: float, size: int = 2 * GIB) -> list[Look]:
    """Counts of requests, so many seconds apart; `size`: of each further look, in bytes."""
    return [
        Look(number * seconds, number * seconds, Counted(count, number * size if count else 0))
        for number, count in enumerate(reads)
    ]


def more(chosen: Callable[[Reading], bool], **known: Any) -> Evidence:
    """A line once more, at the end of the log."""
    found = evidence(ONE)
    (reading,) = filter(chosen, found.log.readings)
    again = replace(reading, line=replace(reading.line, number=reading.line.number + 1000, **known))
    return replace(found, log=replace(found.log, readings=[*found.log.readings, again]))


def ready_lines(*seconds: float) -> Evidence:
    """As a log from elsewhere has them."""
    found = evidence(ONE)
    line = found.log.readings[-1].line
    added = [
        Reading("ready", None, replace(line, text=f"BENCHMARK_READY_SECONDS={each:g}"), {"duration_s": each})
        for each in seconds
    ]
    return replace(found, log=replace(found.log, readings=[*found.log.readings, *added]))


def info(**known: Any) -> Evidence:
    found = evidence(ONE)
    return replace(found, log=replace(found.log, info=replace(found.log.info, **known)))


def shifted(span: Span, by_s: float) -> Span:
    return replace(span, start_s=span.start_s + by_s, end_s=None if span.end_s is None else span.end_s + by_s)


def read_against(*limits: float, **known: Any) -> Evidence:
    """Measurements of its storage, GiB a second. It read 5.41 GiB in 3.4 s, 1.6 GiB a second."""
    found = evidence(ONE)
    assert found.state
    begin_s, end_s = loading(found.probe) or (0.0, 0.0)
    profiles = [
        StorageProfile("vda ext4", 0.0, each, each, 16, 1024, 2.5, 9.0, **{"is_steady": True} | known)
        for each in limits
    ]
    return replace(found, storage_use=StorageUse(tuple(profiles), found.state.read_gib, end_s - begin_s, is_cold=True))


READY_S = evidence(ONE).ready_s or 0.0
THERE = ByteCode(6107, 61, 0, 0, 0, ("transformers_modules.model",))
HALF = evidence(ONE).state.must_read // 2 if evidence(ONE).state else 0  # type: ignore[union-attr, operator]

# By the check's name. What stands first is shown in the document.
PLANTED: dict[str, tuple[Callable[[], Evidence], ...]] = {
    "clock": (lambda: plain(clock_problems=("the host was suspended for 60.0 s during the start",)),),
    "moments": (
        lambda: plain(first_token_s=READY_S - 1),
        lambda: plain(completion_ended_s=READY_S),
        lambda: plain(ended_s=READY_S - 5),
        lambda: plain(ready_s=-0.5),
        lambda: plain(completion_ended_s=float("nan")),
    ),
    "ready_before_end": (
        lambda: plain(ready_s=3.0),
        lambda: spans("load_weights", lambda span: replace(span, end_s=READY_S + 9)),
        lambda: spans("engine_client", lambda span: replace(span, end_s=READY_S + 0.2)),
        lambda: spans("warm_up", lambda span: shifted(span, 30)),
    ),
    "never_ended": (
        lambda: spans("load_weights", lambda span: replace(span, end_s=None)),
        lambda: spans("engine_client", lambda span: replace(span, end_s=None)),
    ),
    "ready_before_log": (
        lambda: plain(ready_s=3.0, first_token_s=3.1),
        lambda: plain(first_token_s=20.0),
        lambda: lines("init_engine", elapsed_s=READY_S + 5),
    ),
    "ready_after_log": (lambda: plain(ready_s=READY_S + 60, first_token_s=READY_S + 61, completion_ended_s=READY_S + 62, ended_s=READY_S + 65),),
    "span_bounds": (
        lambda: spans("warm_up", lambda span: replace(span, end_s=span.start_s - 1)),
        lambda: spans("init_device", lambda span: shifted(span, -15)),
        lambda: spans("warm_up", lambda span: shifted(span, 1000)),
    ),
    "loading_in_model": (
        lambda: spans("load_weights", lambda span: replace(span, start_s=span.start_s - 5)),
        lambda: spans("load_model", lambda span: replace(span, end_s=span.start_s + 1)),
        lambda: spans("process_weights", lambda span: shifted(span, 3)),
    ),
    "order": (
        lambda: spans("profile", lambda span: shifted(span, -10)),
        lambda: spans("process_weights", lambda span: shifted(span, -3)),
        lambda: spans("warm_up", lambda span: shifted(span, -7)),
        lambda: spans("kv_cache", lambda span: shifted(span, -4.5), TWO),
        lambda: spans("init_device", lambda span: shifted(span, 4.6)),
        lambda: spans("engine_client", lambda span: replace(span, start_s=9.6)),
    ),
    "waited_for": (
        lambda: spans("engine_core_init", lambda span: replace(span, end_s=25.0)),
        lambda: spans("engine_core_init", lambda span: replace(span, end_s=80.0), TWO),
        lambda: spans("engine_client", lambda span: replace(span, end_s=span.start_s + 0.02)),
    ),
    "waiting": (lambda: facts("load_weights", blocked_s=100.0),),
    "cpu": (lambda: plain(cpu_s=9000.0), lambda: plain(cpu_s=0.0), lambda: plain(cpu_s=-5.0)),
    "parents": (
        lambda: process("api_server", started_s=15.0, imported_s=16.0),
        lambda: process("api_server", started_s=-3.0),
        lambda: process("engine_core", imported_s=1.0),
        lambda: process("engine_core", imported_s=34.0),
        lambda: process("api_server", imported_s=36.0),
    ),
    "twice": (
        lambda: processes(lambda each: [each, replace(each, pid=each.pid + 7000)] if each.kind == "api_server" else [each]),
        lambda: processes(lambda each: [each, replace(each, pid=each.pid + 7000)] if each.rank else [each]),
        lambda: processes(lambda each: [each, replace(each, pid=each.pid + 7000)] if each.rank == "TP1" else [each], TWO),
        lambda: processes(lambda each: [replace(each, rank="TP1") if each.rank else each]),
        lambda: replace(evidence(TWO), asked=replace(evidence(TWO).asked, tensor_parallel_size=1)),
        lambda: processes(lambda each: [replace(each, rank="DP1_TP0") if each.rank else each]),
    ),
    "missing": (
        lambda: processes(lambda each: [] if each.rank == "TP1" else [each], TWO),
        lambda: processes(lambda each: [] if each.kind == "api_server" else [each]),
        lambda: processes(lambda each: [] if each.kind == "engine_core" else [each], TWO),
        lambda: asked(data_parallel_size=2),
        lambda: asked(tensor_parallel_size=4),
    ),
    "log_duration": (
        lambda: values("load_model", duration_s=3000.0),
        lambda: values("load_weights", duration_s=20.0),
        lambda: values("init_engine", duration_s=-1.0),
        lambda: values("load_weights", "h200x2-gpt_oss_120b/auto_2", duration_s=1e6),
        lambda: values("graph_capture", GRAPHS, duration_s=90.0),
    ),
    "log_parts": (
        lambda: values("load_weights", duration_s=6.0),
        lambda: values("load_model", duration_s=35.0),
    ),
    "log_twice": (
        lambda: more(lambda reading: reading.phase == "load_weights"),
        lambda: more(lambda reading: reading.phase == "init_engine", pid=77),
        lambda: ready_lines(62.25, 900.0),
    ),
    "log_sizes": (
        lambda: values("kv_cache", memory_gib=-5.0),
        lambda: values("kv_cache", tokens=-1.0),
        lambda: values("stream", STREAMED, size_gib=-5.4, rate_gib_per_s=-1.6),
    ),
    "log_versions": (lambda: readings("version", lambda each: replace(each, texts={"version": f"0.{each.line.number}.0"})),),
    "log_rate": (
        lambda: values("stream", STREAMED, rate_gib_per_s=40.0),
        lambda: values("stream", STREAMED, duration_s=0.2),
    ),
    "log_time": (
        lambda: plain(started_at=(evidence(ONE).started_at or 0.0) - 400),
        lambda: plain(started_at=(evidence(ONE).started_at or 0.0) - 3 * 86400),
        lambda: lines("load_weights", elapsed_s=300.0),
        lambda: lines("load_weights", elapsed_s=926.9),
    ),
    "log_processes": (
        lambda: lines("load_weights", pid=77),
        lambda: lines("load_weights", rank="TP1"),
    ),
    "log_phases": (
        lambda: values("load_weights", duration_s=12.0),
        lambda: spans("load_weights", lambda span: replace(span, end_s=span.start_s + 0.3)),
        lambda: values("load_weights", duration_s=0.01),
        lambda: values("load_weights", duration_s=6.0),
        lambda: values("load_model", duration_s=0.3),
        lambda: values("stream", STREAMED, duration_s=9.0),
        lambda: values("stream", STREAMED, duration_s=0.01, rate_gib_per_s=540.0),
        lambda: values("graph_capture", GRAPHS, duration_s=1.0),
        lambda: values("torch_compile", GRAPHS, duration_s=19.0),
        lambda: values("init_engine", GRAPHS, duration_s=0.5),
    ),
    "ran": (lambda: plain(ran_problems=("TP0 ran vLLM 0.11.0 of /other/vllm/__init__.py, and 0.26.0 was recorded",)),),
    "log_version": (
        lambda: info(version="0.32.0"),
        lambda: info(version="0.26.1"),
        lambda: info(device="cpu"),
    ),
    "log_arguments": (
        lambda: info(load_format="runai_streamer"),
        lambda: info(load_format="dummy"),
        lambda: asked(load_format="runai_streamer"),
        lambda: asked(model="models/other"),
        lambda: asked(tensor_parallel_size=2),
        lambda: asked(max_model_len=2048),
        lambda: asked(dtype="half"),
        lambda: info(enforce_eager=False),
        lambda: info(gpu_memory_utilization=0.5),
        lambda: info(pipeline_parallel_size=2),
        lambda: info(data_parallel_size=2),
    ),
    "loader": (
        lambda: asked(load_format="runai_streamer"),
        lambda: spans("load_weights", lambda span: replace(span, facts=replace(span.facts, of="DummyModelLoader"))),
        lambda: spans("load_weights", lambda span: replace(span, facts=replace(span.facts, of="RunaiModelStreamerLoader"))),
    ),
    "log_port": (lambda: asked(port=8000),),
    "residency": (
        lambda: state(resident_before=0.4),
        lambda: state(mapped_by=("python (pid 7)",)),
        lambda: state(page_cache_requested="warm", read={"TP0": 0}),
    ),
    "reads": (
        lambda: state(read={"TP0": HALF}),
        lambda: state(read={"TP0": HALF * 178 // 100}),
        lambda: state(read={"TP0": HALF}, resident_before=None),
        lambda: state(page_cache_requested="warm", resident_before=1.0, read={"TP0": HALF // 2}),
        lambda: state(read={"TP0": HALF * 2, "TP1": 0}, shared_files=False),
    ),
    "reads_doubtful": (
        lambda: state(read={"TP0": HALF * 184 // 100}),
        lambda: state(page_cache_requested="warm", resident_before=1.0, read={"TP0": HALF // 10}),
    ),
    "compile_cache": (lambda: state(compile_cache_requested="primed", compile_cache_found="compiled"),),
    "byte_code": (
        lambda: state(bytecode_requested="compiled", byte_code={"api_server": ByteCode(6107, 5204, 0, 0, 0, ("vllm.config", "torch.fx"))}),
        lambda: state(bytecode_requested="compiled", byte_code={"engine_core": THERE, "TP0": ByteCode(6107, 0, 60, 2, 62, ("torch",), writes=False)}),
    ),
    "byte_code_missing": (lambda: state(byte_code={"TP0": ByteCode(6107, 0, 6107, 0, 0, ("torch",), writes=False)}),),
    "tree_reads": (lambda: state(tree_read=HALF),),
    "resident": (lambda: state(resident_before=-0.5), lambda: state(resident_after=7.0)),
    "not_resident": (lambda: state(resident_after=0.0),),
    "counters": (lambda: facts("load_weights", read_bytes=-7), lambda: facts("load_weights", delivered_bytes=-1)),
    "limit": (
        lambda: emulated(looks(0, 4000, seconds=5.0)),
        lambda: emulated(looks(0, 10, 2200, 2210, seconds=1.0)),
        lambda: emulated(looks(0, 1, seconds=1.0, size=GIB), read_iops=None, read_mib_per_s=125.0),
    ),
    "limited": (lambda: emulated(looks(0, 500, seconds=5.0, size=HALF // 10)), lambda: emulated(looks(0, 0, seconds=5.0))),
    "limit_unknown": (lambda: emulated([]),),
    "read_ahead": (lambda: emulated(looks(0, 2400, seconds=5.0), read_ahead_kb=128, after="8192"),),
    "size": (lambda: state(bytes_after=HALF),),
    "exchanged": (lambda: weights(exchanged=("model.safetensors in mine changed while this start ran: what it read is not known",)),),
    "delivery": (lambda: weights(other_delivery=("rank TP0 was given 8 tensors of 800 bytes together, in its verification start 9 of 900: it did not load what was verified",)),),
    "delivered_more": (lambda: facts("load_weights", delivered_bytes=9 * GIB),),
    "delivered_less": (lambda: facts("load_weights", delivered_bytes=3 * GIB),),
    "delivered_fast": (lambda: spans("load_weights", lambda span: replace(span, end_s=span.start_s + 0.003)),),
    "delivered_unread": (lambda: state(read={"TP0": HALF}),),
    "storage_limit": (lambda: read_against(1.2, 1.25, 1.22), lambda: read_against(0.4, 0.41, 0.42, 0.4)),
    "storage_limit_doubtful": (
        lambda: read_against(1.2, 0.9, 1.1),
        lambda: read_against(1.2, 1.25),
        lambda: read_against(1.2, 1.25, 1.22, is_direct=False),
        lambda: read_against(1.2, 1.25, 1.22, is_steady=False),
    ),
    "streamed": (lambda: values("stream", STREAMED, size_gib=54.0, rate_gib_per_s=16.0),),
    "streamed_less": (lambda: values("stream", STREAMED, size_gib=2.7),),
    "memory": (lambda: values("load_model", memory_gib=1.5),),
}  # fmt: skip
