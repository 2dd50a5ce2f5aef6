"""What bench measures itself, by its metric in the catalogue: clocks, memory, the host, its state, and the probe's times. Pure.

Ranks load in parallel and the start waits for the last of them, so over ranks counts the slowest. What was not measured is absent,
never 0: a dummy loader delivers nothing.
"""

from collections.abc import Mapping, Sequence

from bench.host.counters import GIB
from bench.host.disk_use import DiskUse
from bench.host.emulation.emulate import StorageInUse
from bench.host.noise import Rig
from bench.host.noise_during import NoiseDuring
from bench.host.state import HostState
from bench.start import metrics as m
from bench.start.execution import Execution
from bench.start.metric_types import FromProbe, named
from bench.start.storage_use import StorageUse
from bench.vllm.memory import MemorySample, peaks
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.steady import steady_request_s, steady_s

FROM_PROBE = tuple((metric, metric.source) for metric in m.CATALOGUE if isinstance(metric.source, FromProbe))


def clock_metrics(execution: Execution) -> dict[str, float]:
    """The driver's clock, and the kernel's of the processors."""
    measured_s, cpu = execution.measured_s, execution.cpu
    return named({
        m.READY: execution.ready_s,
        m.FIRST_TOKEN: execution.first_token_s,
        m.FIRST_ANSWER: execution.first_answer_s,
        m.CPU_VLLM: cpu.tree_s if cpu else None,
        m.CPU_BENCH: cpu.ours_s if cpu else None,
        m.LONGEST_GAP: None if measured_s is None else execution.clocks.longest_gap_s(measured_s),
    })  # fmt: skip


def service_metrics(execution: Execution, within: float) -> dict[str, float]:
    """What the server did when its start was timed, where it was asked to."""
    load, requests = execution.load, execution.requests
    of_load = named({
        m.OUTPUT_TOKENS: load.output_tokens_per_s, m.REQUESTS: load.requests_per_s, m.TTFT: load.ttft_p50_s, m.TPOT: load.tpot_p50_s,
    }) if load else {}  # fmt: skip
    return of_load | named({
        m.STEADY: steady_s(requests, within),
        m.FIRST_REQUEST: requests[0].latency_s if requests else None,
        m.STEADY_REQUEST: steady_request_s(requests),
    })  # fmt: skip


def memory_metrics(samples: Sequence[MemorySample]) -> dict[str, float]:
    """The most that was seen of each. What was never read is absent."""
    most = peaks(samples)
    host = named({
        m.HOST_ANON: most.anon_gib, m.HOST_FILE: most.file_gib, m.HOST_SHMEM: most.shmem_gib, m.HOST_PSS: most.pss_gib,
    })  # fmt: skip
    of_gpus = [(m.GPU_PEAK, most.gpu_used_gib), (m.GPU_OWN_PEAK, most.gpu_own_gib)]
    return host | {
        family.name(index): gib for family, all_gib in of_gpus for index, gib in enumerate(all_gib) if gib is not None
    }


def state_metrics(state: HostState) -> dict[str, float]:
    """What was measured of the state; what could not be is absent."""
    return named({
        m.RESIDENT_BEFORE: state.resident_before,
        m.RESIDENT_AFTER: state.resident_after,
        m.PAGE_CACHE_LOST: state.page_cache_lost,
        m.IO_READ: state.read_gib,
        m.IO_AMPLIFICATION: state.read_amplification,
        m.IO_OTHER: state.other_read_gib,
        m.BYTE_CODE_COMPILED: sum(each.compiled for each in found) if (found := state.byte_code.values()) else None,
    })  # fmt: skip


def storage_metrics(
    storage: StorageInUse | None, exec_at_s: float | None, load: tuple[float, float] | None
) -> dict[str, float]:
    """What the cgroup of an emulated storage counted, from exec to the end of the last process, and while weights were loaded. `load`: that stretch,
    in s since exec.
    """
    counted = storage.counted if storage else None
    if storage is None or counted is None:
        return {}
    found = {m.CGROUP_READS: float(counted.reads), m.CGROUP_READ: counted.bytes / GIB}
    if load and exec_at_s is not None and load[1] > load[0]:
        begin_s, end_s = (exec_at_s + moment_s for moment_s in load)
        before = [look.counted for look in storage.looks if look.ended_s <= begin_s]
        after = [look.counted for look in storage.looks if look.began_s >= end_s]
        if before and after:
            seconds = end_s - begin_s
            found |= {
                m.LOAD_READS: (after[0].reads - before[-1].reads) / seconds,
                m.LOAD_READ_RATE: (after[0].bytes - before[-1].bytes) / GIB / seconds,
            }
    return named(found)


def disk_metrics(use: DiskUse | None) -> dict[str, float]:
    """What the checkpoint's disk did while weights were loaded."""
    if use is None:
        return {}
    return named({
        m.DISK_READS: use.reads_per_s,
        m.DISK_REQUEST: use.request_kib,
        m.DISK_IN_FLIGHT: use.in_flight,
        m.DISK_BUSY: use.busy,
    })  # fmt: skip


def limit_metrics(use: StorageUse) -> dict[str, float]:
    """What its storage can do, and how much of that it used."""
    limit = use.limit
    return named({m.STORAGE_LIMIT: limit.read_gib_per_s if limit else None, m.STORAGE_SHARE: use.share})


def rig_metrics(rig: Rig) -> dict[str, float]:
    """What was seen last before the start, over all its GPUs together."""
    return named({
        m.RIG_LOAD: rig.load_average,
        m.RIG_BUSY_CORES: rig.busy_cores,
        m.RIG_FREE_MEMORY: rig.free_memory_gib,
        m.RIG_SWAP: rig.swap_used_gib,
        m.RIG_GPU_MEMORY: rig.gpu_memory_used_gib,
        m.RIG_GPU_PROCESSES: rig.gpu_processes,
        m.RIG_GPU_CLOCK: rig.gpu_sm_clock_mhz,
    })  # fmt: skip


def noise_metrics(noise: Mapping[str, NoiseDuring]) -> dict[str, float]:
    """Of each stretch of the start."""
    values = {(family, when): getattr(each, name) for when, each in noise.items() for name, family in m.NOISE.items()}
    return {family.name(when): float(value) for (family, when), value in values.items() if value is not None}


def probe_metrics(report: ProbeReport) -> dict[str, float]:
    """Every metric, and `rank/TP0/…` for each rank. Where a rank lacks what another has, there is no number over all."""
    metrics: dict[str, float] = {}
    for metric, source in FROM_PROBE:
        values = {rank: _within(process, source) for rank, process in sorted(report.ranks.items())}
        known = {rank: value for rank, value in values.items() if value is not None}
        metrics |= {m.name_of_rank(rank, metric): value for rank, value in known.items()}
        if metric.over_ranks and known and len(known) == len(values):
            metrics[metric.name] = metric.over_ranks([*known.values()])
    seconds = [metrics.get(m.name_of_rank(rank, m.PROBE_LOAD_WEIGHTS)) for rank in report.ranks]
    whole = [value for value in seconds if value is not None]
    skew_s = max(whole) - min(whole) if len(whole) == len(seconds) > 1 else None
    return metrics | named({m.PROBE_SKEW: skew_s})


def _within(process: ProbeProcess, source: FromProbe) -> float | None:
    """Over the spans of one rank (a drafter is loaded behind the model); None where none has it, or one did not end."""
    spans = [span for span in process.spans if source.span in {None, span.name}]
    values = [found for span in spans if (found := source.value(span)) is not None]
    return sum(values) if values and all(span.end_s is not None for span in spans) else None


def read_while_loading(report: ProbeReport) -> dict[str, int | None]:
    """Bytes that each rank's process took from storage in load_weights. None: it did not end, or the kernel does not count.

    Empty where no rank was seen to load.
    """
    read: dict[str, int | None] = {}
    for rank, process in sorted(report.ranks.items()):
        found = [span.facts.read_bytes for span in process.loads]
        known = [count for count in found if count is not None]
        if found:
            read[rank] = sum(known) if len(known) == len(found) else None
    return read
