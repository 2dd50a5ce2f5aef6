"""The limits of the storages that a sweep reads: measured before its first block and after its last, while no vLLM runs."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.claims import caches_claimed, checkpoints_claimed
from bench.host.host import look_at_host
from bench.host.page_cache import unique_files
from bench.host.storage_limit import copied_to_gpu, kept_profiles, measure_and_keep, place_of_files
from bench.host.storage_profile import StorageProfile, has_moved, of_place
from bench.start.tags import STORAGE_LIMIT
from bench.sweep.plan import Point
from bench.system.output import print_message
from bench.vllm.forsaken import end_forsaken
from bench.weights.checkpoint import paths_read
from bench.weights.hub import checkpoint_folder


def measure_limits(points: Sequence[Point], sweep_id: str) -> None:
    """Each storage that these points read, once; where it is not the first time and the limit has moved, once more. The profiles are kept for the
    starts, and what could not be measured is printed.
    """
    settings = _of_sweep(points[0].settings, sweep_id)
    if not settings.storage_limit:
        return
    known = kept_profiles(settings)
    with caches_claimed(settings, print_message), checkpoints_claimed(settings, print_message, shared=True):
        end_forsaken()
        gpu = {} if known else _of_gpu(settings)
        for place, (settings_there, paths) in _by_place(points, sweep_id).items():
            before = of_place(known, place)
            measuring = partial(measure_and_keep, settings_there, paths, checkpoint_folder(settings_there))
            profile, why = measuring(gpu=gpu)
            if profile and before and has_moved([before[-1], profile]):
                print_message(f"  {_in_words(profile)}: it was {before[-1].read_gib_per_s:.2f} GiB/s before")
                profile, why = measuring()
            print_message(f"  {_in_words(profile)}" if profile else f"  storage_limit: {place} was not measured: {why}")


def limit_tags(settings: Settings, sweep_id: str) -> dict[str, str]:
    """All that was measured, as the tag of the sweep's run."""
    return STORAGE_LIMIT.of(kept_profiles(_of_sweep(settings, sweep_id)) or None)


def _of_sweep(settings: Settings, sweep_id: str) -> Settings:
    place = settings.sweep.model_copy(update={"id": sweep_id})
    return settings.model_copy(update={"sweep": place})


def _of_gpu(settings: Settings) -> dict[str, float]:
    host = look_at_host(settings)
    return copied_to_gpu(host.python) if host.device.kind == "cuda" and not settings.vllm.command else {}


def _by_place(points: Sequence[Point], sweep_id: str) -> dict[str, tuple[Settings, list[Path]]]:
    """The settings of the first point that reads a storage, and the files that it reads there."""
    found: dict[str, tuple[Settings, list[Path]]] = {}
    for settings in (_of_sweep(point.settings, sweep_id) for point in points):
        with suppress(CheckpointError, OSError):  # what is wrong with it is for its start to say
            files = unique_files(paths_read(settings))
            if place := place_of_files(settings.storage, files):
                found.setdefault(place, (settings, files))
    return found


def _in_words(profile: StorageProfile) -> str:
    """`storage vda ext4: 1.31 GiB/s, 10,400 reads of 128 KiB a second`"""
    through = "" if profile.is_direct else ", through a cache"
    reads = f", {profile.reads_per_s_128_kib:,.0f} reads of 128 KiB a second" if profile.reads_per_s_128_kib else ""
    return f"storage {profile.place}: {profile.read_gib_per_s:.2f} GiB/s{reads}{through}"
