"""Every text that is looked for in a log, as a row: the text, an example of its line, the releases of vLLM that print it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Bounded, as all that is of any length in a pattern: a line can be megabytes of anything.
NUMBER = r"-?\d{1,15}(?:\.\d{1,20})?"
COUNT = r"\d[\d,]{0,20}"
UNIT = r"[Bb]ytes?|[KMGTP]i?B"

# Releases of a text that stands in no recorded log: read in vLLM's source or in public logs, or not vLLM's own text.
ELSEWHERE = "not recorded"


@dataclass(frozen=True)
class Text:
    """A text that is looked for as it stands.

    `releases`: the first and the last of vLLM whose recorded logs (tests/logs) have it, or ELSEWHERE. `example`: a line of these logs, or
    a part of it; of a text from elsewhere a line made of it, whose source file and numbers may be invented.
    """

    text: str
    example: str
    releases: str


def has_any(text: str, rows: Iterable[Text]) -> bool:
    """Whether any of these texts is in a line's text."""
    for row in rows:  # noqa: SIM110 - twice as quick as any() with a generator
        if row.text in text:
            return True
    return False


@dataclass(frozen=True)
class Rule:
    """A line that vLLM prints, and the fields that are read in it.

    The name of a group is the field and its unit. `size` and `rate` come with the unit that was printed, in `size_unit`
    and `rate_unit`. A group may be left out by a line.
    """

    phase: str
    text: str  # stands in every match: only lines with it are matched
    pattern: re.Pattern[str]
    example: str  # a real line, or vLLM's format with numbers in it
    vllm: (
        str  # the releases that print it, first to last; open: still printed in the newest known; any: not vLLM's text
    )
    running: bool = False  # the number counts on from one model to the next of a process


def rule(phase: str, text: str, pattern: str, example: str, vllm: str, *, running: bool = False) -> Rule:  # noqa: PLR0913
    """A row, its pattern compiled."""
    return Rule(phase, text, re.compile(pattern), example, vllm, running)
