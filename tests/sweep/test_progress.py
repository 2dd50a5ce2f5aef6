"""What is printed of each start while a sweep runs."""

import pytest

from bench.sweep import progress
from bench.sweep.progress import Progress, outcome
from made_starts import startup


@pytest.mark.parametrize(
    ("counts", "reason", "printed"),
    [
        (True, None, "start 2/6  auto  ready"),
        (True, "no memory", "start 2/6  auto  FAILED: no memory"),
        (False, None, "untimed 2/6  auto  over after "),
        (False, "no memory", "untimed 2/6  auto  FAILED: no memory"),
    ],
)
def test_a_start_that_does_not_count_is_printed_as_one(monkeypatch, capsys, counts, reason, printed):
    """Its times are no results, and no estimate of how long those that count will take."""
    lasted_s: list[float] = []
    monkeypatch.setattr(progress, "_lasted_s", lasted_s)
    shown = Progress("auto", 2, 6, counts, plain=True, began_s=0.0)
    outcome(startup(reason=reason, metrics={"ready_s": 7.5}), shown)
    err = capsys.readouterr().err

    assert err.startswith(printed)
    assert ("7.50 s" in err) is (counts and reason is None)
    assert bool(lasted_s) is (counts and reason is None)
