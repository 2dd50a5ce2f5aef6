"""A sweep: its points checked as a whole, their checkpoints made, and every point started once a block.

Called by the Hydra sweeper, which brings the composed points and a launcher; everything that makes a sweep ours is here.
"""

import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.config import SECRET, Settings, Tracking, mask
from bench.console import say
from bench.errors import SettingError, StartError, TrackingError
from bench.host.environment import describe_source
from bench.host.measured import look_at_host
from bench.job import Outcome, bring_in
from bench.tracking.runs import close_sweep, log_preparation, open_sweep
from bench.weights.checkpoint import MANIFEST
from bench.weights.prepare import LOG as PREPARE_LOG
from bench.weights.prepare import Made, ensure_checkpoint

SHORT = {"tensor_parallel_size": "tp", "gpu_memory_utilization": "mem", "max_model_len": "len"}


@dataclass(frozen=True)
class Point:
    """One combination of settings. `label` names it for people: what varies in this sweep, the load format first."""

    label: str
    overrides: tuple[str, ...]
    settings: Settings


Job = list[str]  # the overrides of one start
Launch = Callable[[Sequence[Job]], Sequence[Outcome]]


def run_sweep(points: Sequence[Point], folder: Path, launch: Launch) -> list[Outcome]:
    """Every start of the sweep, block by block, below one MLflow run. Failed starts do not stop it."""
    adopted = os.environ.pop("MLFLOW_RUN_ID", None)  # of `mlflow run`; a start must not take it for its own
    refuse_what_this_host_cannot(points)
    settings = points[0].settings
    sweep_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    parent = open_sweep(settings.tracking, sweep_id, adopted=adopted, params=_params(points), tags=_tags(points))
    blocks = blocks_of(points, settings.seed)
    place = {
        "id": sweep_id,
        "parent_run_id": f"'{parent}'",  # quoted: an id like 12e34 is no number
        "starts": sum(map(len, blocks)),
    }
    outcomes: list[Outcome] = []
    failed = True
    try:
        prepare_points(points, folder)
        for block in blocks:
            outcomes += launch([_job(start, place) for start in block])
        outcomes = [second_try(settings.tracking, outcome) for outcome in outcomes]
        failed = any(outcome.reason for outcome in outcomes)
    finally:
        if adopted is None:  # else `mlflow run` ends its run itself
            close_sweep(settings.tracking, parent, failed=failed)
    tell(outcomes, sweep_id)
    return outcomes


def refuse_what_this_host_cannot(points: Sequence[Point]) -> None:
    """Before the first start, and all at once.

    Raises:
        SettingError: an interpreter without vLLM, more ranks than a CPU host has cores.
    """
    problems = []
    for point in points:
        try:
            look_at_host(point.settings)
        except SettingError as error:
            problems.append(str(error))
    if problems:
        raise SettingError("\n".join(dict.fromkeys(problems)))


@dataclass(frozen=True)
class Start:
    """A point's place in the order of the whole sweep. `position` counts from 1, `repeat` from 0."""

    point: Point
    repeat: int
    position: int


def blocks_of(points: Sequence[Point], seed: int) -> list[list[Start]]:
    """The order of the starts, in blocks that hold every point once, shuffled.

    A drift of the host over the sweep then touches all points alike. A point that asks for fewer repeats is left out of
    the later blocks.
    """
    shuffler = random.Random(seed)  # noqa: S311  # an order, not a secret
    position = 0
    blocks = []
    for repeat in range(max(point.settings.repeats for point in points)):
        members = [point for point in points if repeat < point.settings.repeats]
        shuffler.shuffle(members)
        blocks.append([Start(point, repeat, position) for position, point in enumerate(members, position + 1)])
        position += len(members)
    return blocks


def _job(start: Start, shared: dict[str, object]) -> Job:
    place = shared | {"point": f"'{start.point.label}'", "repeat": start.repeat, "position": start.position}
    return [*start.point.overrides, *(f"sweep.{name}={value}" for name, value in place.items())]


def label_points(points: Sequence[tuple[str, ...]], settings: Sequence[Settings]) -> list[Point]:
    """Name each point by what varies between them."""
    varying = {override for point in points for override in point if not all(override in other for other in points)}
    names = _shown(points)
    chosen = [[names[override] for override in point if override in varying] for point in points]
    labels = [_label(overrides, each) for overrides, each in zip(chosen, settings, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [" ".join(overrides) for overrides in chosen]
    return [Point(label, point, each) for label, point, each in zip(labels, points, settings, strict=True)]


def _shown(points: Iterable[Sequence[str]]) -> dict[str, str]:
    """Each override as it may be printed: the values of a secret are numbered instead."""
    shown: dict[str, str] = {}
    for override in (override for point in points for override in point):
        key, _, value = override.lstrip("+").partition("=")
        if SECRET.search(key):
            numbered = 1 + sum(each.lstrip("+").startswith(f"{key}=") for each in shown if each != override)
            value = f"#{numbered}"
        shown.setdefault(override, f"{key}={value}")
    return shown


def _label(overrides: Sequence[str], settings: Settings) -> str:
    pairs = [override.partition("=")[::2] for override in overrides]
    if not pairs:
        return settings.load_format.name
    formats = [value for key, value in pairs if key == "load_format"]
    others = [f"{SHORT.get(key, key.rpartition('.')[2])}={value}" for key, value in pairs if key != "load_format"]
    return re.sub(r"['\"\\]", "", " ".join([*formats, *others]))


def prepare_points(points: Sequence[Point], folder: Path) -> None:
    """Make every checkpoint that a point needs, before the first start.

    Raises:
        CheckpointError: one is there and is not the right one.
    """
    for point in points:
        place = folder / f"prepare-{Path(point.settings.checkpoint_path).name}"
        try:
            prepare_and_remember(point.settings, place)
        except StartError as error:  # its starts will fail with this reason, each a run
            say(f"{point.label}: {error}")


def prepare_and_remember(settings: Settings, folder: Path, *, remake: bool = False) -> list[Made]:
    """Make what is missing for these settings; what was made is a run of the preparations' experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    if not Path(settings.checkpoint_path).exists():
        say(f"preparing {settings.checkpoint_path}")
    made = ensure_checkpoint(settings, look_at_host(settings), folder, lambda *_: None, remake=remake)
    for each in made:
        files = [path for path in (folder / PREPARE_LOG, each.folder / MANIFEST) if path.exists()]
        log_preparation(settings.tracking, settings.flat(), each, files, _source_tags())
        say(f"made {each.folder}: {each.size_gib:.2f} GiB in {each.duration_s:.1f} s")
    if not any(folder.iterdir()):
        folder.rmdir()
    return made


def second_try(tracking: Tracking, outcome: Outcome) -> Outcome:
    """MLflow may be back from being away."""
    if outcome.run_id:
        return outcome
    try:
        return replace(outcome, run_id=bring_in(tracking, Path(outcome.folder)))
    except TrackingError as error:
        say(str(error))
        return outcome


def tell(outcomes: Sequence[Outcome], sweep_id: str) -> None:
    """The end of a sweep: what failed and why, and what to do next."""
    failures = [outcome for outcome in outcomes if outcome.reason]
    say(f"sweep {sweep_id}: {len(outcomes) - len(failures)} of {len(outcomes)} starts finished")
    for outcome in failures:
        say(f"  FAILED  {outcome.name}: {outcome.reason}")
    say(f"compare them:  python -m bench.compare sweep={sweep_id}")


def _params(points: Sequence[Point]) -> dict[str, str]:
    """The sweep's own: its order, and every value that each varied setting had."""
    settings = points[0].settings
    flats = [point.settings.flat() for point in points]
    varied = {name: sorted({flat.get(name, "") for flat in flats}) for name in flats[0]}
    values = {name: ",".join(some) for name, some in varied.items() if len(some) > 1}
    order = {"seed": str(settings.seed), "repeats": str(settings.repeats), "points": str(len(points))}
    return {name: mask(name, value) for name, value in (values | order).items()}


def _tags(points: Sequence[Point]) -> dict[str, str]:
    return {"bench.points": "\n".join(point.label for point in points)} | _source_tags()


def _source_tags() -> dict[str, str]:
    return {f"source.{name}": value for name, value in describe_source().items()}
