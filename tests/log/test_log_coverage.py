"""The rules against the facts: every format string that vLLM has printed since 0.8.0, and what a person reads in it."""

import os
from pathlib import Path

import pytest

from bench.log.texts.phases import RULES
from log_coverage import HOLES, TABLES, releases_of, render
from log_facts import READ, UNREAD, Fact, filled, read_facts, release_key, why_unread
from read_lines import fields_by_phase

DOCUMENT = Path(__file__).parents[2] / "docs" / "log_coverage.md"
FACTS = read_facts()
RELEASES = sorted({release for fact in FACTS for release in fact.releases}, key=release_key)


def test_the_facts_are_those_of_37_releases():
    """A range that was misread would hide releases."""
    assert len(FACTS) == 217
    assert len(RELEASES) == 37
    assert (RELEASES[0], RELEASES[-1]) == ("0.8.0", "0.33.0")


def test_what_a_person_reads_in_a_format_is_what_the_rules_find():
    """Filled with values and with the words that vLLM puts before a line: all of them, and nothing else."""
    before = "(Worker_TP0 pid=7) INFO 11-24 02:47:31 [some_file.py:430] "
    found = {text: fields_by_phase(before + filled(text, values)) for text, (values, _) in READ.items()}

    assert found == {text: told for text, (_, told) in READ.items()}


@pytest.mark.parametrize("number", ["0", "123456"])
def test_a_format_with_numbers_of_other_lengths_is_read_too(number):
    """A small value, and one of many digits: what is printed with %.2f can be 0.00."""
    found = {}
    for text, (values, _) in READ.items():
        others = tuple(number if value.replace(".", "").isdigit() else value for value in values)
        found[text] = fields_by_phase(filled(text, others)).keys()

    assert found == {text: told.keys() for text, (_, told) in READ.items()}


def test_every_format_is_read_or_has_a_reason():
    """A text that nobody has thought about is a hole."""
    unexplained = [fact.text for fact in FACTS if fact.text not in READ and why_unread(fact) is None]

    assert unexplained == []


def test_a_format_that_has_a_reason_is_left_alone():
    """With values in it that look like those of its neighbours."""
    unread = [fact.text for fact in FACTS if fact.text not in READ]
    found = {text: fields_by_phase(filled(text, ("12.5",) * text.replace("%%", "").count("%"))) for text in unread}

    assert found == {text: {} for text in unread}


def test_every_label_is_of_a_format_that_there_is():
    """A label with a slip in its text would test nothing; a reason that fits nothing is stale."""
    texts = {fact.text for fact in FACTS}
    reasons = {why_unread(fact) for fact in FACTS}

    assert READ.keys() - texts == set()
    assert {why for *_, why in UNREAD} - reasons == set()


def test_the_releases_of_a_rule_are_those_that_print_its_text():
    """As the facts have them: whoever reads the table may believe it."""
    printed = {rule.pattern.pattern: releases_of(rule, FACTS) for rule in RULES if rule.vllm != "any"}
    newest = {pattern: "" if each[-1] == RELEASES[-1] else f" {each[-1]}" for pattern, each in printed.items()}

    assert {rule.pattern.pattern: rule.vllm for rule in RULES if rule.vllm != "any"} == {
        pattern: f"{each[0]} -{newest[pattern]}" for pattern, each in printed.items()
    }


def test_a_rule_beyond_the_facts_reads_none_of_them():
    """It says "any" because the list does not have its text."""
    beyond = [rule for rule in RULES if rule.vllm == "any"]

    assert {rule.phase for rule in beyond} == {
        "stream",
        "kv_cache",
        "drafter",
        "ngram",
        "version",
        "ready",
        "load_model",
    }
    assert [releases_of(rule, FACTS) for rule in beyond] == [[]] * len(beyond)


def test_every_phase_has_a_column():
    """What a rule reads is in the document."""
    assert {phase for _, columns in TABLES for _, phase, _ in columns} == {rule.phase for rule in RULES}
    assert {name for _, name, *_ in HOLES} <= {title for _, columns in TABLES for title, *_ in columns}


def test_the_document_is_up_to_date():
    """No cell is empty, or `render` fails. To write it anew: BENCH_WRITE_DOCS=1 python -m pytest tests/log/test_log_coverage.py."""
    made = render()
    if os.environ.get("BENCH_WRITE_DOCS"):
        DOCUMENT.write_text(made)

    assert DOCUMENT.read_text() == made, "docs/log_coverage.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"


def test_a_cell_without_a_rule_or_a_reason_is_refused(monkeypatch):
    """A release whose text no rule knows must be seen."""
    monkeypatch.setattr("log_coverage.HOLES", HOLES[1:])

    with pytest.raises(AssertionError, match=r"prefetch in 0\.8\.0: no rule, no reason"):
        render()


def test_a_range_of_releases_covers_those_between():
    """Also one with a gap, and one of a single release."""
    gap = next(fact for fact in FACTS if fact.text == "Cache the graph of compile range %s for later use")
    single = next(fact for fact in FACTS if fact.text.startswith("NFS detected"))

    assert isinstance(gap, Fact)
    assert "0.19.1" not in gap.releases
    assert {"0.18.1", "0.20.2"} <= set(gap.releases)
    assert single.releases == ("0.19.1",)
