"""Which lines can tell anything: a cheap test, so that a log of days of answered requests is read as fast as the disk gives it. Pure.

Every rule has words that stand in each of its matches; a line without any of them needs no rule. Lines that differ in digits
only are looked at once.
"""

import re
from functools import lru_cache

from bench.startup.rules import RULES, STAGES
from bench.startup.shapes import DIGITS, SHAPE_BYTES, SHAPES

OTHER_TEXTS = ("is assigned as", *(marker for marker, _ in STAGES))  # what is looked for without a rule


def words_of(pattern: str) -> str:
    """The longest text that stands in every match of a regular expression, as far as that is simple to see. Empty: not seen."""
    if pattern.startswith("(?"):
        flags = re.match(r"\(\?[aiLmsux]+\)", pattern)
        if flags:
            return ""
    runs: list[str] = []
    run, depth, at = "", 0, 0
    while at < len(pattern):
        part = _part(pattern, at)
        at += len(part)
        if part == "|" and depth == 0:
            return ""  # either of two texts
        depth += (part == "(") - (part == ")")
        plain = part[-1] if depth == 0 and _is_plain(part) else ""
        if plain and pattern[at : at + 1] not in {"?", "*", "+", "{"}:
            run += plain
        else:
            runs, run = [*runs, run], ""
    return max([*runs, run], key=len)


def _part(pattern: str, at: int) -> str:
    """A character, an escape, a whole [...] or {...}."""
    if pattern[at] == "\\":
        return pattern[at : at + 2]
    if pattern[at] == "{":
        return pattern[at : pattern.index("}", at) + 1]
    if pattern[at] == "[":
        return pattern[at : pattern.index("]", at + (3 if pattern[at + 1] == "^" else 2)) + 1]
    return pattern[at]


def _is_plain(part: str) -> bool:
    return not part[1].isalnum() if part[0] == "\\" else len(part) == 1 and part not in "()[]{}^$.|?*+"


def _words() -> tuple[bytes, ...]:
    of_rules = [words_of(rule.pattern.pattern) for rule in RULES if not rule.pattern.flags & re.IGNORECASE]
    return tuple(dict.fromkeys(text.encode().translate(DIGITS) for text in [*of_rules, *OTHER_TEXTS] if text))


WORDS = _words()
OTHERS = tuple(
    rule.pattern for rule in RULES if rule.pattern.flags & re.IGNORECASE or not words_of(rule.pattern.pattern)
)


def may_tell(text: str) -> bool:
    """False only where no rule can match."""
    shape = text.encode(errors="replace").translate(DIGITS)
    told = _has_words(shape) if len(shape) <= SHAPE_BYTES else _find_words(shape)
    return told or (bool(OTHERS) and any(pattern.search(text) for pattern in OTHERS))


def _find_words(shape: bytes) -> bool:
    return any(words in shape for words in WORDS)


_has_words = lru_cache(SHAPES)(_find_words)
