"""Overrides of conf/, each in Hydra's grammar and checked, by itself and beside the others.

What Hydra would take in silence and reduce (a list of choices for one group, a setting typed twice), and a name that is not in
conf/, is refused here in a sentence, before anything is composed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Override

from bench.config import OF_THE_SWEEP, SWITCHES
from bench.errors import SettingError
from bench.overrides.as_typed import as_typed
from bench.overrides.grammar import parsed
from bench.overrides.json_override import without_json
from bench.overrides.setting_names import (
    FREE,
    GROUPS,
    LENGTH,
    choices,
    cut,
    is_free,
    names,
    no_such_setting,
    sections,
    shown,
)
from bench.vllm.loader_settings import LOADERS

PARAMS = "hydra.sweeper.params."


def normalised(overrides: Sequence[str], config_dir: Path | None = None) -> list[str]:
    """The overrides with the pluses that Hydra requires, so that a user can leave them out or type them: `++` before a key that may not be
    in conf/, `+` before a group of the user's own, none before all others. JSON in them becomes Hydra's grammar, text that looks like a
    number stays text, and `steady=true` becomes the number that it stands for.
    """
    return [_normalised(word, config_dir) for word in overrides]


def _normalised(given: str, config_dir: Path | None) -> str:
    word = as_typed(without_json(given))
    key, equals, value = word.lstrip("+").partition("=")
    if not equals or word.startswith("~") or key.startswith("hydra"):
        return word
    if key in SWITCHES and {*value.lower().split(",")} <= {"true", "false"}:
        name, number = SWITCHES[key]
        switched = (str(number) if each == "true" else "null" for each in value.lower().split(","))
        return f"{key}.{name}={','.join(switched)}"
    # A model of a sweep may have other sizes than conf/'s first.
    if key in FREE or is_free(key) or key.startswith("model.random."):
        return f"++{key}={value}"
    if key in names() or key in GROUPS:
        return f"{key}={value}"
    return f"+{key}={value}" if config_dir and key and (config_dir / key).is_dir() else word


def check_overrides(overrides: Sequence[str], config_dir: Path | None = None) -> None:
    """
    Raises:
        SettingError: one of them is not allowed, or two of them set the same.
    """
    seen: dict[str, str] = {}
    for word in overrides:
        override = parsed(word)
        _refuse_name(override, word, config_dir)
        if override.key_or_group in GROUPS:
            _refuse_choice(override, word, config_dir)
        elif override.key_or_group in sections() and not all(
            isinstance(each, Mapping) for each in values_of(override, config_dir)
        ):
            switch = "true, false or " if override.key_or_group in SWITCHES else ""
            raise SettingError(
                f"{shown(word)}: must be {switch}a dictionary, as {override.key_or_group}={{NAME:VALUE}}."
            )
        for name in dict.fromkeys(_leaves(override, config_dir)):
            other = next((seen[each] for each in seen if _overlap(each, name)), word)
            if other != word:
                is_one = name.partition(".")[0] in OF_THE_SWEEP
                several = "." if is_one else f"; several values, with -m: {name}=A,B."
                raise SettingError(
                    f"{shown(other)} and {shown(word)} both set {name}, and only one of them could count. Type it once{several}"
                )
        seen |= dict.fromkeys(_leaves(override, config_dir), word)


def _refuse_name(override: Override, word: str, config_dir: Path | None) -> None:
    key = override.key_or_group
    if not key:
        raise SettingError(f"{shown(word)!r}: a setting is typed as NAME=VALUE.")
    if override.package is not None:
        raise SettingError(f"{shown(word)}: each group has one place in bench's settings. Type {key}=CHOICE.")
    if key.startswith(("hydra.callbacks", "hydra/callbacks")):
        raise SettingError(f"{shown(word)}: hydra.callbacks holds bench's check of its settings. Leave it out.")
    if key.startswith(("hydra.searchpath", "hydra/searchpath")):
        raise SettingError(f"{shown(word)}: a folder of your own configs is --config-dir=FOLDER.")
    own_key = key.removeprefix(PARAMS)
    if own_key.startswith(("hydra.", "hydra/")):
        return  # Hydra knows its own
    if override.is_delete():
        if not is_free(key) and key not in FREE:
            raise SettingError(
                f"{shown(word)}: a setting of bench always has a value. Type another one: {key[:LENGTH]}=VALUE."
            )
        return
    if own_key in names() or own_key in GROUPS or is_free(own_key) or _is_own_group(own_key, config_dir):
        return
    _, _, value = word.partition("=")
    raise SettingError(f"{shown(word)}: {no_such_setting(own_key, value)}")


def _refuse_choice(override: Override, word: str, config_dir: Path | None) -> None:
    """A group has one choice; of a list Hydra would compose all, and the last would win."""
    group = override.key_or_group
    if override.is_delete() or override.is_range_sweep() or override.is_interval_sweep():
        raise SettingError(f"{shown(word)}: must be one of {', '.join(choices(group, config_dir))}.")
    for value in values_of(override, config_dir):
        if isinstance(value, list):
            several = ",".join(str(each) for each in value)
            raise SettingError(
                f"{shown(word)}: one choice at a time. Several, each a start of its own: -m {group}={several}"
            )
        known = choices(group, config_dir)
        if str(value).startswith("${") or str(value).removesuffix(".yaml") in known:
            continue
        asked = str(value).lower()
        near = [each for each in known if asked and each.startswith(asked)] or get_close_matches(asked, known, 1)
        nearest = f"nearest: {near[0]}; " if near else ""
        if group == "model" and "/" in str(value):
            raise SettingError(f"{shown(word)}: a folder or hub id is typed as  model=hf model.path={cut(str(value))}")
        is_vllms = group == "load_format" and asked in LOADERS
        others = f" Another one of vLLM's: load_format.name={value}." if is_vllms else ""
        if config_dir and (config_dir / f"{value}.yaml").is_file():
            others = f" {config_dir / f'{value}.yaml'} belongs into a folder {group}/ beside it."
        missing = f"{group} {cut(str(value))!r}" if override.is_sweep_override() else f"such {group}"
        raise SettingError(f"{shown(word)}: there is no {missing}; {nearest}all: {', '.join(known)}.{others}")


def values_of(override: Override, config_dir: Path | None = None) -> list[Any]:
    """All values of a word, one or those that it lists."""
    if not override.is_sweep_override():
        return [override.value()]
    if isinstance(override._value, Glob):  # noqa: SLF001  # its values need a loader
        found = override._value.filter(choices(override.key_or_group, config_dir))  # noqa: SLF001
        if not found:
            known = ", ".join(choices(override.key_or_group, config_dir)) or f"{override.key_or_group} has no files"
            raise SettingError(f"{shown(override.input_line or '')}: this pattern matches none of {known}.")
        return found
    if not override.is_discrete_sweep():
        return []
    return [Override._convert_value(value) for value in override.sweep_iterator()]  # noqa: SLF001


def _leaves(override: Override, config_dir: Path | None) -> Iterator[str]:
    """The names of all settings that a word sets, as vLLM reads them: in its arguments hyphens are underscores, and no_x is x."""
    name = override.key_or_group.removeprefix(PARAMS)
    values = [] if override.is_range_sweep() else values_of(override, config_dir)
    for value in values or [None]:
        for leaf in _flat(name, value):
            found = re.match(r"(?:vllm|load_format)\.args\.", leaf)
            yield found[0] + leaf[found.end() :].replace("-", "_").removeprefix("no_") if found else leaf


def _flat(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield name
        return
    for key, each in value.items():
        yield from _flat(f"{name}.{key}", each)


def _overlap(name: str, other: str) -> bool:
    """Whether one of two settings is the other or lies below it. The choice of a group is none of the settings below it."""
    if name == other:
        return True
    short, long = sorted((name, other), key=len)
    return short not in GROUPS and long.startswith(f"{short}.")


def _is_own_group(key: str, config_dir: Path | None) -> bool:
    return config_dir is not None and bool(key) and (config_dir / key).is_dir()
