"""Which lines can tell anything: a cheap test, so that a log of days of answered requests is read as fast as the disk gives it. Pure.

Every rule has words that stand in each of its matches; a line without any of them needs no rule.
"""

import re

from bench.log.shapes import shape_of
from bench.log.sought import Sought
from bench.log.texts import RULES, STAGES

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


WORDS = tuple(dict.fromkeys(words_of(rule.pattern.pattern) for rule in RULES))
TELLING = Sought([*WORDS, *OTHER_TEXTS])


def may_tell(text: str) -> bool:
    """False only where no rule can match."""
    return TELLING.is_in(shape_of(text))
