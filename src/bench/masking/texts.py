"""Texts and trees of values, masked. Nothing here changes what bench works with: mask at the last moment."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from bench.masking.names import MASK, is_secret_name
from bench.masking.register import bytes_pattern, pattern
from bench.masking.shapes import masked_by_form

T = TypeVar("T")


def masked(text: str) -> str:
    """The text with `***` for each secret that this process knows or that looks like one. Masked again, it is the same."""
    return masked_by_form(pattern().sub(MASK, text))


def mask_bytes(data: bytes) -> bytes:
    """By value only, which is cheap enough for each line that vLLM prints."""
    return bytes_pattern().sub(MASK.encode(), data)


def masked_value(name: str, value: object) -> str:
    """A value as text behind its name: `***` where the name is a secret's; with nothing in it there is nothing to mask."""
    return MASK if value and is_secret_name(name) else masked(str(value))


def masked_tree(value: T) -> T:
    """Every text in a tree of dicts, lists, tuples and dataclasses masked, names of dicts too. Numbers stay."""
    return _masked_tree(value)  # type: ignore[no-any-return]


def _masked_tree(value: Any) -> Any:
    match value:
        case str():
            return masked(value)
        case Mapping():
            return {_masked_tree(name): _masked_tree(inner) for name, inner in value.items()}
        case list():
            return [_masked_tree(inner) for inner in value]
        case tuple() if hasattr(value, "_fields"):
            return type(value)(*map(_masked_tree, value))
        case tuple():
            return tuple(map(_masked_tree, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _masked_tree(getattr(value, field.name)) for field in fields(value)})
    return value


def masked_json(value: Any, name: str = "") -> Any:
    """A tree of JSON with `***` behind each secret's name, at any depth, and its texts masked."""
    if isinstance(value, dict):
        return {masked(str(key)): masked_json(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [masked_json(inner, name) for inner in value]
    if value and is_secret_name(name):
        return MASK
    return masked(value) if isinstance(value, str) else value


def is_masked(text: str) -> bool:
    """Whether something was hidden in it."""
    return re.search(re.escape(MASK), text) is not None
