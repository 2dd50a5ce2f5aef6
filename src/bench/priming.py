"""Which starts must be made for nothing but full caches, before any that counts."""

from collections.abc import Iterable

from bench.config import Settings
from bench.host.measured import look_at_host
from bench.host.vllm_caches import caches_of, key_of


def unprimed(every: Iterable[Settings]) -> list[Settings]:
    """One of each kind whose caches no start has filled yet, in the order of their first. Empty where nothing is kept:
    neither without primed caches nor on a CPU without torch.compile.
    """
    found: dict[str, Settings] = {}
    for settings in every:
        host = look_at_host(settings)
        eager = (host.needs.arguments | settings.arguments).get("enforce_eager")
        nothing_to_keep = host.device.kind == "cpu" and eager
        if settings.compile_cache == "primed" and not nothing_to_keep and not caches_of(settings, host).primed:
            found.setdefault(key_of(settings, host), settings)
    return list(found.values())


def as_priming(settings: Settings) -> Settings:
    """The same start, made for its caches alone: in no sweep, and whatever the page cache holds."""
    place = settings.sweep.model_copy(update={"kind": "prime", "parent_run_id": None})
    return settings.model_copy(update={"sweep": place, "page_cache": "as_is"})


# The same as overrides, for a launcher that composes its jobs itself.
AS_PRIMING = ("sweep.kind=prime", "page_cache=as_is")
