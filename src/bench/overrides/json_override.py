"""JSON on the command line, as it stands in vLLM's documentation -> the same value in Hydra's grammar. Pure.

Hydra reads `{method:ngram}` and stops at the quotes of `{"method":"ngram"}`, the form in which people have it.
"""

import json
import re
from typing import Any

BESIDE_A_VALUE = re.compile(r"[^,]*,?\s*")  # another value of a sweep, up to the next
SPECIAL = re.compile(r"([\\()\[\]{}:=, ])")  # that Hydra's grammar allows in a key behind a backslash
# One that Hydra reads as a text, or as the same number.
PLAIN_KEY = re.compile(
    r"(?!(?:inf|nan|true|false|null)$)[A-Za-z_][\w/\-+.$%*@?|\\()\[\]{}:=, ]*(?<! )|0|[1-9]\d*",
    re.ASCII | re.IGNORECASE,
)


class Pairs(list[tuple[str, Any]]):
    """An object's keys with their values, in their order: one may stand in it twice."""


DECODER = json.JSONDecoder(object_pairs_hook=Pairs)


def without_json(override: str) -> str:
    """`key={"a":1}` becomes `key={a:1}`, each of several values likewise. What holds no JSON object is returned as it is."""
    key, equals, value = override.partition("=")
    if not equals or not re.search(r'\{\s*"', value):
        return override
    return key + equals + _rewritten(value)


def _rewritten(value: str) -> str:
    pieces, at = list[str](), 0
    while at < len(value):
        try:
            tree, end = DECODER.raw_decode(value, at) if value[at] in "[{" else (None, at)
            piece = value[at:end] if tree is None else _as_hydra(tree)
        except (ValueError, RecursionError):  # Hydra's own form, or no value at all, which Hydra refuses
            return value
        beside = BESIDE_A_VALUE.match(value, end)
        assert beside is not None  # it matches nothing too
        pieces += [piece, beside[0]]
        at = beside.end() if beside.end() > at else len(value)
    return "".join(pieces)


def _as_hydra(tree: Any) -> str:
    match tree:
        case Pairs():
            return "{" + ",".join(f"{_as_key(name)}:{_as_hydra(value)}" for name, value in tree) + "}"
        case list():
            return "[" + ",".join(map(_as_hydra, tree)) + "]"
        case str():
            return _as_text(tree)
        case _:
            return json.dumps(tree)


def _as_key(name: str) -> str:
    if not PLAIN_KEY.fullmatch(name):
        raise ValueError(name)  # no way to write it
    return SPECIAL.sub(r"\\\1", name)


def _as_text(text: str) -> str:
    """In quotes: backslashes count only before a quote, and `${` would be an interpolation."""
    quoted = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", text)
    quoted = re.sub(r"(\\+)$", lambda found: found[1] * 2, quoted)
    return "'" + quoted.replace("${", r"\${") + "'"
