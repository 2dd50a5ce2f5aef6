"""The registered secrets of this process, by value and in every spelling in which a program may print them, as one compiled pattern."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote

LONG = 8  # characters from which a part of a value is a secret too
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
    short = {text for value in list(_values) if len(value) < LONG for text in _spellings(value)}
    long = {
        text for value in list(_values) if len(value) >= LONG for text in _spellings(value) if len(text) >= SHORTEST
    }
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


def _spellings(value: str) -> set[str]:
    """The value itself; as JSON, in a URL, in base64, in hexadecimal, as a shell, Python, YAML or HTML quotes it; without quotes, as a
    label has it; each of its lines, where it has several.
    """
    found = {value, value.strip(), unquote(value), re.sub(r"['\"\\]", "", value)}
    if "\n" in value:
        found |= {line.strip() for line in value.splitlines() if len(line.strip()) >= LONG and "-----" not in line}
    for text in list(found):
        found |= set(_quoted(text))
    found |= set(_encoded(value)) if len(value) >= LONG else set()
    return {text for text in found if text}


def _quoted(text: str) -> Iterator[str]:
    escaped = [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    yield from escaped
    yield from (json.dumps(each)[1:-1] for each in escaped)  # JSON in JSON
    yield escaped[0].replace("/", "\\/")
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield shlex.quote(shlex.quote(text))[1:-1]
    yield text.replace("'", "''")
    yield text.replace("'", r"\'")
    yield html.escape(text)
    yield html.escape(text, quote=False)
    for url in (
        _in_url(text),
        _in_url(text, "/"),
        quote_plus(text.encode(errors="surrogateescape")),
        _in_url(_in_url(text)),
    ):
        yield url
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url)


def _in_url(text: str, safe: str = "") -> str:
    return quote(text.encode(errors="surrogateescape"), safe=safe)


def _encoded(value: str) -> Iterator[str]:
    """Base64 also of what the secret is the end or the middle of, as `user:password`: three alignments, without what hangs over."""
    data = value.encode(errors="surrogateescape")
    yield data.hex()
    yield data.hex().upper()
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        inner = coded[(0, 2, 3)[shift] : -1 if (shift + len(data)) % 3 else None]
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
