"""The registered secrets of this process, by value, as one compiled pattern."""

import re
from collections.abc import Iterable
from typing import Any

from bench.masking.spellings import LONG, spellings

SHORTEST = 4  # shorter ones are masked only behind their names
# Values that stand behind names of secrets and in every log.
COMMON = {
    "true", "false", "none", "null", "empty", "auto", "dummy", "default", "enabled", "disabled", "required", "optional", "anonymous",
    "basic", "bearer", "digest", "always", "never", "string", "public", "private", "token", "secret", "password", "test", "user", "root",
    "bench", "start", "sweep", "prime", "primed", "replay", "prepare", "fresh", "cold", "warm", "as_is", "model", "vllm", "local", "server",
    "localhost", "safetensors", "tiny_llama", "sharded_state", "runai_streamer", "runai_streamer_sharded", "ready", "failed", "finished",
}  # fmt: skip

_values: set[str] = set()
_patterns: dict[type, re.Pattern[Any]] = {}


def register(values: Iterable[str]) -> None:
    """Registers secrets: from now on they are masked in every text. Values that are too short or too common are left out."""
    new = {value for value in map(str.strip, values) if _is_maskable(value)} - _values
    if new:
        _values.update(new)
        _patterns.clear()


def _is_maskable(value: str) -> bool:
    if len(value) < SHORTEST or value.lower() in COMMON or not any(map(str.isalnum, value)):
        return False
    return len(value) >= LONG or not re.fullmatch(r"[\d.]+", value)


def pattern() -> re.Pattern[str]:
    """Matches every spelling of every secret; a short one only as a word by itself."""
    if str not in _patterns:
        _patterns[str] = re.compile(_expression())
    return _patterns[str]


def bytes_pattern() -> re.Pattern[bytes]:
    """The same, for UTF-8."""
    if bytes not in _patterns:
        _patterns[bytes] = re.compile(_expression().encode(errors="surrogateescape"))
    return _patterns[bytes]


def _expression() -> str:
    if not _values:
        return r"(?!)"
    short = {text for value in list(_values) if len(value) < LONG for text in spellings(value)}
    long = {text for value in list(_values) if len(value) >= LONG for text in spellings(value) if len(text) >= SHORTEST}
    alternatives = [_trie(long)] if long else []
    if short:
        alternatives.append(rf"(?<![A-Za-z0-9_]){_trie(short)}(?![A-Za-z0-9_])")
    return "|".join(alternatives)


def _trie(texts: Iterable[str]) -> str:
    """An expression for any of these texts, the longest first: common beginnings once, so that few are tried at each place."""
    root: dict[str, Any] = {}
    for text in texts:
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branches(root)


def _branches(node: dict[str, Any]) -> str:
    literal = ""
    while len(node) == 1 and "" not in node:  # no recursion along a long value
        ((character, node),) = node.items()
        literal += re.escape(character)
    if set(node) <= {""}:
        return literal
    inner = "|".join(re.escape(character) + _branches(below) for character, below in node.items() if character)
    return f"{literal}(?:{inner})" + ("?" if "" in node else "")


def forget_all() -> None:
    """For tests, which share a process."""
    _values.clear()
    _patterns.clear()
