"""What a row of the table is."""

import re
from dataclasses import dataclass

# Bounded, as all that is of any length in a pattern: a line can be megabytes of anything.
NUMBER = r"-?\d{1,15}(?:\.\d{1,20})?"
COUNT = r"\d[\d,]{0,20}"
UNIT = r"[Bb]ytes?|[KMGTP]i?B"


@dataclass(frozen=True)
class Rule:
    """A text that vLLM prints, and what it tells.

    The name of a group is the field and its unit. `size` and `rate` come with the unit that was printed, in `size_unit`
    and `rate_unit`. A group may be left out by a line.
    """

    phase: str
    pattern: re.Pattern[str]
    example: str  # a real line, or vLLM's format with numbers in it
    vllm: (
        str  # the releases that print it, first to last; open: still printed in the newest known; any: not vLLM's text
    )
    running: bool = False  # the number counts on from one model to the next of a process


def rule(phase: str, pattern: str, example: str, vllm: str, *, running: bool = False) -> Rule:
    """A row, its pattern compiled."""
    return Rule(phase, re.compile(pattern), example, vllm, running)
