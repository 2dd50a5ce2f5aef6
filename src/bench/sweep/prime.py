"""The untimed starts before the first that counts: to download, then to fill caches, to take a fingerprint, or both at once."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.config import Settings
from bench.host.compile_cache import caches_of, key_of
from bench.host.host import look_at_host
from bench.sweep.plan import Point
from bench.sweep.verify import unverified
from bench.weights.checkpoint import is_here
from bench.weights.hub import folders_in_caches, may_download, quantisation_of, reads_hub

OTHER_FILES = {"pt", "npcache", "mistral"}  # load formats that download other files of a repository than all others do


@dataclass(frozen=True)
class Untimed:
    """A start that does not count, and its purpose."""

    settings: Settings
    fills: bool  # its compile and JIT caches
    verifies: bool
    downloads: bool = False

    def overrides(self) -> tuple[str, ...]:
        """For a launcher that composes its jobs itself."""
        return ("sweep.kind=prime", "page_cache=as_is", f"verify={str(self.verifies).lower()}")

    def as_settings(self) -> Settings:
        """The same start, made for this alone: in no sweep, and whatever the page cache holds."""
        place = self.settings.sweep.model_copy(update={"kind": "prime", "parent_run_id": None})
        return self.settings.model_copy(update={"sweep": place, "page_cache": "as_is", "verify": self.verifies})


def downloads(points: Sequence[Point]) -> list[Untimed]:
    """One start for each checkpoint of a hub that is not on this host and may be downloaded. It fills its caches besides."""
    found: dict[str, Settings] = {}
    for settings in (point.settings for point in points):
        if reads_hub(settings) and may_download(settings) and not is_here(settings):
            layout = settings.load_format.name if settings.load_format.name in OTHER_FILES else None
            layout = quantisation_of(settings.model.path) or layout
            key = [*map(str, folders_in_caches(settings)), settings.arguments.get("revision"), layout]
            found.setdefault(json.dumps(key), settings)
    return [Untimed(settings, fills=False, verifies=False, downloads=True) for settings in found.values()]


def untimed(points: Sequence[Point]) -> list[Untimed]:
    """The fewest starts that fill all caches and give all fingerprints that are missing: one does both where both are due."""
    to_verify = unverified(points)
    unfilled = unprimed([*to_verify, *(point.settings for point in points)])
    fills = {id(settings) for settings in unfilled}
    both = [Untimed(settings, id(settings) in fills, verifies=True) for settings in to_verify]
    verified = {id(settings) for settings in to_verify}
    return both + [Untimed(each, fills=True, verifies=False) for each in unfilled if id(each) not in verified]


def unprimed(every: Iterable[Settings]) -> list[Settings]:
    """One of each kind whose caches no start has filled yet, in the order of their first; empty without primed caches. An eager start on a
    CPU keeps something too: what vLLM found out about the model's class, for which it imports itself in one more process.
    """
    found: dict[str, Settings] = {}
    for settings in every:
        host = look_at_host(settings)
        if settings.compile_cache == "primed" and not caches_of(settings, host).primed:
            found.setdefault(key_of(settings, host), settings)
    return list(found.values())


def describe_untimed(starts: Sequence[Untimed]) -> str:
    """Their number and purpose. Empty where there are none."""
    if not starts:
        return ""
    fill, verify = sum(each.fills for each in starts), sum(each.verifies for each in starts)
    download = sum(each.downloads for each in starts)
    what = [f"to download: {download}"] * bool(download)
    what += [f"to fill compile caches: {fill}"] * bool(fill) + [f"to verify weights: {verify}"] * bool(verify)
    both = fill + verify + download - len(starts)
    counted = "1 start that does not count" if len(starts) == 1 else f"{len(starts)} starts that do not count"
    return f"{counted} ({', '.join(what)}{f'; both: {both}' if both else ''})"
