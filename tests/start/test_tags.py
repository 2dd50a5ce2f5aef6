"""Tags: what a store gives back is what went in, and each name is spelled once."""

from pathlib import Path

import pytest

from bench.start import tags
from bench.start.tag_types import TAG_AT_MOST, Tag
from bench.start.tags import KIND, ORDER, POINTS, REASON, VALID, WARNINGS, Kind
from bench.start.warning import ResultWarning, WarningKind

ALL = [each for each in vars(tags).values() if isinstance(each, Tag)]
SOURCES = Path(tags.__file__).parents[1]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        *((KIND, kind) for kind in Kind),
        (ORDER, 12),
        (VALID, True),
        (VALID, False),
        (POINTS, ("auto", "safetensors tp=2")),
        (WARNINGS, tuple(ResultWarning(kind, f"{kind.value}: a text") for kind in WarningKind)),
        (REASON, "it's over"),
    ],
)
def test_a_value_comes_back_as_it_was(tag, value):
    """With its type: a number is no text."""
    assert tag.in_(tag.of(value)) == value


def test_more_points_than_a_tag_holds_are_the_first_of_them():
    """Whole: half a label is no point."""
    labels = tuple(f"start {number} of many" for number in range(1000))
    (text,) = POINTS.of(labels).values()
    kept = POINTS.in_({POINTS.name: text})

    assert len(text) <= TAG_AT_MOST
    assert kept == labels[: len(kept)]
    assert len(kept) > 300


def test_warnings_of_an_earlier_bench_are_texts():
    """Each is a line; a later bench may have kinds that this one does not know."""
    found = WARNINGS.in_({WARNINGS.name: "0.5 s of 2 s\nprobe: no such name\nfuture: unknown"})

    assert found == (
        ResultWarning(WarningKind.OTHER, "0.5 s of 2 s"),
        ResultWarning(WarningKind.PROBE, "no such name"),
        ResultWarning(WarningKind.OTHER, "future: unknown"),
    )


def test_what_is_not_known_has_no_tag():
    """And what a run does not have is None; so is a kind of run that only a later bench knows."""
    assert ORDER.of(None) == {}
    assert ORDER.in_({}) is None
    assert KIND.in_({"bench.kind": "rehearsal"}) is None


def test_a_tag_s_name_is_spelled_once():
    """In tags.py; elsewhere only in prose."""
    texts = {path: path.read_text() for path in SOURCES.rglob("*.py")}
    for tag in ALL:
        assert [path.name for path, text in texts.items() if f'"{tag.name}"' in text] in ([], ["tags.py"]), tag.name


def test_a_search_s_condition_cannot_be_left():
    """A quote in a value would end it."""
    assert REASON.equals("it's") == 'tags.`bench.reason` = "it\'s"'
    assert REASON.equals("""it's "so\"""") == 'tags.`bench.reason` = "it\'s so"'
