"""The words of a command line, before Hydra sees them: its flags, and overrides of conf/, each checked by itself and beside the others.

What Hydra would take in silence and reduce (a list of choices for one group, a setting typed twice), and what it would answer
with advice of its own (a name that is not in conf/), is refused here in a sentence, before anything is composed.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from bench.config import conf_dir
from bench.errors import SettingError
from bench.masking import masked_value
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

# Flags of Hydra's with which another program than bench would run, and what is typed instead.
REFUSED_FLAGS = {
    "config_path": "write experiment/NAME.yaml into a folder of your own, and type --config-dir=FOLDER experiment=NAME",
    "config_name": "write experiment/NAME.yaml into a folder of your own, and type --config-dir=FOLDER experiment=NAME",
    "experimental_rerun": "type the command again; with resume=true it goes on",
}
QUOTED_KEY = re.compile(r"""\{\s*["']""")
PLAIN_KEYS = (
    "A value in braces has no quotes around its keys, as in {method:ngram,num_speculative_tokens:5}, or is whole JSON."
)
QUOTABLE = re.compile(r"""[^"'{}\\$]{1,80}""")  # stands between two quotes as it is
PARAMS = "hydra.sweeper.params."


@dataclass(frozen=True)
class Words:
    """A command line: Hydra's flags as typed, the overrides as Hydra takes them, and the folder of the user's own configs."""

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    config_dir: Path | None = None


def read_words(arguments: Sequence[str]) -> Words:
    """A command line, checked.

    Raises:
        SettingError: an unknown flag, name or choice, a word that is no NAME=VALUE, a setting typed twice, a list where one choice is
            possible, a config of the user's that bench's own would hide.
    """
    given = _parsed_flags(arguments)
    for flag, instead in REFUSED_FLAGS.items():
        if getattr(given, flag) not in (None, "config"):
            raise SettingError(f"--{flag.replace('_', '-')}={getattr(given, flag)}: bench has one conf/; {instead}.")
    config_dir = _own_configs(given.config_dir)
    typed = list(given.overrides)
    flags = _without(arguments, typed)
    overrides = tuple(normalised(typed, config_dir))
    check_overrides(overrides, config_dir)
    for word in overrides:
        if re.match(r"sweep[.=]", word):
            raise SettingError(f"{shown(word)}: bench sets this itself, for each start. Leave it out.")
    return Words(flags, overrides, config_dir)


def read_settings(arguments: Sequence[str], own: Sequence[str] = ()) -> Words:
    """The same for a command that Hydra does not run: of its flags `--config-dir` alone, and `-m`, which changes nothing. `own` are the
    names of the command's own settings, for one that is almost right.

    Raises:
        SettingError: as `read_words`, and for another flag.
    """
    for word in arguments:
        name, equals, _ = word.partition("=")
        if equals and name not in names() and (near := get_close_matches(name, own, 1, cutoff=0.8)):
            raise SettingError(f"{shown(word)}: there is no such setting; nearest: {near[0]}.")
    words = read_words(arguments)
    given = vars(_parsed_flags(words.flags))
    if other := [
        name for name, value in given.items() if value and name not in {"config_dir", "multirun", "overrides"}
    ]:
        raise SettingError(
            f"--{other[0].replace('_', '-')}: this command takes settings and --config-dir=FOLDER. It is a flag of python -m bench."
        )
    return words


def _parsed_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = get_args_parser()

    def refuse(message: str) -> None:
        name = re.sub(r"^-+", "", message.rpartition(": ")[2].partition(" ")[0])
        if message.startswith("ambiguous"):
            flag, _, value = name.partition("=")
            advice = f"; vLLM's own is typed as vllm.args.config={value or 'FILE'}" if flag == "config" else ""
            raise SettingError(
                f"{cut(f'--{name}')}: there is no such flag; --config-dir=FOLDER names a folder of your own configs{advice}."
            )
        advice = (
            f" A setting is typed without dashes: {shown(name.replace('-', '_'))}{'' if '=' in name else '=VALUE'}."
            if "unrecognized" in message
            else ""
        )
        raise SettingError(f"{cut(message)}.{advice}")

    parser.error = refuse  # type: ignore[assignment,method-assign]  # argparse prints its usage and exits
    return parser.parse_intermixed_args(list(arguments))


def _without(arguments: Sequence[str], overrides: Sequence[str]) -> tuple[str, ...]:
    """The flags, with their values: the arguments that are no overrides, from the last backwards, as a flag's value may look like one."""
    left, flags = list(overrides), []
    for word in reversed(arguments):
        if left and word == left[-1]:
            left.pop()
        else:
            flags.append(word)
    return tuple(reversed(flags))


def _own_configs(folder: str | None) -> Path | None:
    """
    Raises:
        SettingError: it is no folder, or a file in it has the name of one of bench's, which Hydra would read instead.
    """
    if folder is None:
        return None
    place, own = Path(folder).absolute(), Path(conf_dir())
    if not place.is_dir():
        raise SettingError(f"--config-dir={folder}: there is no such folder.")
    for path in sorted(place.rglob("*.yaml")):
        name = path.relative_to(place)
        if (own / name).is_file() and (own / name).read_bytes() != path.read_bytes():
            raise SettingError(
                f"--config-dir={folder}: {name} has the name of bench's own file, which would be read instead. Rename it."
            )
    return place


def normalised(overrides: Sequence[str], config_dir: Path | None = None) -> list[str]:
    """The overrides with the pluses that Hydra requires, so that a user can leave them out or type them: `++` before a key that may not be
    in conf/, `+` before a group of the user's own, none before all others. JSON in them becomes Hydra's grammar.
    """
    return [_normalised(word, config_dir) for word in overrides]


def _normalised(given: str, config_dir: Path | None) -> str:
    word = without_json(given)
    key, equals, value = word.lstrip("+").partition("=")
    if not equals or word.startswith("~") or key.startswith("hydra"):
        return word
    if (
        key in FREE or is_free(key) or key.startswith("model.random.")
    ):  # a model of a sweep may have other sizes than conf/'s first
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
            isinstance(each, Mapping) for each in _values(override, config_dir)
        ):
            raise SettingError(f"{shown(word)}: must be a dictionary, as {override.key_or_group}={{NAME:VALUE}}.")
        for name in dict.fromkeys(_leaves(override, config_dir)):
            other = next((seen[each] for each in seen if _overlap(each, name)), word)
            if other != word:
                raise SettingError(
                    f"{shown(other)} and {shown(word)} both set {name}, and only one of them could count. Type it once;"
                    f" several values, with -m: {name}=A,B."
                )
        seen |= dict.fromkeys(_leaves(override, config_dir), word)


def parsed(word: str) -> Override:
    """
    Raises:
        SettingError: the word is not in Hydra's grammar.
    """
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except (HydraException, ValueError, RecursionError) as error:
        key, equals, value = word.lstrip("+").partition("=")
        if not equals or not all(key.split(".")):
            raise SettingError(f"{shown(word)!r}: a setting is typed as NAME=VALUE.") from error
        if QUOTED_KEY.search(word):
            raise SettingError(f"{shown(word)}: {PLAIN_KEYS}") from error
        if value.startswith("~/"):
            raise SettingError(
                f"{shown(word)}: a shell does not expand ~ there. Type {shown(f'{key}=$HOME{value[1:]}')}."
            ) from error
        quoted = value if QUOTABLE.fullmatch(value) and masked_value(key, value) == value else "VALUE"
        raise SettingError(
            f"{shown(word)}: a value with quotes, brackets, colons, commas, blanks or = in it is typed in quotes, and the whole word"
            f" in others for the shell: '{key}=\"{quoted}\"'."
        ) from error
    return override


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
    for value in _values(override, config_dir):
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
        missing = f"{group} {cut(str(value))!r}" if override.is_sweep_override() else f"such {group}"
        raise SettingError(f"{shown(word)}: there is no {missing}; {nearest}all: {', '.join(known)}.")


def _values(override: Override, config_dir: Path | None = None) -> list[Any]:
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
    values = [] if override.is_range_sweep() else _values(override, config_dir)
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
