"""The names of all settings, from the schema and from conf/; the nearest ones to a name that there is not; a word as it may be printed."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from bench.config import Settings, conf_dir
from bench.masking import masked_value

GROUPS = ("model", "load_format", "storage", "tracking", "experiment")
NEAREST = 3  # names that are offered instead of one that there is not
LENGTH = 120  # of a word in a message; what is longer is cut
# As in a point's label.
LABELS = {"tp": "tensor_parallel_size", "mem": "gpu_memory_utilization", "len": "max_model_len"}


@cache
def names() -> tuple[str, ...]:
    """Every setting of the schema, and every section, by its dotted name."""
    return tuple(dict.fromkeys(name for name, _ in _names(Settings)))


@cache
def sections() -> tuple[str, ...]:
    """The names below which others are; not of groups, and not of what may be null."""
    return tuple(name for name, kinds in _names(Settings) if _is_section(kinds) and name not in GROUPS)


def _is_section(kinds: Sequence[Any]) -> bool:
    is_open = any(
        get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)) for kind in kinds
    )
    return is_open and type(None) not in kinds


def _names(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, list[Any]]]:
    for name, field in section.model_fields.items():
        kinds = list(_kinds(field.annotation))
        yield prefix + name, kinds
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _names(kind, f"{prefix}{name}.")


def _kinds(annotation: Any) -> Iterator[Any]:
    """A type, and those that it is a union of."""
    yield annotation
    if get_origin(annotation) is not dict:
        for each in get_args(annotation):
            yield from _kinds(each)


def allowed(name: str) -> list[str]:
    """What a setting takes, as it is typed; empty where that is any text or number."""
    kinds = next((kinds for each, kinds in _names(Settings) if each == name), [])
    found = [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    found += ["true", "false"] * (bool in kinds)
    return found + ["null"] * (bool(found) and type(None) in kinds)


# Below these a user chooses the names.
FREE = tuple(name for name, kinds in _names(Settings) if any(get_origin(kind) is dict for kind in kinds))


def is_free(key: str) -> bool:
    """Whether a user chooses this name, below one of those in `FREE`."""
    return any(key.startswith(f"{free}.") and all(key.split(".")) for free in FREE)


def shown(word: str) -> str:
    """A word as it may be printed."""
    key, equals, value = word.lstrip("+").partition("=")
    return cut(f"{key}={masked_value(key, value)}" if equals else word)


def cut(text: str) -> str:
    """A text of a message, shortened."""
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}…"


def choices(group: str, config_dir: Path | None = None) -> list[str]:
    """The names of a group's files, bench's and the user's."""
    folders = [Path(conf_dir()) / group, *([config_dir / group] if config_dir else [])]
    paths = ((path, folder) for folder in folders for path in folder.rglob("*.yaml"))
    return sorted({str(path.relative_to(folder).with_suffix("")) for path, folder in paths})


def no_such_setting(name: str, value: str = "VALUE") -> str:
    """A sentence, without its beginning, for a name that is not in conf/: the nearest ones that are."""
    if name.startswith(("hydra.", "hydra/")):
        return "Hydra has no such setting; python -m bench --cfg hydra lists its own."
    last = name.rpartition(".")[2]
    if last in LABELS and name == last:
        return f"there is no such setting. Its name is {LABELS[last]}."
    typed = [each for each in names() if not re.match(r"sweep(\.|$)", each)]
    by_last = {each.rpartition(".")[2]: each for each in reversed(typed)}
    below = [f"{free}.{last}" for free in FREE if "." in name]
    near = [
        *(by_last[each] for each in by_last if each == last),
        *get_close_matches(name.lower(), [*typed, *GROUPS, *below], NEAREST),
        *(by_last[each] for each in get_close_matches(last.lower(), list(by_last), NEAREST)),
    ]
    nearest = list(dict.fromkeys(near))[:NEAREST]
    if nearest:
        return f"there is no such setting; nearest: {', '.join(nearest)}. python -m bench --help lists all."
    where = f"vllm.args.{cut(last)}={cut(masked_value(last, value))}"
    return f"there is no such setting; python -m bench --help lists all. Is it an argument of vLLM?  {where}"
