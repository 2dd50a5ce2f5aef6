"""Before the first start of a sweep: checkpoints and caches, each made once."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from bench.config import Settings
from bench.errors import CheckpointError, StartError, TrackingError
from bench.host.claims import checkpoints_claimed
from bench.host.device import describe_source
from bench.host.emulation.emulate import prepare_image
from bench.host.host import look_at_host
from bench.masking import masked, seal
from bench.start.files import PREPARE_LOG
from bench.start.steps import ENVIRONMENT_ERRORS, describe_error
from bench.start.tags import SOURCE
from bench.sweep.plan import Point
from bench.system.interrupts import unbroken
from bench.system.output import print_message
from bench.tracking.runs import log_preparation
from bench.weights.checkpoint import is_here
from bench.weights.earlier import describe_earlier
from bench.weights.hub import (
    checkpoint_folder,
    could_be_hub_id,
    folders_in_caches,
    is_remote,
    may_download,
    reads_hub,
    snapshot_of,
)
from bench.weights.make import Made, ensure_checkpoint, refuse_checkpoint
from bench.weights.manifest import MANIFEST, foreign_manifest
from bench.weights.space import needs_of, refuse_without_space


def refuse_checkpoints(every: Sequence[Settings], folder: Path, *, remake: bool = False) -> None:
    """Before anything is made or started. `folder` is for what is written besides.

    Raises:
        CheckpointError: an existing one is not the required one, or a disk has too little space for all of them, which a plan only prints.
    """
    if earlier := describe_earlier(every):
        print_message(earlier)
    try:
        refuse_without_space(
            need for each in every for need in needs_of(each, folder, remake=remake)
        )  # for all together
    except CheckpointError as error:
        if not every[0].dry_run:  # there may be room when it is started, or on another host
            raise
        print_message(str(error))
    for settings in every:
        refuse_checkpoint(settings, look_at_host(settings), remake=remake)
    for place in dict.fromkeys(Path(each.checkpoint_path) for each in every if each.model.random is None):
        for sentence in foreign_manifest(place):
            print_message(sentence)


def prepare_points(points: Sequence[Point], folder: Path) -> None:
    """Make every checkpoint that a point needs, before the first start."""
    for point in points:
        place = unused(folder / masked(f"prepare-{Path(point.settings.checkpoint_path).name}"))
        try:
            prepare_and_log(point.settings, place)
            prepare_storage(point.settings)
        except (
            StartError,
            TrackingError,
            *ENVIRONMENT_ERRORS,
        ) as error:  # its starts will fail with this reason, each a run
            print_message(f"{point.label}: {describe_error(error)}")


def prepare_storage(settings: Settings) -> None:
    """Copies the checkpoint to the file system that an emulated storage reads it from, if it has one and the checkpoint is here."""
    folder = checkpoint_folder(settings)
    if settings.storage.has_image and folder and folder.is_dir():
        with checkpoints_claimed(settings, print_message, shared=True):
            prepare_image(settings.storage, folder, Path(settings.caches_dir))


def unused(folder: Path) -> Path:
    """A path where nothing exists yet: this one, or the first of it with a number appended."""
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


def prepare_and_log(settings: Settings, folder: Path, *, remake: bool = False) -> list[Made]:
    """Make what is missing for these settings, and log each as a run of the preparations' experiment. Returns what was made."""
    if not (Path(settings.checkpoint_path).exists() or is_remote(settings.checkpoint_path) or reads_hub(settings)):
        print_message(f"preparing {settings.checkpoint_path}")
    with own_folder(folder):
        try:
            with checkpoints_claimed(settings, print_message):
                made = ensure_checkpoint(settings, look_at_host(settings), folder, lambda *_: None, remake=remake)
        finally:
            seal([folder / PREPARE_LOG])
        log_made(settings, folder, made)
    return made


def describe_elsewhere(settings: Settings) -> str | None:
    """Where on this host the hub id `model.path` lies, or who brings it here: bench never does. None: it is a folder, or a file.

    Raises:
        CheckpointError: it is not on this host, and may not be downloaded.
    """
    path = settings.model.path
    if is_remote(path):
        return f"{path} lies in an object store, from which vLLM reads it: there is nothing to prepare"
    if settings.model.random or not could_be_hub_id(path):
        return None
    folder, places = snapshot_of(settings), " or ".join(map(str, folders_in_caches(settings)))
    if folder and (is_here(settings) or not reads_hub(settings)):
        return f"{path} is a hub id, and lies in {folder}"
    if not may_download(settings):
        raise CheckpointError(
            f"model.path={path} is a hub id that is not whole in {places}, and vLLM may not download it: HF_HUB_OFFLINE, "
            "TRANSFORMERS_OFFLINE or VLLM_USE_MODELSCOPE is set."
        )
    when = (
        "while it is cut"
        if settings.load_format.checkpoint == "sharded"
        else "in its first start, which in a sweep does not count; there is nothing to prepare"
    )
    return f"{path} is a hub id that is not on this host: vLLM downloads it to {places} {when}"


def log_made(settings: Settings, folder: Path, made: Sequence[Made]) -> None:
    """Logs each as a run of the preparations' experiment. An unreachable MLflow is reported, not raised."""
    for each in made:
        files = [path for path in (folder / PREPARE_LOG, each.folder / MANIFEST) if path.exists()]
        logging = partial(log_preparation, settings.tracking, settings.flat(), each, files, source_tags())
        try:
            unbroken(logging, f"MLflow to take {each.folder.name}")
        except TrackingError as error:  # the checkpoint exists nevertheless
            print_message(f"{error}\nThis preparation is no run in MLflow; {each.folder / MANIFEST} describes it.")
        print_message(f"made {each.folder}: {each.size_gib:.2f} GiB in {each.duration_s:.1f} s")


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Creates `folder` with its missing parents. Those that are still empty at the end of the block are removed."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # the first that is not empty, and so those above it
            for each in missing:
                each.rmdir()


def source_tags() -> dict[str, str]:
    """The git commit of this bench, as tags. Empty for an installed wheel."""
    return SOURCE.of(describe_source())
