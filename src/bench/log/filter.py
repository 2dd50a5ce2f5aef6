"""Whether a line can matter, and which texts of the tables it has: one automaton (Aho-Corasick) made of all rows. Pure.

Each text is of one or more groups, which are bits: a reader asks for the groups that can still change what it knows, and a line with
none of them is passed by without being parsed.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from bench.log.lines import READ
from bench.log.texts import Rule, Stage, Text, is_at_head
from bench.log.texts.endings import (
    IN_USE,
    LOADING,
    OF_A_SERVER,
    PATTERN_TEXTS,
    REQUESTS,
    SERVER_NAMES,
    SERVING,
    SIGNS,
    STARTING,
    WAITING,
)
from bench.log.texts.failures import SUSPECT, TRACEBACK_BEGINS
from bench.log.texts.phases import (
    COMPILED,
    CONFIG_TEXT,
    ENGINE_DONE,
    LOAD_FAILED,
    LOADED,
    MILESTONES,
    OPENS_A_STAGE,
    RANKS,
    RULES,
    STAGES,
)
from bench.log.texts.server_info import ARGUMENTS_TEXT, INFO_ROWS, OPENINGS
from bench.log.unwrap import shape_of

# What a line holds by a text of it. From RULE to TRACED, one for each table.
(RULE, RANK_ASSIGNED, MILESTONE, STAGE, COMPILES, LOADS_COMPILED, LOAD_FAILS, INFO, OPENING) = (
    1 << bit for bit in range(9)
)
(SERVES, USES, STARTS_SERVER, LOADS, IS_SERVERS, IS_DONE, SIGN, SUSPICIOUS, REQUEST, WAITS, TRACED) = (
    1 << bit for bit in range(9, 20)
)
# Who printed it: an API server; a process with its rank in its name.
SERVER_NAME, RANK_NAME = 1 << 20, 1 << 21
# How it is written: in parts, escaped or coloured, so that a text may be there which is not seen in the file's bytes.
HIDES, DOCKERS = 1 << 22, 1 << 23
PRINTED = 1 << 24  # anything at all

READINGS = RULE | RANK_ASSIGNED | MILESTONE | STAGE | COMPILES | LOADS_COMPILED | LOAD_FAILS
ENDINGS = STAGE | SERVES | USES | STARTS_SERVER | LOADS | IS_SERVERS | IS_DONE | SIGN | SUSPICIOUS | REQUEST | WAITS
ANY_LINE = (1 << 25) - 1
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
# Of Docker's json-file driver, which ends its line.
DOCKER_RECORD = re.compile(rb'[^{]*\{"log": ?"(?:[^"\\]|\\.)*?\\n", ?"stream": ?"\w*", ?"time": ?"[^"\\]*"\}\r?\n')
OF_COMPILING = COMPILES | LOADS_COMPILED | LOAD_FAILS  # of texts that count only at a record's head
SPECIAL = HIDES | DOCKERS


def _grouped() -> dict[str, int]:
    """The groups of each text."""
    groups: dict[str, int] = {}
    rows: list[tuple[int, Iterable[Text | Rule]]] = [
        (RULE, RULES),
        (RANK_ASSIGNED, [RANKS]),
        (MILESTONE, [row for _, rows in MILESTONES for row in rows]),
        (STAGE, [row for row in (*OPENS_A_STAGE, *RULES) if row.stage]),
        (COMPILES, COMPILED),
        (LOADS_COMPILED, LOADED),
        (LOAD_FAILS, [LOAD_FAILED]),
        (INFO, [ARGUMENTS_TEXT, CONFIG_TEXT, *(row for _, row, _ in INFO_ROWS)]),
        (OPENING, OPENINGS),
        (SERVES, SERVING),
        (USES, IN_USE),
        (STARTS_SERVER, STARTING),
        (LOADS, LOADING),
        (IS_SERVERS, OF_A_SERVER),
        (IS_DONE, [ENGINE_DONE]),
        (SIGN, [*SIGNS, *PATTERN_TEXTS]),
        (SUSPICIOUS, SUSPECT),
        (REQUEST, REQUESTS),
        (WAITS, WAITING),
        (TRACED, [TRACEBACK_BEGINS]),
    ]
    for group, texts in rows:
        for row in texts:
            groups[row.text] = groups.get(row.text, 0) | group
    return groups


GROUPS = _grouped()
WITH_DIGITS = tuple((shape_of(text), groups) for text, groups in GROUPS.items() if any(map(str.isdigit, text)))
# Of shapes of a file's bytes only. What hides a text: parts of lines in a container's files, escapes in JSON and to a terminal, stress
# in Markdown, journald's lists of bytes.
WRITTEN = {
    **dict.fromkeys(SERVER_NAMES, SERVER_NAME),
    **dict.fromkeys(("TP0", "rank=", "Worker_"), RANK_NAME),
    **dict.fromkeys((" stdout P ", " stderr P ", "\\u", "\\/", "**-", "**0", "\x1b", "^[", "ESC[", "[0m", "[0;0m", "[00m", "[0;00m", '"MESSAGE":[', '"MESSAGE": [', '"MESSAGE" : ['), HIDES),
    '"log"': DOCKERS,
}  # fmt: skip

_RULES_BY_TEXT = {rule.text: tuple(at for at, each in enumerate(RULES) if each.text == rule.text) for rule in RULES}


def _automaton(texts: Iterable[str]) -> BytesAhoCorasick:
    return BytesAhoCorasick([text.encode() for text in texts], MatchKind.Standard, implementation=Implementation.DFA)


_TEXTS = tuple(GROUPS)
_FIND = _automaton(_TEXTS).find_matches_as_indexes


class Found(NamedTuple):
    """What the tables find in a line's text. `near` are the groups of its first READ characters: where an ending shows."""

    groups: int = 0
    near: int = 0
    stage: Stage | None = None  # that it opens
    rules: tuple[Rule, ...] = ()  # that match
    cut: tuple[Rule, ...] = ()  # that would, if the line went on


def found_in(text: str) -> Found:
    """What stands in this text. The group RULE is there only if a rule matches, or would."""
    found = _FIND(text.encode(errors="replace"), overlapping=True)
    if not found:
        return Found()
    texts = {each for index, _, _ in found if _counts(each := _TEXTS[index], text)}
    groups = _joined(texts)
    near, near_texts = groups, texts
    if len(text) > READ:
        near_texts = {_TEXTS[index] for index, _, _ in _FIND(text[:READ].encode(errors="replace"), overlapping=True)}
        near = _joined(near_texts)
    stage = next((stage for each, stage in STAGES.items() if each in near_texts), None) if near & STAGE else None
    places = sorted(place for each in texts for place in _RULES_BY_TEXT.get(each, ()))
    matching = [place for place in places if RULES[place].search(text)]
    rules = tuple(RULES[place] for place in matching)
    cut = tuple(RULES[place] for place in places if place not in matching and RULES[place].is_cut_in(text))
    if not (rules or cut):
        groups &= ~RULE
    return Found(groups, near, stage, rules, cut)


def _counts(each: str, text: str) -> bool:
    """Whether it is what the record says, where that is asked of it."""
    return not GROUPS[each] & OF_COMPILING or is_at_head(text, text.find(each))


def _joined(texts: Iterable[str]) -> int:
    groups = 0
    for text in texts:
        groups |= GROUPS[text]
    return groups


def groups_by_digits(shape: bytes) -> int:
    """The groups of which a line may have a text or not, as its digits are."""
    groups = 0
    for text, each in WITH_DIGITS:
        if text in shape:
            groups |= each
    return groups


def uncoloured(raw: bytes) -> bytes:
    """A line without the colours that vLLM prints, which are most of what a terminal is sent."""
    return COLOUR.sub(b"", raw) if b"\x1b[" in raw else raw


@lru_cache(32)  # a log's reader asks for a handful
def filter_for(needed: int) -> "LineFilter":
    """The filter for lines with a text of these groups."""
    return LineFilter(needed)


class LineFilter:
    """Finds which of the needed groups a line has, in the shape of its bytes as they lie in the file: each digit is a 0."""

    def __init__(self, needed: int) -> None:
        texts: dict[str, int] = {}
        for text, groups in GROUPS.items():
            if groups & needed:
                shape = shape_of(text).decode()
                texts[shape] = texts.get(shape, 0) | groups
        texts |= {text: group for text, group in WRITTEN.items() if group & (needed | SPECIAL)}
        for text in [text for text in texts if '"' in text and text != '"log"']:  # in JSON, and in JSON in JSON
            texts[text.replace('"', '\\"')] = texts[text.replace('"', '\\\\\\"')] = texts[text]
        self._find = _automaton(texts).find_matches_as_indexes
        self._groups = tuple(texts.values())

    def groups(self, line: bytes) -> int:
        """The groups of which lines of this shape, `uncoloured`, may have a text."""
        groups = 0
        for index, _, _ in self._find(line, overlapping=True):
            groups |= self._groups[index]
        if groups & DOCKERS and not DOCKER_RECORD.fullmatch(line):
            groups |= HIDES  # a record of Docker's that does not end its line goes on in the next
        return groups
