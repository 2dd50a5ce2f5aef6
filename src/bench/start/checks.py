"""Sources of one start that are held against each other: THE table. What cannot be true together makes the start invalid. Pure.

A new check is a row here, its function in check_times.py, check_log.py, check_bytes.py or check_storage.py, and a planted case in tests/start/test_checks.py,
from which docs/trust.md gets its line. A function gives a sentence for each contradiction, which names both values and their sources.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.host.byte_code import byte_code_doubts, byte_code_problems
from bench.host.state import HostState, compile_cache_problems, read_problems, residency_problems, state_doubts
from bench.start import check_bytes as of_bytes
from bench.start import check_log as of_log
from bench.start import check_settings as of_settings
from bench.start import check_storage as of_storage
from bench.start import check_times as of_times
from bench.start.evidence import Evidence
from bench.start.warning import ResultWarning, WarningKind, warnings_of

Find = Callable[[Evidence], Iterable[str]]
DRIVER, PROBE, LOG, STAMPS = "the driver's clock", "the probe", "vLLM's log", "the stamps of its lines"
SETTINGS, STORAGE, KERNEL, FILES = "the settings", "reads from storage", "the kernel", "the checkpoint's files"
CGROUP = "the cgroup's own count"
PAGE_CACHE, VERIFICATION = "the page cache, measured", "the verification start"
LIMIT = "the storage's limit"


@dataclass(frozen=True)
class Check:
    """`find` is asked once a start is over; `warns`: what it finds may be true, and is a warning."""

    name: str
    sources: tuple[str, str]
    what: str  # that is compared, for the document
    find: Find
    warns: bool = False


def _of_state(find: Callable[[HostState], Iterable[str]]) -> Find:
    """What is found in the state alone, where it was reached."""
    return lambda e: find(e.state) if e.state else ()


# fmt: off
CHECKS = (
    Check("clock", (DRIVER, KERNEL), "that the driver ran all the time, and the host was not suspended", lambda e: e.clock_problems),
    Check("moments", (DRIVER, DRIVER), "ready, first token, last token and end come in this order", of_times.moments_out_of_order),
    Check("ready_before_end", (DRIVER, PROBE), "ready comes after engine client, loading and warm-up of every process", of_times.ready_before_end),
    Check("never_ended", (DRIVER, PROBE), "what ready waits for has an end", of_times.never_ended),
    Check("ready_before_log", (DRIVER, STAMPS), "ready and first token come after the last line of a phase that is over before", of_times.ready_before_log),
    Check("ready_after_log", (DRIVER, STAMPS), "ready comes at most 10 s after vLLM's word that it begins to serve", of_times.ready_long_after_log, warns=True),
    Check("span_bounds", (PROBE, DRIVER), "every call lies within its process and within the start", of_times.spans_out_of_bounds),
    Check("loading_in_model", (PROBE, PROBE), "weights are loaded and processed while the model is loaded", of_times.loading_outside_model),
    Check("order", (PROBE, PROBE), "device, model, profile, KV cache and warm-up, and config and client, come one after the other", of_times.calls_out_of_order),
    Check("waited_for", (PROBE, PROBE), "engine core and client are ready after what their ranks do before", of_times.ended_before_its_ranks),
    Check("waiting", (PROBE, PROBE), "nobody waits for tensors for longer than the call takes", of_times.waited_longer),
    Check("cpu", (KERNEL, DRIVER), "processor time fits into the cores and the seconds, and is some", of_times.cpu_beyond_cores),
    Check("parents", (KERNEL, PROBE), "a process begins after exec, after its parent and before its own imports, which come before its calls", of_times.child_before_parent),
    Check("twice", (PROBE, SETTINGS), "one API server, one engine core a replica, one process a rank", of_settings.processes_twice),
    Check("missing", (PROBE, SETTINGS), "where one process reported, every one and every rank did", of_settings.processes_missing),
    Check("log_duration", (LOG, STAMPS), "no duration is longer than from its process's beginning to its line, or than the start", of_log.longer_than_possible),
    Check("log_parts", (LOG, LOG), "weights take no longer than their model, and the model with the engine's init no longer than ready", of_log.parts_longer_than_whole),
    Check("log_twice", (LOG, LOG), "what a process prints once is printed once, a rank is one process, and ready is one time", of_log.printed_twice),
    Check("log_sizes", (LOG, LOG), "the KV cache, and what is streamed or deserialized, is not below 0", of_log.below_nothing),
    Check("log_versions", (LOG, LOG), "all processes are of one version", of_log.versions_differ),
    Check("log_rate", (LOG, LOG), "the streamer's size, seconds and rate agree", of_log.stream_disagrees),
    Check("log_time", (LOG, STAMPS), "vLLM's own time in a line is that of its arrival, in some time zone", of_log.log_from_another_time),
    Check("log_processes", (LOG, PROBE), "the process ids and ranks in the log are those that reported", of_log.log_of_other_processes),
    Check("log_phases", (LOG, PROBE), "seconds of loading, compiling, graph capture and the engine's steps agree", of_log.log_disagrees_with_probe),
    Check("ran", (PROBE, SETTINGS), "the arguments and the version that each process says it has", lambda e: e.ran_problems),
    Check("log_version", (LOG, SETTINGS), "version of vLLM, and CPU or GPU", of_settings.log_of_another_vllm),
    Check("log_arguments", (LOG, SETTINGS), "model, load format, parallel sizes, length, dtype, eager, memory share", of_settings.log_of_other_arguments),
    Check("loader", (PROBE, SETTINGS), "the loader's class and the load format", of_settings.loader_of_another_format),
    Check("log_port", (LOG, SETTINGS), "the port that is served on", of_settings.log_of_another_server),
    Check("residency", (SETTINGS, PAGE_CACHE), "`page_cache` and what was resident before exec", _of_state(residency_problems)),
    Check("reads", (SETTINGS, STORAGE), "a cold start reads 90 % of the checkpoint or more, a warm one 10 % or less", _of_state(read_problems)),
    Check("reads_doubtful", (SETTINGS, STORAGE), "a cold start reads 95 % or more, a warm one 2 % or less", _of_state(state_doubts), warns=True),
    Check("compile_cache", (SETTINGS, LOG), "`compile_cache` and whether vLLM compiled or loaded", _of_state(compile_cache_problems)),
    Check("byte_code", (SETTINGS, PROBE), "`bytecode` and the modules that each process compiled: 1 % or less", _of_state(lambda state: byte_code_problems(state.bytecode_requested, state.byte_code))),
    Check("byte_code_missing", (SETTINGS, PROBE), "the same with `bytecode=as_is`", _of_state(lambda state: byte_code_doubts(state.bytecode_requested, state.byte_code)), warns=True),
    Check("tree_reads", (PROBE, KERNEL), "the ranks read no more than all processes together", of_bytes.tree_below_ranks),
    Check("resident", (PAGE_CACHE, PAGE_CACHE), "shares lie between 0 and 1", of_bytes.shares_beyond),
    Check("not_resident", (STORAGE, PAGE_CACHE), "what vLLM's own loader read through the page cache is there afterwards", of_bytes.read_and_gone, warns=True),
    Check("counters", (PROBE, KERNEL), "no counter of bytes runs backwards", of_bytes.counters_backwards),
    Check("limit", (SETTINGS, CGROUP), "an emulated storage answers no more requests and bytes a second than were asked for", of_storage.limit_exceeded),
    Check("limited", (PROBE, CGROUP), "what the ranks read while loading was read of the emulated storage", of_storage.limit_bypassed),
    Check("limit_unknown", (SETTINGS, CGROUP), "the kernel counts what is limited", of_storage.limit_unknown, warns=True),
    Check("read_ahead", (SETTINGS, KERNEL), "an emulated storage has the read-ahead that was asked for, at the end too", of_storage.read_ahead_changed),
    Check("size", (FILES, FILES), "bytes before exec and after the end", of_bytes.size_changed),
    Check("exchanged", (FILES, FILES), "path, names, sizes, stamps and samples before exec, after the end and when the sweep began", lambda e: e.weights.exchanged),
    Check("delivery", (PROBE, VERIFICATION), "tensors and bytes given to each rank", lambda e: e.weights.other_delivery),
    Check("delivered_more", (PROBE, FILES), "no rank is given more than its files hold", of_bytes.delivered_too_much),
    Check("delivered_less", (PROBE, FILES), "every rank is given 95 % of what its files hold, or more", of_bytes.delivered_too_little, warns=True),
    Check("delivered_fast", (PROBE, PROBE), "no rank takes more than 1000 GiB a second", of_bytes.delivered_too_fast),
    Check("delivered_unread", (PROBE, STORAGE), "what is delivered in a cold start was read", of_bytes.delivered_unread),
    Check("storage_limit", (STORAGE, LIMIT), "a cold start reads no faster than 110 % of what direct reads reach, before it and twice after it", of_bytes.faster_than_storage),
    Check("storage_limit_doubtful", (STORAGE, LIMIT), "the same, where that limit moved by more than 10 % or was measured through the page cache", of_bytes.perhaps_faster_than_storage, warns=True),
    Check("streamed", (LOG, PROBE), "no rank streams more than it is given", of_bytes.stream_unlike_delivered),
    Check("streamed_less", (LOG, PROBE), "the ranks stream together what one of them is given", of_bytes.streamed_less_than_delivered, warns=True),
    Check("memory", (LOG, PROBE), "GPU memory that the model took", of_bytes.memory_unlike_log, warns=True),
)
# fmt: on


def problems_in(evidence: Evidence) -> list[str]:
    """Why the start cannot have been as it was recorded, or was in another state than was asked for; each sentence once."""
    return _found(evidence, warns=False)


def doubts_in(evidence: Evidence) -> list[ResultWarning]:
    """What does not fit together and can be true all the same."""
    return warnings_of(WarningKind.STATE, _found(evidence, warns=True))


def _found(evidence: Evidence, *, warns: bool) -> list[str]:
    rows = (check for check in CHECKS if check.warns is warns)
    return list(dict.fromkeys(sentence for check in rows for sentence in check.find(evidence)))
