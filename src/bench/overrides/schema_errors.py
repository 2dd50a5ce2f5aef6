"""What the schema of conf/ refuses, as sentences: pydantic's errors, with the setting's name and the value that was given."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from bench.overrides.setting_names import GROUPS, cut, no_such_setting

PERCENT = 100


def schema_sentences(error: ValidationError, tree: Any) -> list[str]:
    """One sentence for each invalid setting. Where several types are allowed, pydantic reports one error for each type."""
    found: dict[str, tuple[Any, list[str]]] = {}
    for problem in error.errors():
        name, given = _name(problem, tree), problem["input"]
        if problem["type"] == "union_tag_invalid":
            name, given = f"{name}.family", problem["ctx"]["tag"]
            message = f"must be {problem['ctx']['expected_tags']}"
        elif problem["type"] == "union_tag_not_found":
            name, message = f"{name}.family", "this setting is missing"
        elif problem["type"] == "extra_forbidden":
            is_path = "." in str(problem["loc"][-1])
            levels = f"in a file each part of a name is a level of its own: {name.replace('.', ': ')}: VALUE"
            message = levels if is_path else no_such_setting(name).removesuffix(".")
        elif problem["type"] == "missing":
            message = "this setting is missing"
        else:
            message = problem["msg"].replace("Input should", "must").replace("String should", "must")
            allowed = "must not be empty" if "\\S" in message else "must be letters, digits, _, . and - alone"
            message = re.sub(r"must match pattern .*", allowed, message)
            message = message.replace("a valid integer", "a whole number").replace("a valid boolean", "true or false")
            message = message.replace("a valid ", "a ")
            message = re.sub(r"a dictionary or instance of \w+", "a group of settings", message)
        found.setdefault(name, (given, []))[1].append(message)
    return [_sentence(name, given, messages) for name, (given, messages) in found.items()]


def _name(problem: Any, tree: Any) -> str:
    """The setting's dotted name. Pydantic puts the types that it tried among the parts; those are not in the config and are dropped."""
    parts: list[str] = []
    *above, last = problem["loc"]
    for part in above:
        if isinstance(tree, dict) and part in tree:
            parts.append(str(part))
            tree = tree[part]
    if isinstance(tree, dict) and (last in tree or problem["type"] == "missing"):
        parts.append(str(last))
    return ".".join(parts)


def _sentence(name: str, given: Any, messages: Sequence[str]) -> str:
    if not messages[0].startswith("must"):
        return f"{name}: {messages[0]}."
    allowed = " or ".join([messages[0], *(each.removeprefix("must ") for each in messages[1:])])
    return f"{name}={cut(repr(given))}: {allowed}.{cut(_advice(name, given, allowed))}"


def _advice(name: str, given: Any, allowed: str) -> str:
    """What to type instead, where the value shows what was meant."""
    if isinstance(given, list):
        return f" Several values are a sweep:  -m {name}={','.join(map(str, given))}"
    if name in GROUPS:  # on a command line it would have been its choice
        return f" In a file a choice is made by `defaults: [override /{name}: {given}]`."
    if "a group of settings" in allowed:
        return f" For none type {name}=null." if given in (False, "none", "None") else f" They are {name}.NAME=VALUE."
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)%?", str(given))
    is_share = "less than 1" in allowed or "equal to 1." in f"{allowed}." or str(given).endswith("%")
    if percent and is_share and 1 < float(percent[1]) <= PERCENT:
        return f" {percent[1]} % are {name}={float(percent[1]) / PERCENT:g}."
    return ""
