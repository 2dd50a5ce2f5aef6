"""Points of a sweep that are refused together, before its first start."""

import pytest

from bench.compose import compose_settings
from bench.errors import SettingError
from bench.sweep.plan import Point
from bench.sweep.refusals import refuse_repeats_of_nothing, refuse_without_effect


def points(*typed: str, brought: tuple[str, ...] = ()) -> list[Point]:
    (settings,) = compose_settings([*typed, *brought])
    return [Point("auto", typed, settings)]


def test_repeats_of_a_load_format_that_was_not_asked_for_may_come_with_an_experiment():
    """It has more load formats than this sweep of it."""
    refuse_repeats_of_nothing(points("load_format=auto", brought=("repeats_of.runai_streamer=1",)))


@pytest.mark.parametrize(
    "found",
    [points("repeats_of.runai_streamer=1"), points("repeats_of={dummy:1}"), points(brought=("repeats_of.runai_steamer=1",))],
)  # fmt: skip
def test_repeats_of_nothing_are_refused(found):
    """Typed, or a name that no load format has."""
    with pytest.raises(SettingError, match=r"they have auto\. Leave it out"):
        refuse_repeats_of_nothing(found)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("min_blocks=3",), "min_blocks: this has no effect without precision"),
        (("precision=10%", "repeats=3"), "repeats=3: precision=0.1 decides how many blocks there are, at most max_blocks=20"),
        (("repeats=3", "repeats_of.auto=5"), "repeats_of.auto=5: fewer blocks than repeats=3 alone are possible. Set repeats=5"),
    ],
)  # fmt: skip
def test_a_number_of_blocks_that_would_not_count_is_refused(words, answer):
    """Where it was typed; an experiment's may be for another one."""
    with pytest.raises(SettingError) as refused:
        refuse_without_effect(points(*words))

    assert answer in str(refused.value)
    refuse_without_effect(points(brought=words))
    refuse_without_effect(points("precision=10%", "min_blocks=3", brought=("repeats=3",)))
