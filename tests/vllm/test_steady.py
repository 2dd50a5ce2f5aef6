"""When a server answers as fast as it will, by its first requests."""

import pytest

from bench.vllm.steady import Request, steady_request_s, steady_s

WITHIN = 0.25


def requests(*latencies_s: float) -> list[Request]:
    """Short and long in turn, a second apart; the long ones take ten times as long as they are given here."""
    kinds = ("short", "long")
    return [
        Request(kinds[number % 2], 30.0 + number, latency_s * (10 if number % 2 else 1))
        for number, latency_s in enumerate(latencies_s)
    ]


USUAL = (0.1,) * 12


@pytest.mark.parametrize(
    ("latencies_s", "expected"),
    [
        (USUAL, 30.0),  # from the completion on
        ((5.0, *USUAL), 31.0),
        ((0.1, 5.0, 5.0, *USUAL), 33.0),  # one that was fast before the slow ones is not the beginning
        ((5.0, 2.0, 0.5, 0.13, 0.12, *USUAL), 34.0),
        ((5.0, *USUAL, *USUAL, 0.9), 31.0),  # one in ten may be disturbed
        ((5.0, *USUAL, 0.9, 0.9), None),
        ((*(0.1,) * 8, 5.0, *USUAL), 39.0),  # a slow one far into it: not before
        ((0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1), None),  # still becoming faster
        ((), None),
    ],
)
def test_service_is_steady_behind_the_last_request_that_is_slower_than_usual(latencies_s, expected):
    """Each kind by its own median: a long prompt is not slow for being long."""
    assert steady_s(requests(*latencies_s), WITHIN) == expected


def test_a_request_is_as_long_as_the_median_of_its_kind():
    """The short ones are like the start's own completion."""
    assert steady_request_s(requests(5.0, *USUAL)) == pytest.approx(0.1)
    assert steady_request_s([]) is None
