"""Sources of one start held against each other: each row of the table catches its planted cases, and honest starts raise none."""

import os
import re
from pathlib import Path

import pytest

from bench.start.checks import CHECKS, doubts_in, problems_in
from checks_document import BEGIN, END, render
from planted import PLANTED
from recorded_evidence import evidence, folders

DOCUMENT = Path(__file__).parents[2] / "docs" / "trust.md"
HONEST = sorted(
    folders().keys() - {"cpu-two_starts/auto_again"}
)  # asked for cold and found warm: that is what it shows
CASES = [(check, number) for check in CHECKS for number in range(len(PLANTED.get(check.name, ())))]


def test_the_recorded_starts_are_of_one_rank_and_of_two():
    """On a CPU, an H100 and H200s."""
    assert len(HONEST) >= 27
    assert {len(evidence(name).probe.ranks) for name in HONEST} == {1, 2}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_start_raises_none(name):
    """Neither a contradiction nor a doubt."""
    assert (problems_in(evidence(name)), doubts_in(evidence(name))) == ([], [])


@pytest.mark.parametrize(("check", "number"), CASES, ids=[f"{check.name}-{number}" for check, number in CASES])
def test_a_planted_case_is_caught(check, number):
    """In a sentence of its own, which a start's problems have, or its warnings."""
    case = PLANTED[check.name][number]()
    said = list(check.find(case))

    assert said
    assert set(said) <= ({str(doubt) for doubt in doubts_in(case)} if check.warns else set(problems_in(case)))


def test_every_check_has_a_planted_case_and_a_name_of_its_own():
    """So that the document has an example of each."""
    assert [check.name for check in CHECKS] == list(PLANTED)


def test_the_document_is_that_of_the_checks():
    """To write it anew: BENCH_WRITE_DOCS=1 python -m pytest tests/start/test_checks.py."""
    text = DOCUMENT.read_text()
    made = re.sub(f"{BEGIN}.*?{END}", lambda _: render(), text, flags=re.DOTALL)
    if os.environ.get("BENCH_WRITE_DOCS"):
        DOCUMENT.write_text(made)

    assert BEGIN in text
    assert made == DOCUMENT.read_text(), "the table in docs/trust.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"
