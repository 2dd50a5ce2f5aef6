"""The points of a sweep as a whole, before its first start: what none of them shows by itself."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.config import Settings, flattened
from bench.errors import SettingError
from bench.host.compile_cache import caches_of
from bench.host.emulation.emulate import why_not
from bench.host.host import Host, look_at_host
from bench.overrides.setting_names import choices, shown
from bench.sweep.plan import Point
from bench.vllm.check_arguments import refuse_arguments
from bench.vllm.command import command_for
from bench.vllm.load import refuse_load
from bench.vllm.loader_settings import LOADERS
from bench.weights.checkpoint import place_of
from bench.weights.hub import checkpoint_folder

# What decides what a start is, beside the command and the variables of its vLLM.
BESIDE_THE_COMMAND = {
    "model",
    "storage",
    "page_cache",
    "compile_cache",
    "bytecode",
    "probe",
    "completion",
    "serve_bench",
    "steady",
    "models_dir",
}


def refuse_repeats_of_nothing(points: Sequence[Point]) -> None:
    """Refuses a load format in `repeats_of` without a point: it would have no effect. An experiment's may be one that was not asked for.

    Raises:
        SettingError: no point of this sweep has this load format, and it was typed, or there is none of this name.
    """
    known = set() if "repeats_of" in _typed(points) else {*choices("load_format"), *LOADERS}
    formats = sorted({point.settings.load_format.name for point in points})
    if unknown := sorted(points[0].settings.repeats_of.keys() - set(formats) - known):
        raise SettingError(
            f"repeats_of.{unknown[0]}: no point of this sweep has this load format; they have {', '.join(formats)}."
            f" Leave it out; what an experiment brings, with ~repeats_of.{unknown[0]}."
        )


def refuse_without_effect(points: Sequence[Point]) -> None:
    """Refuses a number of blocks that was typed and would not count.

    Raises:
        SettingError: bounds without `precision`, `repeats` beside it, or more blocks of a load format than of the sweep.
    """
    settings, typed = points[0].settings, _typed(points)
    blocks = settings.repeats if settings.precision is None else settings.max_blocks
    if settings.precision is None and (bounds := sorted(typed & {"min_blocks", "max_blocks"})):
        raise SettingError(f"{bounds[0]}: this has no effect without precision. Leave it out, or add precision=10%.")
    if settings.precision is not None and "repeats" in typed:
        raise SettingError(
            f"repeats={settings.repeats}: precision={settings.precision} decides how many blocks there are, at most max_blocks={blocks}."
            " Leave it out, or set precision=null."
        )
    more = {name: number for name, number in settings.repeats_of.items() if number > blocks}
    if more and "repeats_of" in typed:
        name, number = min(more.items())
        bound = "repeats" if settings.precision is None else "max_blocks"
        raise SettingError(
            f"repeats_of.{name}={number}: fewer blocks than {bound}={blocks} alone are possible. Set {bound}={number}."
        )


def _typed(points: Sequence[Point]) -> set[str]:
    """The first part of each setting's name among the words of a sweep."""
    return {word.lstrip("+").partition("=")[0].partition(".")[0] for point in points for word in point.overrides}


def refuse_what_this_host_cannot(points: Sequence[Point]) -> list[Host]:
    """Checks all points before the first start, and raises one error for all. Returns the host of each point.

    Raises:
        SettingError: an interpreter without vLLM, more ranks than a CPU host has cores, an argument that this vLLM does not take.
    """
    hosts, problems = [], []
    for point in points:
        try:
            hosts.append(look_at_host(point.settings))
        except SettingError as error:
            problems.append(str(error))
    if problems:
        raise SettingError("\n".join(dict.fromkeys(problems)))
    refuse_arguments(zip((point.settings for point in points), hosts, strict=True))
    refuse_load(zip((point.settings for point in points), hosts, strict=True))
    return hosts


def refuse_storages(every: Sequence[Settings]) -> None:
    """Refuses emulated storages that cannot be had here.

    Raises:
        SettingError: which, and why: no controller, no right to it, a checkpoint on no disk.
    """
    for settings in (each for each in every if each.storage.is_emulated):
        place = place_of(settings)
        why = (
            "the weights are read from an object store, and no disk of this host."
            if place is None
            else why_not(settings.storage, place, checkpoint_folder(settings), Path(settings.caches_dir))
        )
        if why:
            raise SettingError(f"storage={settings.storage.name}: {why}")


def refuse_equal_points(points: Sequence[Point], hosts: Sequence[Host]) -> None:
    """Refuses two points of which the same would run: two spellings of one value, a value typed twice, a default beside its own value.
    Their ratio would be taken for one of two settings.

    Raises:
        SettingError: names the words in which they differ.
    """
    seen: dict[str, Point] = {}
    for point, host in zip(points, hosts, strict=True):
        other = seen.setdefault(_what_runs(point, host), point)
        if other is point:
            continue
        mine, theirs = (
            [word for word in one if word not in two]
            for one, two in ((other.overrides, point.overrides), (point.overrides, other.overrides))
        )
        pairs = [" and ".join(map(shown, pair)) for pair in zip(mine, theirs, strict=False)]
        more = map(shown, mine[len(pairs) :] + theirs[len(pairs) :])
        what = ", ".join([*pairs, *more]) or " ".join(map(shown, point.overrides))
        raise SettingError(
            f"{what}: the same start would run for both. Type one of them; aa=true starts the baseline a second time, repeats=N each point N times."
        )


def _what_runs(point: Point, host: Host) -> str:
    """All that decides what a start is, as text. The port is chosen anew for each start."""
    settings = point.settings
    command = command_for(settings, host, 0, caches_of(settings, host).environment)
    beside = flattened(settings.model_dump(include=BESIDE_THE_COMMAND))
    words = [_in_one_order(word) for word in command.arguments]
    return repr((words, sorted(command.environment.items()), sorted(beside.items(), key=str)))


def _in_one_order(word: str) -> str:
    """A word that is JSON with the keys of its objects sorted; any other as it is."""
    try:
        return json.dumps(json.loads(word), sort_keys=True) if word.startswith(("{", "[")) else word
    except (ValueError, RecursionError):
        return word
