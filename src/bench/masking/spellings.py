"""A secret -> every spelling in which a program may print it. Pure."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

LONG = 8  # characters from which a part of a value is a secret too


def spellings(value: str) -> set[str]:
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
