"""Work for many things at once: results in their order, the first error, and a deadline that nothing can hold up."""

import threading

import pytest

from bench.system.threads import AT_ONCE, side_by_side


def test_results_stand_in_the_order_of_the_things():
    """Whichever thread had them; also where there is nothing to do."""
    assert side_by_side(lambda number: number * 2, range(100)) == [number * 2 for number in range(100)]
    assert side_by_side(len, []) == []


def test_so_many_are_done_at_once():
    """A barrier of that many would never open for fewer."""
    barrier = threading.Barrier(AT_ONCE)
    assert len(side_by_side(lambda _: barrier.wait(60), range(AT_ONCE))) == AT_ONCE


def test_an_error_is_raised_and_ends_the_rest():
    """As if it had been done one after the other."""

    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        side_by_side(work, range(1000))


def test_what_hangs_is_none_at_the_deadline():
    """The others are there; the thread that hangs ends with the process."""
    never = threading.Event()
    found = side_by_side(lambda number: never.wait() if number == 1 else number, [0, 1, 2], within_s=0.3)
    never.set()

    assert found == [0, None, 2]
