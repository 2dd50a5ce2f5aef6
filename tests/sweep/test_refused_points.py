"""Points of a sweep that are refused together, before its first start."""

import pytest

from bench.compose import compose_settings
from bench.errors import SettingError
from bench.sweep.plan import Point
from bench.sweep.refusals import refuse_repeats_of_nothing


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
