"""The words of a command line, before Hydra sees them: its flags, and overrides of conf/.

What Hydra would answer with advice of its own is refused here in a sentence, before anything is composed.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hydra._internal.utils import get_args_parser

from bench.config import conf_dir
from bench.errors import SettingError
from bench.overrides.override_checks import check_overrides, normalised
from bench.overrides.setting_names import cut, names, shown

# Flags of Hydra's with which another program than bench would run, and what is typed instead.
REFUSED_FLAGS = {
    "config_path": "write experiment/NAME.yaml into a folder of your own, and type --config-dir=FOLDER experiment=NAME",
    "config_name": "write experiment/NAME.yaml into a folder of your own, and type --config-dir=FOLDER experiment=NAME",
    "experimental_rerun": "type the command again; with resume=true it goes on",
}


@dataclass(frozen=True)
class Words:
    """A command line: Hydra's flags as typed, the overrides as Hydra takes them, the folder of the user's own configs, and whether help
    is asked for.
    """

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    config_dir: Path | None = None
    is_help: bool = False


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
    return Words(flags, overrides, config_dir, is_help=bool(given.help))


def read_settings(arguments: Sequence[str], own: Sequence[str] = ()) -> Words:
    """The same for a command that Hydra does not run: of its flags `--config-dir` alone, and `-m`, which changes nothing. `own` are the
    names of the command's own settings, prefixes of names and flags, for one that is almost right.

    Raises:
        SettingError: as `read_words`, and for another flag.
    """
    for word in arguments:
        flags = [each for each in own if each.startswith("--")]
        if word.startswith("--") and (near := get_close_matches(word, flags, 1)):
            raise SettingError(f"{cut(word)}: there is no such flag; nearest: {near[0]}.")
        name, equals, _ = word.partition("=")
        first, dot, rest = name.partition(".")
        if equals and name not in names() and first not in names():
            below = [each for each in own if each.endswith(".")]  # under which the user chooses the names
            near = get_close_matches(first + dot, [each for each in own if each in below or not dot], 1, cutoff=0.7)
            if near:
                raise SettingError(
                    f"{shown(word)}: there is no such setting; nearest: {near[0]}{rest if near[0] in below else ''}."
                )
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
        flags = [option for option in parser._option_string_actions if option.startswith("--")]  # noqa: SLF001
        is_setting = name.partition("=")[0].replace("-", "_") in names()
        if not is_setting and (near := get_close_matches(f"--{name}", flags, 1, cutoff=0.7)):
            advice = f" Nearest: {near[0]}."
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
