"""The condition of one start: the host is brought into the state that was asked for, and what it was is written down."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.config import Settings
from bench.errors import StartError
from bench.host.compile_cache import Caches, caches_of, empty
from bench.host.host import Host
from bench.host.noise import Rig, Waiting, ignore_noise, quiet_rig
from bench.host.page_cache import agreeing_gauge, find_gauge, make_cold, make_warm, mapped_by, residency, unique_files
from bench.host.state import HostState
from bench.weights.checkpoint import files_read


@dataclass(frozen=True)
class Condition:
    """What is known before exec, and of the end."""

    settings: Settings
    paths: list[Path]
    gauge: str | None = None
    resident_before: float | None = None
    mapped_by: tuple[str, ...] = ()  # processes that could keep a cold checkpoint's pages
    tree_read: int | None = None  # bytes from storage, by all that vLLM started; None: not over, or not counted here
    rig: Rig | None = None
    noise: list[str] = field(default_factory=list)  # in which the start was made all the same


def caches_for(settings: Settings, host: Host) -> Caches:
    """The compile and JIT caches of this start, emptied where fresh ones were asked for."""
    caches = caches_of(settings, host)
    if caches.requested == "fresh":
        empty(caches)
    return caches


def caches_for_plan(settings: Settings, host: Host) -> dict[str, str]:
    """The variables that would move the caches; nothing is made or emptied."""
    return caches_of(settings, host).environment


def establish(settings: Settings, waiting: Waiting = ignore_noise) -> Condition:
    """Wait for a quiet host, then make the page cache cold or warm, and measure it: the last thing before exec.

    Raises:
        StartError: a cold start was asked for while a process has the checkpoint mapped. Its pages cannot be evicted.
    """
    rig, noise = quiet_rig(settings, waiting)  # first: a neighbour could change the page cache while we wait
    folder = Path(settings.checkpoint_path)
    paths = unique_files(folder / name for name in files_read(settings))
    condition = Condition(settings, paths, rig=rig, noise=noise)
    if not paths:
        return condition
    holders: tuple[str, ...] = ()
    if settings.page_cache == "cold":
        _refuse_mapped(paths)
        gauge = find_gauge(paths)
        make_cold(paths, gauge)
        holders = tuple(_named(mapped_by(paths)))  # somebody may have come meanwhile
    elif settings.page_cache == "warm":
        gauge = find_gauge(paths)
        make_warm(paths, gauge)
    else:
        gauge = agreeing_gauge(paths)
    return replace(condition, gauge=gauge, mapped_by=holders, resident_before=residency(paths, gauge).share)


def _refuse_mapped(paths: list[Path]) -> None:
    if holders := mapped_by(paths):
        raise StartError(
            f"page_cache=cold: {', '.join(_named(holders))} has the checkpoint mapped, so its pages cannot be evicted "
            "and the start would not be cold. End that process, or set page_cache=as_is"
        )


def _named(holders: dict[int, str]) -> list[str]:
    return [f"{name} (pid {pid})" for pid, name in sorted(holders.items())]


def conclude(condition: Condition, compile_cache: str, read: Mapping[str, int | None]) -> HostState:
    """After the last process of vLLM is gone.

    `compile_cache` is what vLLM did with it (log/compile_cache.py); `read` is what each rank took from storage while it loaded, in bytes.
    """
    settings = condition.settings
    reads_weights = settings.load_format.checkpoint != "config_only"
    return HostState(
        page_cache_requested=settings.page_cache,
        compile_cache_requested=settings.compile_cache
        if settings.sweep.kind == "start"
        else "as_is",  # a priming fills it
        reads_weights=reads_weights,
        direct_io=settings.load_format.direct_io,
        shared_files=settings.load_format.checkpoint == "original",
        mapped_by=condition.mapped_by,
        tree_read=condition.tree_read,
        gauge=condition.gauge,
        resident_before=condition.resident_before,
        resident_after=residency(condition.paths, condition.gauge).share if condition.paths else None,
        must_read=sum(path.stat().st_size for path in condition.paths) or None,
        read=dict(read) if reads_weights else {},
        compile_cache_found=compile_cache,
    )
