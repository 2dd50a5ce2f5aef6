"""The cheap test before the rules must never drop what a rule would find."""

from pathlib import Path

import pytest

from bench.log.screen import may_tell, words_of
from bench.log.shapes import DIGITS
from bench.log.texts import RULES
from read_lines import read_log

LOGS = sorted((Path(__file__).parents[1] / "logs").rglob("*.log"))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"took (?P<s>\d+) seconds", " seconds"),
        (r"Model loading took (?P<s>[\d.]+) Gi?B", "Model loading took "),
        (r"torch\.compile (?:takes|took) x", "torch.compile "),
        (r"(?<!Encoder )[Gg]raph capturing", "raph capturing"),
        (r"a? is\s+her", " is"),  # what may be absent is not in every match, and an escaped letter is a kind
        (r"ab{1,300}c", "a"),
        (r"one|another", ""),
        (r"(?i)hello", ""),
        (r"[]abc]+x", "x"),
        (r"\(v(?P<v>.+)\)", "(v"),
    ],
)
def test_words_stand_in_every_match(pattern, words):
    """The longest of them, so that few other lines have them."""
    assert words_of(pattern) == words


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.phase)
def test_every_rule_has_words(rule):
    """Of four letters at least: else every line would be looked at by it. Its example has them."""
    words = words_of(rule.pattern.pattern)

    assert len(words) >= 4
    assert words in rule.example
    assert may_tell(rule.example)


def test_no_line_of_a_recorded_log_is_dropped_that_a_rule_matches():
    """Nor are many kept that none does."""
    kept = told = 0
    for path in LOGS:
        with path.open("rb") as log:
            for line in read_log(log):
                tells = any(rule.pattern.search(line.text) for rule in RULES)
                assert may_tell(line.text) or not tells
                kept, told = kept + may_tell(line.text), told + tells
    assert 100 < told < kept < 4 * told


def test_digits_do_not_hide_a_text():
    """Lines that differ in digits only are looked at once; a text with a digit in it is found all the same."""
    assert may_tell("Initializing a V1 LLM engine (v0.32.0)")
    assert may_tell("x" * 2_000 + "Initializing a V1 LLM engine")
    assert not may_tell("GET /health 200")
    assert b"V1 9 12".translate(DIGITS) == b"V0 0 00"
