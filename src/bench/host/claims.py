"""What the starts of one host share, and the locks that keep them apart. The kernel frees them after a crash.

    a start         holds its caches_dir alone, from emptying its caches to vLLM's end, and its models_dir with other starts
    a preparation   holds the models_dir alone while it makes a checkpoint
    a sweep         holds its folder, which no second sweep writes to, and its id, which no second command resumes

Two starts with different caches_dir do not wait for each other, so they can run side by side.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.config import Settings
from bench.errors import LockError, SettingError
from bench.system.locks import holder, locked

LOCK = ".bench.lock"

OnWait = Callable[[str], None]


@contextmanager
def caches_claimed(settings: Settings, on_wait: OnWait) -> Iterator[float]:
    """Other starts of this host with this caches_dir wait until the block ends. Yields how long this process has waited for them, in s.

    Raises:
        LockError: no lock can be created in caches_dir.
    """
    began_s = time.monotonic()
    with locked(Path(settings.caches_dir) / LOCK, on_wait):
        yield time.monotonic() - began_s


@contextmanager
def checkpoints_claimed(settings: Settings, on_wait: OnWait, *, shared: bool = False) -> Iterator[None]:
    """No checkpoint of models_dir is made or replaced by another process in this block; `shared`: by this one neither.

    Checkpoints elsewhere, and those that this process could not change, need no lock.
    """
    models = Path(settings.models_dir)
    place = Path(settings.checkpoint_path)
    if models.resolve() not in place.resolve().parents or (models.exists() and not os.access(models, os.W_OK)):
        yield
        return
    with locked(models / LOCK, on_wait, shared=shared):
        yield


@contextmanager
def sweep_claimed(settings: Settings, sweep_id: str) -> Iterator[None]:
    """No other process runs or resumes this sweep while the block lasts.

    Raises:
        SettingError: another process does; the message names it.
    """
    with _claimed_now(
        Path(settings.caches_dir) / "sweeps" / f"{sweep_id}.lock",
        f"resume=true: sweep {sweep_id} is still running",
        "Wait for its end, or interrupt it.",
    ):
        yield


@contextmanager
def folder_claimed(folder: Path) -> Iterator[None]:
    """No other process's sweep writes to this folder while the block lasts.

    Raises:
        SettingError: another sweep does.
    """
    advice = "Choose another folder, or leave it out: each sweep has one of its own."
    with _claimed_now(folder / LOCK, f"hydra.sweep.dir={folder}: another sweep is writing there", advice):
        yield


@contextmanager
def _claimed_now(path: Path, otherwise: str, advice: str) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(locked(path, lambda _: None, timeout_s=0))
        except LockError as error:
            if (other := holder(path)) is None:
                raise
            raise SettingError(f"{otherwise}, by {other}. {advice}") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # no process waits for it: one that found it locked was refused
