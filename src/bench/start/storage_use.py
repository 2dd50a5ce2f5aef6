"""What a start made of its storage: how fast it read while it loaded, against what the storage was measured to deliver."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.page_cache import unique_files
from bench.host.storage_limit import kept_profiles, measure_and_keep, place_of_files
from bench.host.storage_profile import StorageProfile, best, could_become_firm, is_firm, of_place
from bench.system.interrupts import interruptible
from bench.system.output import print_message
from bench.weights.checkpoint import paths_read
from bench.weights.hub import checkpoint_folder

EXCEEDED = 1.10  # of the limit: what reads faster was not answered by the storage
TOO_SHORT_S = 0.5  # a load that the limit would let last less: a queue, or what a throttle lets through at once, may answer all of it


@dataclass(frozen=True)
class StorageUse:
    """`profiles` of the storage that this start read, in the order in which they were measured; `read_gib` by all ranks in `seconds` of loading.
    None: not known.
    """

    profiles: tuple[StorageProfile, ...] = ()
    read_gib: float | None = None
    seconds: float | None = None
    is_cold: bool = False

    @property
    def limit(self) -> StorageProfile | None:
        """The measurement that read most."""
        return best(self.profiles)

    @property
    def rate_gib_per_s(self) -> float | None:
        return self.read_gib / self.seconds if self.read_gib is not None and self.seconds else None

    @property
    def share(self) -> float | None:
        """Of the limit."""
        limit, rate = self.limit, self.rate_gib_per_s
        return rate / limit.read_gib_per_s if limit and rate is not None and limit.read_gib_per_s else None

    @property
    def exceeds(self) -> bool:
        """Whether a cold start read faster than its storage was seen to deliver, for long enough to tell."""
        if not self.is_cold or self.share is None or self.limit is None or self.read_gib is None:
            return False
        return self.share > EXCEEDED and self.read_gib > TOO_SHORT_S * self.limit.read_gib_per_s

    @property
    def is_firm(self) -> bool:
        """Whether that proves something about the start, and not about the limit."""
        return is_firm(self.profiles)


def measure_before(settings: Settings, folder: Path) -> None:
    """The storage of a start on its own, which has no sweep that would measure it."""
    is_single = settings.sweep.id is None and settings.sweep.kind == "start"
    if settings.storage_limit and is_single and (paths := paths_read(settings)):
        measure_and_keep(settings, paths, checkpoint_folder(settings), folder)


def storage_use(
    settings: Settings, folder: Path, load: tuple[float, float] | None, read_gib: float | None
) -> StorageUse:
    """Of a start that is over, which loaded its weights between these moments. One that read faster than the storage's limit has it measured again, now that vLLM is gone: a limit that moves
    proves nothing about a start.
    """
    if not settings.storage_limit or settings.sweep.kind != "start":
        return StorageUse()
    try:
        paths = unique_files(paths_read(settings))
    except (CheckpointError, OSError):  # it was changed meanwhile, which other checks are about
        return StorageUse()
    place = place_of_files(settings.storage, paths)
    use = StorageUse(
        of_place(kept_profiles(settings, folder), place),
        read_gib,
        load[1] - load[0] if load else None,
        settings.page_cache == "cold",
    )
    # A signal has no start to lose here: this one is complete, and whoever started it looks for the signal.
    with suppress(KeyboardInterrupt):
        while use.exceeds and could_become_firm(use.profiles):
            print_message("  it read faster than its storage: measuring the limit again")
            with interruptible():
                _, why = measure_and_keep(settings, paths, checkpoint_folder(settings), folder)
            use = replace(use, profiles=of_place(kept_profiles(settings, folder), place))
            if why:
                break
    return use
