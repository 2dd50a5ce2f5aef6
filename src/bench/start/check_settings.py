"""What ran, by vLLM's log and the probe, against what was started. Each function gives a sentence for each contradiction, with both values."""

import re
from collections import Counter
from collections.abc import Iterator

from bench.config import DTYPES
from bench.start.evidence import Asked, Evidence, release_of
from bench.start.timeline import process_title

PORT = re.compile(r":(\d+)/?$")
# By the files or the quantisation.
AUTO_BECOMES = frozenset({"hf", "safetensors", "mistral", "pt", "npcache", "gguf", "bitsandbytes"})
# vLLM's own loaders, and the formats that each of them is for.
FORMATS_OF_LOADERS = {
    "DefaultModelLoader": AUTO_BECOMES | {"auto", "fastsafetensors", "instanttensor"}, "DummyModelLoader": {"dummy"},
    "ShardedStateLoader": {"sharded_state", "runai_streamer_sharded"}, "RunaiModelStreamerLoader": {"runai_streamer"},
    "TensorizerLoader": {"tensorizer"},
}  # fmt: skip
SHARE = 0.006  # some releases print hundredths
ONE_OF_A_KIND = ("api_server", "engine_core")


def log_of_another_vllm(e: Evidence) -> Iterator[str]:
    """The version in the log against the package's, and the device."""
    logged, package = e.log.info.version, e.asked.version
    if logged and package and release_of(logged) != release_of(package):
        yield f"vLLM {logged} by its log, {package} by the package that was started"
    device, found = e.log.info.device, e.asked.device
    if device and found and "cpu" in {device, found} and device != found:
        yield f"device {device} by vLLM's log, {found} by the host"


def log_of_other_arguments(e: Evidence) -> Iterator[str]:
    """What the server and the engine print of their arguments, against the settings."""
    info, asked = e.log.info, e.asked
    logged_as = [name for name in (info.engine_model, info.model) if name]
    if logged_as and asked.model and asked.model not in logged_as and "://" not in asked.model:
        yield f"model {logged_as[-1]!r} by vLLM's log, {asked.model!r} by the settings"
    if info.load_format and not _may_be(info.load_format, asked):
        yield f"load format {info.load_format} by vLLM's log, {asked.load_format} by the settings"
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "max_model_len"):
        logged, started = getattr(info, name), getattr(asked, name)
        if logged is not None and started is not None and logged != started:
            yield f"{name}={logged} by vLLM's log, {started} by the settings"
    if asked.enforce_eager and info.enforce_eager is False:  # the other way round vLLM decides by the model
        yield "enforce_eager=False by vLLM's log, True by the settings"
    if info.dtype and asked.dtype and info.dtype != DTYPES.get(asked.dtype, asked.dtype):
        yield f"dtype={info.dtype} by vLLM's log, {asked.dtype} by the settings"
    logged_share, share = info.gpu_memory_utilization, asked.gpu_memory_utilization
    if logged_share is not None and share is not None and abs(logged_share - share) > SHARE:
        yield f"gpu_memory_utilization={logged_share:g} by vLLM's log, {share:g} by the settings"


def _may_be(load_format: str, asked: Asked) -> bool:
    """Whether vLLM says so of what was started: `auto` is decided by the files, or by their address."""
    if asked.load_format in {None, load_format}:
        return True
    return asked.load_format == "auto" and (load_format in AUTO_BECOMES or "://" in (asked.model or ""))


def loader_of_another_format(e: Evidence) -> Iterator[str]:
    """The class of the loader that the probe saw, where it belongs to one format and another of vLLM's own was asked for."""
    known = {name for formats in FORMATS_OF_LOADERS.values() for name in formats}
    if e.asked.load_format not in known or "://" in (e.asked.model or ""):
        return
    for process in e.probe.processes:
        for loader in process.loaders:
            formats = FORMATS_OF_LOADERS.get(loader or "", {e.asked.load_format})
            if e.asked.load_format not in formats:
                yield f"{loader} loaded the weights of pid {process.pid} by the probe, and load format {e.asked.load_format} was set"


def log_of_another_server(e: Evidence) -> Iterator[str]:
    """The port that vLLM says it serves on."""
    for reading in e.log.readings:
        found = PORT.search(reading.texts.get("address", ""))
        if reading.phase == "server_starting" and found and e.asked.port and int(found[1]) != e.asked.port:
            yield f"vLLM serves on {reading.texts['address']} by its log, on port {e.asked.port} by its command"


def processes_twice(e: Evidence) -> Iterator[str]:
    """More API servers, engine cores or ranks than were started."""
    if e.asked.has_other_nodes:
        return
    servers = e.asked.api_servers
    expected = {
        "engine_core": e.asked.data_parallel_size,
        "api_server": servers + (servers > 1),  # several have a parent that is one too
    }
    for kind, most in expected.items():
        pids = [process.pid for process in e.probe.processes if process.kind == kind]
        if len(pids) > most:
            many = f"{most} {process_title(kind)} was" if most == 1 else f"{most} {process_title(kind)}s were"
            yield f"{many} started by the settings, {len(pids)} reported to the probe: pid {_pids(pids)}"
    for rank, count in Counter(process.rank for process in e.probe.processes if process.rank).items():
        if count > 1:
            pids = [process.pid for process in e.probe.processes if process.rank == rank]
            yield f"rank {rank} reported to the probe from {count} processes, pid {_pids(pids)}: expected one"
        if rank not in e.asked.ranks:
            yield f"rank {rank} reported to the probe, but the settings start {_ranks(e)}"


def processes_missing(e: Evidence) -> Iterator[str]:
    """Some reported, and others that there must be did not. Where none did, that is a warning of its own."""
    if not e.probe.processes or e.ready_s is None or e.asked.has_other_nodes:
        return
    kinds = Counter(process.kind for process in e.probe.processes)
    for kind in ONE_OF_A_KIND:
        if not kinds[kind]:
            yield f"the settings start an {process_title(kind)}, but none reported to the probe, as {len(e.probe.processes)} other processes did"
    if e.probe.ranks and (absent := [rank for rank in e.asked.ranks if rank not in e.probe.ranks]):
        yield f"the settings start {_ranks(e)}, but {', '.join(absent)} did not report to the probe"


def _pids(pids: list[int]) -> str:
    return ", ".join(map(str, pids))


def _ranks(e: Evidence) -> str:
    ranks = e.asked.ranks
    return (
        f"{len(ranks)} rank{'s' if len(ranks) > 1 else ''} ({ranks[0]}{f' to {ranks[-1]}' if len(ranks) > 1 else ''})"
    )
