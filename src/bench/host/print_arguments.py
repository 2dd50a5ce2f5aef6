"""What a vLLM takes. Run as a script by the interpreter that has it; the answer is one line of JSON on standard output.

    python print_arguments.py state         which vLLM this is, without importing it: the answer changes where its arguments may have
    python print_arguments.py arguments     every argument of its server, and the names that each of its loaders knows

The arguments, as a dict: `options` of each argument, how it takes values, and which of `SAMPLES` its type takes; its own words for a type
are functions, which differ between releases and cannot be printed. Checked with vLLM 0.8.5 to 0.32.0.

Source: make_arg_parser in vllm/entrypoints/launchers/cli_args.py, earlier entrypoints/openai/cli_args.py; get_kwargs in engine/arg_utils.py;
_LOAD_FORMAT_TO_MODEL_LOADER in model_executor/model_loader/__init__.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = ("x", "{x}", "1", "1.5", "1k", "{}", "[]", "None")  # a value of each kind
PARSERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
PARSER_CLASSES = ("vllm.utils.argparse_utils", "vllm.utils")
DECIDE = ("engine", "entrypoints", "config", "platforms", "plugins", "model_executor/model_loader", "utils")
CLOSURES_AT_MOST = 4


def main() -> None:
    """Writes the answer past all that vLLM itself prints on standard output."""
    with suppress(ValueError):  # PYTHONSAFEPATH
        sys.path.remove(str(Path(__file__).parent))  # its neighbours are no modules of vLLM's environment
    answer = os.dup(1)
    os.dup2(2, 1)
    found = state() if sys.argv[1] == "state" else {"arguments": arguments(), "loaders": loaders()}
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(json.dumps(found) + "\n")


def state() -> dict[str, Any]:
    """Where vLLM lies, a digest of its files that decide what it takes, and the plugins in its environment."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        raise SystemExit("there is no vLLM")
    root, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(path for folder in DECIDE for path in (root / folder).rglob("*.py")):
        stat = path.stat()
        digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return {"root": str(root), "files": digest.hexdigest(), "plugins": sorted(plugins())}


def plugins() -> Iterator[str]:
    """Entry points that vLLM will load: a platform's or a loader's, for instance."""
    found: Any = importlib.metadata.entry_points()
    points = [point for group in found.values() for point in group] if isinstance(found, dict) else found  # Python 3.9
    for point in points:
        if point.group.startswith("vllm."):
            yield f"{point.group} {point.name} {point.value}"


def arguments() -> list[dict[str, Any]]:
    """Every argument of vLLM's server."""
    with suppress(Exception):  # releases without them, and plugins that fail, which vLLM only logs
        importlib.import_module("vllm.plugins").load_general_plugins()
    make, parser = first_of(PARSERS, "make_arg_parser"), first_of(PARSER_CLASSES, "FlexibleArgumentParser")
    actions = make(parser(prog="vllm serve"))._actions  # noqa: SLF001  # argparse has no other way to list them
    return [described(action) for action in actions if action.option_strings and action.dest not in {"help", "version"}]


def first_of(modules: tuple[str, ...], name: str) -> Any:
    """That name in the first module that has it."""
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise SystemExit(f"this vLLM has no {name}")


def described(action: argparse.Action) -> dict[str, Any]:
    """`form`: switch, with a --no- form; flag, without a value; value. `nargs`: argparse's."""
    form = "flag" if action.nargs == 0 else "value"
    if any(option.startswith("--no-") for option in action.option_strings) and form == "flag":
        form = "switch"
    found: dict[str, Any] = {"options": list(action.option_strings), "name": action.dest, "form": form}
    if form == "value":
        found["nargs"] = None if action.nargs is None else str(action.nargs)
        found["repeats"] = type(action).__name__ in {"_AppendAction", "_ExtendAction"}
        found["takes"] = [sample for sample in SAMPLES if takes(action.type, sample)]
        if action.choices is not None:
            found["choices"] = [str(choice) for choice in action.choices if choice is not None]
        if (names := keys_of(action.type)) is not None:
            found["keys"] = names
    return found


def takes(type_: Any, text: str) -> bool:
    """Whether an argument's type is content with this text."""
    if type_ is None:
        return True
    try:
        type_(text)
    except Exception:  # noqa: BLE001  # whatever it raises
        return False
    return True


def keys_of(type_: Any, depth: int = CLOSURES_AT_MOST) -> list[str] | None:
    """The keys of the JSON that a type takes: fields of the dataclass that its function makes, where that refuses all others."""
    if isinstance(type_, type) or not callable(type_) or not depth:
        return None
    held = [*(getattr(type_, "__defaults__", None) or ())]
    held += [cell.cell_contents for cell in getattr(type_, "__closure__", None) or ()]
    for each in held:
        if isinstance(each, type) and dataclasses.is_dataclass(each):
            is_strict = getattr(each, "__pydantic_config__", {}).get("extra") == "forbid"
            return sorted(field.name for field in dataclasses.fields(each) if field.init) if is_strict else None
        if (found := keys_of(each, depth - 1)) is not None:
            return found
    return None


def loaders() -> dict[str, list[str]]:
    """Load format -> the words in its loader's own code, the settings that it takes among them. Empty: this release has no such table."""
    try:
        module = importlib.import_module("vllm.model_executor.model_loader")
        table = module._LOAD_FORMAT_TO_MODEL_LOADER  # noqa: SLF001  # there is no other list of all
    except (ImportError, AttributeError):
        return {}
    return {name: sorted(set(words_of(loader))) for name, loader in table.items()}


def words_of(loader: Any) -> Iterator[str]:
    """Texts in its code that could be names, and the fields of Tensorizer's own class of settings."""
    for each in loader.__mro__:
        for function in vars(each).values():
            yield from constants(getattr(function, "__code__", None))
    settings = getattr(sys.modules[loader.__module__], "TensorizerConfig", None)
    if dataclasses.is_dataclass(settings):
        yield from (field.name for field in dataclasses.fields(settings) if field.init)


def constants(value: Any) -> Iterator[str]:
    """Every text among the constants of a function."""
    if isinstance(value, str) and value.isidentifier():
        yield value
    for each in (
        value.co_consts if isinstance(value, CodeType) else value if isinstance(value, (tuple, frozenset)) else ()
    ):
        yield from constants(each)


if __name__ == "__main__":
    main()
