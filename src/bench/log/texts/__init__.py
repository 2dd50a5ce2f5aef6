"""The table: which text of vLLM's log tells what, in which releases. Each row carries its own test, an example.

Source of the texts: vLLM's and Run:ai Model Streamer's own format strings, release by release. Which release prints
which, and what is not read and why: docs/log_coverage.md.
"""

import re
from collections.abc import Iterator

from bench.log.texts.caches import CACHES
from bench.log.texts.compiling import COMPILING
from bench.log.texts.engine import ENGINE
from bench.log.texts.rule import Rule
from bench.log.texts.stages import SERVING, STAGES, stage_of
from bench.log.texts.weights import WEIGHTS

__all__ = ["RULES", "SERVING", "STAGES", "Rule", "found_in", "matches_in", "stage_of"]

RULES = (*WEIGHTS, *COMPILING, *CACHES, *ENGINE)


def found_in(text: str) -> Iterator[tuple[Rule, dict[str, str]]]:
    """Each rule that finds something in a line, with what it found. What the line leaves out is absent."""
    for rule, found in matches_in(text):
        yield rule, {name: value for name, value in found.groupdict().items() if value is not None}


def matches_in(text: str) -> Iterator[tuple[Rule, re.Match[str]]]:
    """The same, and where it stands. `screen.may_tell` is the quick look before thirty patterns."""
    for rule in RULES:
        if found := rule.pattern.search(text):
            yield rule, found
