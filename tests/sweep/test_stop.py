"""When a sweep has enough blocks, and the words for it."""

from dataclasses import replace
from functools import cache

import pytest

from bench.analysis.records import RunRecord
from bench.compose import compose_settings
from bench.config import Settings
from bench.sweep.plan import why_stop
from made_sweeps import made_failure, made_start

ORDER = ["auto", "dummy"]


@cache
def composed() -> Settings:
    (settings,) = compose_settings(())
    return settings


def asked(**changed: object) -> Settings:
    """10 %, from 3 blocks on, at most 6, as `changed` says otherwise."""
    return composed().model_copy(update={"precision": 0.1, "min_blocks": 3, "max_blocks": 6, **changed})


def starts_of(point: str, *ready_s: float) -> list[RunRecord]:
    return [made_start(point, {"ready_s": value}, repeat=block) for block, value in enumerate(ready_s)]


def steady(blocks: int) -> list[RunRecord]:
    """Two formats with one ratio in all blocks."""
    return starts_of("auto", *[10.0] * blocks) + starts_of("dummy", *[5.0] * blocks)


def noisy(blocks: int) -> list[RunRecord]:
    """A ratio that is 1 in one block and 4 in the next."""
    return starts_of("auto", *[10.0] * blocks) + starts_of("dummy", *([10.0, 2.5] * blocks)[:blocks])


def stop(starts: list[RunRecord], blocks: int, settings: Settings | None = None, lasted_s: float = 1.0) -> str | None:
    return why_stop(settings or asked(), starts, ORDER, blocks, lasted_s * (blocks + 1) / blocks)


# Enough.


def test_a_sweep_ends_when_every_ratio_is_known_well_enough():
    """The words are the report's: how well, and what was asked."""
    assert stop(steady(3), 3) == "after 3 blocks, all ratios known to 0.0% (precision=10% was asked)"


def test_the_words_tell_how_well_the_least_known_ratio_is_known():
    """Half of the interval's width, relative: by hand, sqrt(high / low) - 1 of log ratios that differ by 0.02."""
    starts = starts_of("auto", 10.0, 10.0, 10.0) + starts_of("dummy", 5.0, 5.1, 4.9)

    assert stop(starts, 3) == "after 3 blocks, all ratios known to 5.1% (precision=10% was asked)"


def test_a_sweep_does_not_end_before_min_blocks():
    """However equal the first two were: two blocks agree by chance."""
    assert stop(steady(2), 2) is None


def test_a_sweep_goes_on_while_a_ratio_is_not_known_well_enough():
    """Five blocks are no promise."""
    assert stop(noisy(5), 5) is None


def test_every_ratio_of_the_report_must_be_known():
    """The weights' time of one start in each block is known well, that to ready is not."""
    starts = [
        replace(start, metrics=start.metrics | {"phase/load_weights_s": 2.0 if start.point == "auto" else 1.0})
        for start in noisy(4)
    ]

    assert stop(starts, 4) is None


def test_a_ratio_without_an_interval_is_not_known():
    """A single start said how long its weights took."""
    starts = steady(3)
    starts[0] = replace(starts[0], metrics=starts[0].metrics | {"phase/load_weights_s": 2.0})
    starts[3] = replace(starts[3], metrics=starts[3].metrics | {"phase/load_weights_s": 1.0})

    assert stop(starts, 3) is None


@pytest.mark.parametrize("starts", [[], starts_of("auto", 10.0, 10.0, 10.0)], ids=["none", "one point"])
def test_where_there_is_no_ratio_none_is_known(starts):
    """Nothing was measured yet, or there is nothing to compare with."""
    assert stop(starts, 3) is None


def test_failed_and_invalid_starts_make_nothing_known():
    """Three blocks were run, one of them counts."""
    starts = starts_of("auto", 10.0, 10.0, 10.0) + starts_of("dummy", 5.0)
    starts += [
        made_failure("dummy", "no device", {"ready_s": 5.0}, repeat=1),
        replace(made_start("dummy", {"ready_s": 5.0}, repeat=2), invalid_reason="page_cache=cold was asked, but"),
    ]

    assert stop(starts, 3) is None


def test_a_point_that_always_fails_keeps_no_sweep_going():
    """It has no ratio, and will have none."""
    failures = [made_failure("fastsafetensors", "no device", repeat=block) for block in range(3)]

    assert stop(steady(3) + failures, 3) == "after 3 blocks, all ratios known to 0.0% (precision=10% was asked)"


# Not enough, and yet the end.


def test_a_sweep_ends_at_max_blocks():
    """And says that it is not as precise as was asked."""
    assert stop(noisy(6), 6) == "after max_blocks=6, not all ratios known to precision=10%"


def test_what_is_known_well_enough_in_the_last_block_is_said_to_be():
    """Both are reached at once."""
    assert stop(steady(6), 6) == "after 6 blocks, all ratios known to 0.0% (precision=10% was asked)"


def test_a_sweep_ends_before_a_block_that_would_exceed_its_time():
    """Four blocks took 80 s, so the fifth would end after 100 s."""
    settings = asked(time_budget_s=99.0)

    assert stop(noisy(4), 4, settings, lasted_s=80.0) == "after 4 blocks: another would exceed time_budget_s=99"
    assert stop(noisy(4), 4, asked(time_budget_s=100.0), lasted_s=80.0) is None


def test_without_a_time_budget_time_ends_nothing():
    """A sweep may take a weekend."""
    assert stop(noisy(4), 4, lasted_s=10**6) is None


def test_the_time_budget_holds_before_min_blocks_too():
    """Whoever gave it has no more."""
    assert stop(noisy(1), 1, asked(time_budget_s=10.0), lasted_s=8.0) == (
        "after 1 blocks: another would exceed time_budget_s=10"
    )


@pytest.mark.parametrize("blocks", [1, 6, 100])
def test_without_precision_a_sweep_has_its_repeats(blocks):
    """However well everything is known."""
    assert stop(steady(blocks), blocks, asked(precision=None, repeats=100), lasted_s=100.0) is None


def test_a_sweep_of_repeats_ends_before_a_block_that_would_exceed_its_time_too():
    """A machine that is lent by the hour is gone then, in the middle of a block. What is finished is not said to have run out."""
    settings = asked(precision=None, repeats=5, time_budget_s=99.0)

    assert stop(noisy(4), 4, settings, lasted_s=80.0) == "after 4 blocks: another would exceed time_budget_s=99"
    assert stop(noisy(5), 5, settings, lasted_s=100.0) is None
