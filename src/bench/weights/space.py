"""Whether there is room on the disks for what will be written, before anything is."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.emulation.emulate import image_of
from bench.host.emulation.image import ROOM, size_of
from bench.weights.checkpoint import GIB, weight_files
from bench.weights.recipes.write import size_bytes

CACHES_BYTES = 1 * GIB  # compile and JIT caches of one kind of start
OUTPUTS_BYTES = GIB // 16  # a start's log, probe events and pictures
# What all ranks hold alike, and padding: 62.08 of 60.77 GiB were measured for gpt-oss-120b cut for 2.
GROWTH_A_RANK = 0.015


@dataclass(frozen=True)
class Need:
    """Something that will be written."""

    what: str
    place: Path  # where it will lie; need not exist yet
    size: int  # bytes
    setting: str  # which chooses the place


def refuse_without_space(needs: Iterable[Need]) -> None:
    """Refuse to begin what a disk has too little space for. Places on one disk are added up; a place that is needed twice counts once.

    Raises:
        CheckpointError: how much is needed for what, how much is free, and where.
    """
    by_disk: dict[int, list[Need]] = {}
    for need in {(need.what, need.place): need for need in needs}.values():
        by_disk.setdefault(existing(need.place).stat().st_dev, []).append(need)
    for members in by_disk.values():
        needed, disk = sum(need.size for need in members), existing(members[0].place)
        free = shutil.disk_usage(disk).free
        if needed > free:
            raise CheckpointError(_refusal(members, needed, free, disk))


def _refusal(needs: Sequence[Need], needed: int, free: int, disk: Path) -> str:
    listed = "; ".join(f"{need.size / GIB:.2f} GiB for {need.what} in {need.place}" for need in needs)
    settings = " or ".join(sorted({need.setting for need in needs}))
    return (
        f"There is not enough room on the disk of {disk.resolve()}: {needed / GIB:.2f} GiB are needed, {free / GIB:.2f} GiB are free.\n"
        f"Needed: {listed}.\nRemove what is not needed there, or set {settings} to a place on another disk."
    )


def existing(place: Path) -> Path:
    """The place, or the nearest folder above it that is there already."""
    place = place.absolute()
    while not place.exists():
        place = place.parent
    return place


def needs_of(settings: Settings, outputs: Path, *, remake: bool = False) -> list[Need]:
    """What preparing and starting with these settings will write: checkpoints that are missing or made again, caches, outputs.

    The size of a model in a hub is not known, so neither it nor what is cut from it is in the list.
    """
    needs = [
        Need("compile caches", Path(settings.caches_dir), CACHES_BYTES, "caches_dir"),
        Need("outputs", outputs, OUTPUTS_BYTES, "hydra.run.dir and hydra.sweep.dir"),
    ]
    model, sharded = settings.model, settings.load_format.checkpoint == "sharded"
    place = Path(model.path)
    if model.random and (not place.exists() or (remake and not sharded)):
        needs.append(Need("random weights", place, size_bytes(model.random), "models_dir"))
    size = size_bytes(model.random) if model.random else sum(weight_files(place).values())
    cut_place = Path(settings.checkpoint_path)
    if sharded and size and (remake or not cut_place.exists()):
        ranks = settings.tensor_parallel_size
        grown = int(size * (1 + GROWTH_A_RANK * ranks))
        setting = "models_dir" if cut_place.parent == Path(settings.models_dir) else "model.sharded_path"
        needs.append(Need(f"a checkpoint cut for {ranks}", cut_place, grown, setting))
    return [*needs, *_of_image(settings, size)]


def _of_image(settings: Settings, size: int) -> list[Need]:
    """The copy of the checkpoint on a file system of its own, where an emulated storage has one on a disk. `size`: of what is copied, in bytes."""
    folder, caches = Path(settings.checkpoint_path), Path(settings.caches_dir)
    if not settings.storage.has_image or settings.storage.image == "memory":
        return []
    image = image_of(settings.storage, folder, caches)
    whole = size_of(folder) if folder.is_dir() else size + ROOM
    return [] if image.exists() else [Need("a copy of the checkpoint", image, whole, "caches_dir")]
