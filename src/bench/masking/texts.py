"""Texts and trees of values, masked. Only output is masked, as late as possible; bench computes with the originals."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from bench.masking.names import MASK, is_secret_name
from bench.masking.register import bytes_pattern, pattern
from bench.masking.shapes import masked_by_form
from bench.masking.views import COLOUR, hidden, without_colours

T = TypeVar("T")


def masked(text: str) -> str:
    """The text with `***` for each registered secret and for all that looks like one. Idempotent."""
    return masked_by_form(_without_known(text))


def mask_bytes(data: bytes) -> bytes:
    """By value only, which is cheap enough for each line that vLLM prints."""
    if b"\x1b" in data:
        return _without_known(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return bytes_pattern().sub(MASK.encode(), data)


def _without_known(text: str) -> str:
    """Colours may stand within a secret: it is looked for in what a terminal would show."""
    if not COLOUR.search(text):
        return pattern().sub(MASK, text)
    view = without_colours(text)
    return hidden(text, (view.original(match.span()) for match in pattern().finditer(view.text)), MASK)


def masked_value(name: str, value: object) -> str:
    """A value as text behind its name: `***` where the name is a secret's; with nothing in it there is nothing to mask."""
    return MASK if value and is_secret_name(name) else masked(str(value))


def masked_tree(value: T) -> T:
    """Every text in a tree of dicts, lists, tuples and dataclasses masked, names of dicts too. Numbers stay."""
    return _masked_tree(value)  # type: ignore[no-any-return]  # the same type as its argument


def _masked_tree(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _masked_tree(getattr(value, field.name)) for field in fields(value)})
    match value:
        case str():
            return masked(value)
        case Mapping():
            return {_masked_tree(name): _masked_tree(inner) for name, inner in value.items()}
        case list() | tuple():
            inside = [_masked_tree(inner) for inner in value]
            return value._make(inside) if hasattr(value, "_make") else type(value)(inside)
    return value


def masked_json(value: Any, name: str = "", *, numbers: bool = True) -> Any:
    """A tree of JSON with `***` behind each secret's name, at any depth, and its texts masked. `numbers`: behind such a name these too."""
    match value:
        case dict():
            return {
                masked(str(key)): masked_json(inner, f"{name}.{key}", numbers=numbers) for key, inner in value.items()
            }
        case list():
            return [masked_json(inner, name, numbers=numbers) for inner in value]
        case str():
            return masked_value(name, value)
        case int() | float() if numbers and value and is_secret_name(name):
            return MASK
    return value
