"""The host of one start: brought into the requested state, and measured before and after."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.config import Settings
from bench.errors import StartError
from bench.host.compile_cache import Caches, caches_of, empty
from bench.host.emulation.emulate import StorageInUse
from bench.host.host import Host
from bench.host.noise import Rig, Waiting, ignore_noise, quiet_rig
from bench.host.page_cache import (
    agreeing_gauge,
    counts_reads,
    find_gauge,
    make_cold,
    make_warm,
    mapped_by,
    residency,
    unique_files,
)
from bench.host.state import HostState
from bench.log.start_log import StartLog
from bench.weights.checkpoint import paths_read


@dataclass(frozen=True)
class StateBefore:
    """What is measured before exec."""

    settings: Settings
    paths: list[Path]
    gauge: str | None = None
    bytes: int | None = None  # of the files
    # Whether what is read of them is counted; None: not tried, as residency can be measured.
    counts_reads: bool | None = None
    resident_before: float | None = None
    mapped_by: tuple[str, ...] = ()  # processes that could keep a cold checkpoint's pages
    rig: Rig | None = None
    noise: list[str] = field(default_factory=list)  # in which the start was made all the same
    storage: StorageInUse | None = (
        None  # which knows what is measured after the end, when it is gone; None: it is still there
    )


def caches_for(settings: Settings, host: Host) -> Caches:
    """The compile and JIT caches of this start, emptied where fresh ones were requested."""
    caches = caches_of(settings, host)
    if caches.requested == "fresh":
        empty(caches)
    return caches


def prepare_state(settings: Settings, waiting: Waiting = ignore_noise) -> StateBefore:
    """Wait for a quiet host, then make the page cache cold or warm, and measure it: the last thing before exec.

    Raises:
        StartError: a cold start was requested while a process has the checkpoint mapped. Its pages cannot be evicted.
    """
    rig, noise = quiet_rig(settings, waiting)  # first: a neighbour could change the page cache while we wait
    paths = unique_files(paths_read(settings))
    before = StateBefore(settings, paths, bytes=_bytes(paths), rig=rig, noise=noise)
    if not paths:
        return before
    holders, counted = tuple[str, ...](), None
    if settings.page_cache == "cold":
        _refuse_mapped(paths)
        gauge = find_gauge(paths)
        counted = None if gauge else counts_reads(paths)
        make_cold(paths, gauge)
        holders = tuple(_named(mapped_by(paths)))  # somebody may have come meanwhile
    elif settings.page_cache == "warm":
        gauge = find_gauge(paths)
        counted = None if gauge else counts_reads(paths)
        make_warm(paths, gauge)
    else:
        gauge = agreeing_gauge(paths)
    return replace(
        before, gauge=gauge, counts_reads=counted, mapped_by=holders, resident_before=residency(paths, gauge)
    )


def resident_now(before: StateBefore) -> float | None:
    """The share of the checkpoint that is in the page cache. None: unknown, or it reads none."""
    return residency(before.paths, before.gauge) if before.paths else None


def _refuse_mapped(paths: list[Path]) -> None:
    if holders := mapped_by(paths):
        raise StartError(
            f"page_cache=cold: {', '.join(_named(holders))} has the checkpoint mapped, so its pages cannot be evicted "
            "and the start would not be cold. End that process, or set page_cache=as_is"
        )


def _bytes(paths: list[Path]) -> int | None:
    return sum(path.stat().st_size for path in paths) or None


def _named(holders: dict[int, str]) -> list[str]:
    return [f"{name} (pid {pid})" for pid, name in sorted(holders.items())]


def measured_state(
    before: StateBefore,
    log: StartLog,
    read: Mapping[str, int | None],
    tree_read: int | None = None,
    delivered: int = 0,
) -> HostState:
    """After the last process of vLLM is gone.

    `log` has what vLLM did with its compile cache; `read` is what each rank read from storage while it loaded, in bytes; `tree_read` what all of
    vLLM's processes read; None: not counted. `delivered` are the bytes that the ranks were given.
    """
    settings = before.settings
    reads_weights = settings.load_format.checkpoint != "config_only"
    return HostState(
        page_cache_requested=settings.page_cache,
        compile_cache_requested=settings.compile_cache
        if settings.sweep.kind == "start"
        else "as_is",  # a priming fills it
        reads_weights=reads_weights,
        delivered=delivered,
        direct_io=settings.load_format.direct_io,
        shared_files=settings.load_format.checkpoint == "original",
        mapped_by=before.mapped_by,
        tree_read=tree_read,
        gauge=before.gauge,
        resident_before=before.resident_before,
        resident_after=before.storage.resident_after if before.storage else resident_now(before),
        counts_reads=before.counts_reads,
        must_read=before.bytes,
        bytes_after=_bytes(before.paths),
        read=dict(read) if reads_weights else {},
        compile_cache_found=log.compile_cache,
        bytecode_requested="as_is" if settings.vllm.command else settings.bytecode,  # an image's is left as it is
        compiles=False if False in {log.info.compiles, not log.info.enforce_eager} else None,
    )
