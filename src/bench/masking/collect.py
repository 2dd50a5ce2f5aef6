"""Where secrets come from: the environment, the command line, the settings, the hub's token file."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.masking.names import is_secret_name
from bench.masking.register import register
from bench.masking.shapes import secrets_in

TOKEN_FILE_BYTES = 4096


def collect_environment(variables: Mapping[str, str] | None = None) -> None:
    """Registers every secret in these variables, by default in all that this process has, and the model hub's stored token."""
    variables = os.environ if variables is None else variables
    collect_settings(dict(variables))
    _collect_hub_token(variables)


def collect_words(words: Iterable[str]) -> None:
    """Registers every secret in a command line, before it is parsed."""
    for word in words:
        name, _, value = word.lstrip("+~-").partition("=")
        register(_of_word(name, value))
        register(_secrets({name: _as_hydra(word)}, secret=False) if "{" in value or "[" in value else ())
        register(secrets_in(word))


def _of_word(name: str, value: str) -> Iterator[str]:
    if not is_secret_name(name):
        yield from _secrets(value, secret=False)
        return
    for each in {value, *value.split(",")}:  # several values are a sweep
        yield from _secrets(each, secret=True)
        yield from _secrets(each.strip().strip("'\"").replace("\\'", "'").replace("\\,", ","), secret=True)


def collect_settings(tree: Any) -> None:
    """Registers every secret in a tree of settings: what stands behind a secret's name, at any depth, and what looks like one."""
    register(_secrets(tree, secret=False))


def collect_value(value: str) -> None:
    """Registers one secret."""
    register([value])


def _secrets(value: Any, *, secret: bool) -> Iterator[str]:
    """`secret`: it stands behind a secret's name."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from _secrets(inner, secret=secret or is_secret_name(str(name)))
        case list() | tuple():
            for inner in value:
                yield from _secrets(inner, secret=secret)
        case str():
            if secret and not _is_path(value):
                yield value
                # As in OTLP's headers.
                yield from (each for pair in value.split(",") if (each := pair.partition("=")[2]))
            yield from secrets_in(value)
            yield from _secrets(_as_json(value), secret=secret)
        case int() | float() if secret and not isinstance(value, bool):
            yield str(value)


def _as_hydra(word: str) -> Any:
    """The value of an override, parsed by Hydra; None where it is no override, or one of several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with suppress(HydraException, ValueError, RecursionError):
        override = OverridesParser.create().parse_override(word)
        return override.value() if not override.is_sweep_override() else None
    return None


def _as_json(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        if text.lstrip()[:1] in {"{", "["}:
            return json.loads(text)
    return None


def _is_path(value: str) -> bool:
    """SSH_AUTH_SOCK and the like name a file; its name is no secret."""
    with suppress(OSError, ValueError):
        return value.startswith("/") and Path(value).exists()
    return False


def _collect_hub_token(variables: Mapping[str, str]) -> None:
    home = variables.get("HF_HOME") or os.path.join(variables.get("HOME", "/"), ".cache", "huggingface")  # noqa: PTH118
    for path in (Path(variables.get("HF_TOKEN_PATH") or "/"), Path(home) / "token"):
        with suppress(OSError, ValueError):
            if path.is_file():
                with path.open("rb") as file:
                    register([file.read(TOKEN_FILE_BYTES).decode().strip()])
