"""A loader's settings in a sweep over load formats: each counts for the formats whose loader has it, and is left out of the others' points.

So `load_format=auto,runai_streamer load_format.extra.concurrency=4,16` is auto once, and the streamer with 4 and with 16 threads.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bench.config import Settings, conf_dir
from bench.system.output import print_message
from bench.vllm.loader_settings import reads_variable, settings_of

SECTIONS = ("extra", "env", "args")  # of load_format

Words = tuple[str, ...]  # the overrides of a point


def own_settings_only(points: Sequence[Words], settings: Sequence[Settings]) -> list[Words]:
    """The points without what another load format of this sweep has and theirs has not, each once. Prints what is left out, and of which.

    A setting that no format of the sweep has stays, and is refused later. `settings`: of each point, as composed from all of its words.
    """
    formats = {each.load_format.name for each in settings}
    foreign = [_foreign(each, formats) for each in settings]
    left_out = {
        (name, each.load_format.name): None
        for each, names in zip(settings, foreign, strict=True)
        for name in sorted(names)
    }
    reduced = []
    for point, each, names in zip(points, settings, foreign, strict=True):
        # Beside values that are left out, null is.
        nulls = {name for word in point for name in _names_in(word) if (name, each.load_format.name) in left_out}
        reduced.append(tuple(_without(point, names | nulls)))
    found = list(dict.fromkeys(reduced))
    for name in _unread(settings, formats):
        print_message(
            f"load_format.env.{name}: no load format of this sweep is known to read it; it is set for all of them"
        )
    for name, load_format in left_out:
        print_message(f"load_format.{name}: {load_format} has no such setting, so it is left out there")
    if len(found) < len(points):
        print_message(f"so {len(points)} points are {len(found)}: those that are equal without it are one")
    return found


def _foreign(settings: Settings, formats: set[str]) -> set[str]:
    """Names, with their section, that another loader of the sweep has, and this point's has not."""
    own = settings.load_format.name
    if settings_of(own) is None:  # it may take anything
        return set()
    sections = {section: getattr(settings.load_format, section) for section in SECTIONS}
    given = {
        f"{section}.{name}" for section in sections for name, value in sections[section].items() if value is not None
    }
    return {name for name in given if not _has(own, name) and any(_has(other, name) for other in formats)}


def _unread(settings: Sequence[Settings], formats: set[str]) -> Iterator[str]:
    """Variables of a loader's that no format of the sweep reads."""
    given = {name for each in settings for name, value in each.load_format.env.items() if value is not None}
    yield from sorted(name for name in given if not any(reads_variable(each, name) for each in formats))


def _has(load_format: str, name: str) -> bool:
    section, _, setting = name.partition(".")
    if section == "args":  # of vLLM's server: those that the format's own file has
        return setting in stock_format(load_format).get(section, {})
    return reads_variable(load_format, setting) if section == "env" else setting in (settings_of(load_format) or {})


@cache
def stock_format(load_format: str) -> dict[str, Any]:
    """bench's own file of this load format. Empty: there is none."""
    path = Path(conf_dir()) / "load_format" / f"{load_format}.yaml"
    found = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def _without(point: Words, names: set[str]) -> Iterator[str]:
    """The words of a point without these settings. What a config sets, and no word, a word more unsets."""
    left = set(names)
    for word in point:
        given = _names_in(word)
        left -= given if given <= names else set()
        if not given or not given <= names:
            yield word
    yield from (f"++load_format.{name}=null" for name in sorted(left))


def _names_in(word: str) -> set[str]:
    """The loader's settings that a word sets, with their section."""
    group, _, name = word.partition("=")[0].lstrip("+").partition(".")
    section, dot, below = name.partition(".")
    if group != "load_format" or section not in SECTIONS:
        return set()
    if dot:
        return {f"{section}.{below.partition('.')[0]}"}
    value = OverridesParser.create().parse_override(word).value()
    return {f"{section}.{each}" for each in value} if isinstance(value, dict) else set()
