"""The documentation names only what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "benchmark_results" / "README.md"])
ROW = re.compile(r"`((?:src|conf)/[^`]+)`(?:[^`|]*\|)?[^`|]*(?:`(\w+)`)?")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """Those to files; a figure is one too."""
    targets = re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_where_a_line_goes_is_where_it_is():
    """Each file and function that a newcomer is sent to."""
    text = (ROOT / "docs" / "contributing.md").read_text().partition("## Where a line goes")[2]
    named = ROW.findall(text)
    missing = [path for path, _ in named if not (ROOT / path).exists()]
    unknown = [
        (path, name) for path, name in named if name and not re.search(rf"\b{name}\b", (ROOT / path).read_text())
    ]

    assert len(named) >= 10
    assert missing == []
    assert unknown == []


def test_every_decision_is_a_question_and_its_answer():
    """A choice or the evidence, at least; and each package's file is listed."""
    folder = ROOT / "docs" / "decisions"
    pages = {page.name: page.read_text() for page in folder.glob("*.md") if page.name != "README.md"}
    entries = [
        entry for text in pages.values() for entry in re.split(r"^##+ (?=[^\n]*\?)", text, flags=re.MULTILINE)[1:]
    ]

    assert len(entries) > 60
    assert [entry for entry in entries if not re.search(r"^(?:- )?\*\*|^- ", entry, re.MULTILINE)] == []
    assert set(re.findall(r"\((\w+\.md)\)", (folder / "README.md").read_text())) == set(pages)
