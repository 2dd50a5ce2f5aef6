"""The arguments of a start against those that the measured vLLM takes: what its parser or loader would refuse after its imports is refused
before.
"""

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.config import TAKEN, Settings
from bench.errors import SettingError
from bench.host.host import Host
from bench.host.vllm_arguments import Argument, Taken, what_vllm_takes
from bench.masking import masked_value
from bench.system.output import print_message
from bench.vllm.command import OF_JSON, as_environment
from bench.vllm.config_file import named
from bench.vllm.loader_settings import settings_of

NEAREST = 3
CHOICES_AT_MOST = 12  # shown
SHOWN_AT_MOST = 60  # characters of a value
NUMBER_IN_JSON = re.compile(r'("(?:[^"\\]|\\.)*")|\b(\d+(?:\.\d+)?)[kKmMgGtT]\b')  # a text, or a number that vLLM reads
NONE = "None"  # the sample that an argument takes which may have no value
EMPTY = {"", NONE}
WORDS = {
    "{}": "JSON, an object", "[]": "JSON, a list", "1k": "a whole number, or one like 8k", "1.5": "a number", "1": "a whole number",
}  # fmt: skip  # the sample that stands for it, the widest first


def refuse_arguments(starts: Iterable[tuple[Settings, Host]]) -> None:
    """Refuse what the measured vLLM would refuse. Where its list cannot be read, only what no release's loader takes is refused.

    Raises:
        SettingError: names each argument, what is taken, and the nearest names.
    """
    found, is_contained = list[str](), False
    for settings, host in starts:
        environment = os.environ | as_environment(settings.load_format.env) | as_environment(settings.vllm.env)
        version = f"vLLM {host.versions.get('vllm')}"
        # One in a container is not asked: its interpreter is not here.
        taken = None if settings.vllm.command else what_vllm_takes(host.python, environment)
        found += problems(settings, taken, version) if taken else loader_problems(settings, taken, version)
        is_contained |= bool(settings.vllm.command)
    if found:
        raise SettingError("\n".join(dict.fromkeys(found)))
    if is_contained:
        print_message(
            "vllm.command: what a vLLM in a container takes is not read. Its arguments are checked by itself, when it starts."
        )


def problems(settings: Settings, taken: Taken, version: str) -> Iterator[str]:
    """A sentence for each argument that this vLLM would refuse. `version`: how it is called."""
    typed = [(f"load_format.args.{name}", name, value) for name, value in settings.load_format.args.items()]
    typed += [(named(name, value), name, value) for name, value in settings.vllm.args.items()]
    own: dict[str, Any] = {
        "load_format": settings.load_format.name,
        "max_model_len": settings.max_model_len,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
    }
    for setting, name, value in [*typed, *((name, name, value) for name, value in own.items())]:
        if value is not None and (found := _problem(setting, name, value, taken, version)):
            yield found
    yield from loader_problems(settings, taken, version)


def loader_problems(settings: Settings, taken: Taken | None, version: str) -> Iterator[str]:
    """The load format, and the settings that its loader would refuse. `taken` None: by what is known of all releases."""
    load_format = settings.load_format.name
    loaders = {name.lower(): words for name, words in taken.loaders.items()} if taken else {}
    if loaders and load_format.lower() not in loaders:
        yield (
            f"load_format.name={load_format}: {version} has no such load format{_nearest(load_format, sorted(loaders))}."
        )
        return
    known, words = settings_of(load_format), loaders.get(load_format.lower())
    for name in (name for name, value in settings.load_format.extra.items() if value is not None):
        if (words is not None and name not in words) or (words is None and known is not None and name not in known):
            allowed = [each for each in known or () if words is None or each in words]
            takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            yield f"load_format.extra.{name}: the loader of {load_format} in {version} has no such setting; {takes}."


def _problem(setting: str, name: str, value: Any, taken: Taken, version: str) -> str | None:
    name, dot, below = name.replace("-", "_").partition(".")
    argument = taken.argument(name)
    if argument is None:
        if whole := _whole_name(name, {below: value} if dot else value, taken):
            section = setting.removesuffix(name)
            own = TAKEN.get(re.split(r"[.=]", whole)[0])
            return f"{setting}: write it as {own or masked_value(name, section.rpartition(': ')[2] + whole)}."
        return f"{setting} is no argument of {version}{_nearest(name, taken.names())}."
    if argument.name != name and TAKEN.get(argument.name):
        return f"{setting}: another name of {argument.name}; set {TAKEN[argument.name]} instead."
    why = _misfit(argument, {below: value} if dot else value)
    return f"{setting}={_shown(masked_value(name, value))}: {version} takes {why}." if why else None


def _whole_name(name: str, value: Any, taken: Taken) -> str | None:
    """What is typed instead of a short option and its value: `tp`, `cc.mode`, and vLLM's own way with `-O3`, `-O=3` and `-O.mode=3`."""
    if short := taken.short(name):
        return f"{short.options[0].lstrip('-').replace('-', '_')}{_typed(value)}"
    if not (level := re.fullmatch(r"O=?(\w*)", name)):
        return None
    is_level = not isinstance(value, Mapping) and taken.argument("optimization_level")
    return f"optimization_level={level[1] or value}" if is_level else f"compilation_config{_typed(value)}"


def _typed(value: Any) -> str:
    """A value behind its setting's name, as it is typed."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, below),) = value.items()
        return f".{name}{_typed(below)}"
    return "" if isinstance(value, (Mapping, list)) else f"={value}"


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_AT_MOST else f"{text[:SHOWN_AT_MOST]}…"


def _nearest(name: str, names: list[str]) -> str:
    """Names that were perhaps meant: those that begin like it, and those that are spelt like it."""
    positive = [each for each in names if not each.startswith("no_")] if not name.startswith("no_") else names
    begun = [each for each in positive if each.startswith(name)]
    alike = difflib.get_close_matches(name, positive, n=NEAREST)
    found = list(dict.fromkeys([*alike, *begun]))[:NEAREST]
    return f"; the nearest: {', '.join(found)}" if found else ""


def _misfit(argument: Argument, value: Any) -> str | None:
    """What the argument takes, where it does not take this value."""
    if argument.form == "switch":
        return None if isinstance(value, bool) else "true or false here"
    if argument.form == "flag":
        return None if value is True else "true here, or nothing: null"
    if isinstance(value, bool):
        return None if value and argument.nargs == "?" else f"{_kind(argument)} here"
    if isinstance(value, list) and not _is_one_word(argument):
        return _misfit_of_several(argument, value)
    return _misfit_of_one(argument, value)


def _misfit_of_several(argument: Argument, values: list[Any]) -> str | None:
    if argument.nargs in {None, "?"} and not argument.repeats:
        return f"{_kind(argument)} here, not a list"
    if argument.nargs and argument.nargs.isdigit() and len(values) != int(argument.nargs):
        return f"{argument.nargs} values here"
    if not values and argument.nargs != "*":
        return "at least one value here; null for none"
    return next((why for each in values if (why := _misfit_of_one(argument, each))), None)


def _is_one_word(argument: Argument) -> bool:
    """Whether a list is JSON in one word."""
    return argument.nargs is None and "[]" in argument.takes and "x" not in argument.takes


def _misfit_of_one(argument: Argument, value: Any) -> str | None:
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    if argument.choices:
        if text in argument.choices or (text in EMPTY and NONE in argument.takes):
            return None
        shown = ", ".join(argument.choices[:CHOICES_AT_MOST])
        more = f" and {len(argument.choices) - CHOICES_AT_MOST} others" if argument.choices[CHOICES_AT_MOST:] else ""
        return f"one of {shown}{more}"
    samples = argument.takes or (("{}",) if argument.keys else ())
    kind, tree = _sample_of(text)
    if samples and kind not in samples and not (text in EMPTY and NONE in samples):
        return f"{_kind(argument)} here"
    if "x" not in samples and (written := re.fullmatch(r"\s*(?:\+|(-)?0+(?=\d))+(.*?)\s*", text)):
        return f"it as {written[1] or ''}{written[2]}"
    if argument.keys and isinstance(tree, Mapping) and (unknown := sorted(tree.keys() - set(argument.keys))):
        key = str(unknown[0]).partition(".")[0]
        if key not in argument.keys:
            return f"no {key} in it{_nearest(key, list(argument.keys))}"
    return None


def _sample_of(text: str) -> tuple[str, Any]:
    """Which of the samples is of the same kind, and what the text holds where that is JSON."""
    if re.fullmatch(r"\s*[+-]?\d+\s*", text):
        return "1", None
    if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*|\s*[+-]?(inf|nan)\s*", text, re.IGNORECASE):
        return "1.5", None
    if re.fullmatch(r"\s*(\d+(\.\d+)?[kKmMgGtT]|auto)\s*", text, re.IGNORECASE):
        return "1k", None
    try:
        tree = json.loads(NUMBER_IN_JSON.sub(lambda found: found[1] or found[2], text))
    except (ValueError, RecursionError):
        return ("{x}" if re.fullmatch(r"(?s)\s*\{.*\}\s*", text) else "x"), None
    if isinstance(tree, dict):
        return "{}", tree
    return ("x" if isinstance(tree, str) else "[]"), tree


def _kind(argument: Argument) -> str:
    """What an argument takes, in words."""
    if argument.choices:
        return f"one of {', '.join(argument.choices[:CHOICES_AT_MOST])}"
    if argument.name in OF_JSON:
        return 'JSON, a list, as ["*"]'
    samples = argument.takes or (("{}",) if argument.keys else ())
    if "x" in samples and "{x}" not in samples:
        return "a text, or JSON where it is in braces"
    if "x" in samples or not samples:
        return "a value"
    return next((words for sample, words in WORDS.items() if sample in samples), "a value")
