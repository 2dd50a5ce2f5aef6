"""The driver notices when it was stopped, and when somebody set the host's time."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench.vllm import clocks
from bench.vllm.clocks import Clocks, Gap, Watch

MOMENTS = (29.0, 30.0)  # ready, and the first token


def test_a_gap_at_the_moment_that_is_measured_makes_a_start_invalid():
    """vLLM may have been ready all that time: from 0.5 s or 2 % on, whichever is more."""
    gap = Clocks([Gap(28.2, 0.9)])

    assert gap.warnings(MOMENTS) == []
    assert gap.problems(MOMENTS) == [
        "bench was stopped, or got no processor, once, for 0.90 s from 28.2 s after exec on: its times are uncertain by that"
    ]
    assert gap.problems((290.0, 300.0)) == []
    assert Clocks([Gap(27.9, 0.9)]).problems(MOMENTS) != []  # it delayed the question that found vLLM ready


def test_a_gap_before_it_is_a_warning_unless_it_lasts():
    """It makes lines of the log late; after seconds of it vLLM may have waited for somebody to read them."""
    short, long = Clocks([Gap(3.0, 0.2), Gap(4.0, 1.4)]), Clocks([Gap(3.0, 2.5)])

    assert short.problems(MOMENTS) == []
    (warning,) = short.warnings(MOMENTS)
    assert warning.startswith(
        "bench was stopped, or got no processor, 2 times, the longest time for 1.40 s from 4.0 s after exec on"
    )
    assert long.warnings(MOMENTS) == []
    assert len(long.problems(MOMENTS)) == 1
    assert long.problems((290.0, 300.0)) == []


def test_a_gap_behind_the_first_token_does_not_matter():
    """Everything is measured then."""
    assert Clocks([Gap(31.0, 9.0)]).problems(MOMENTS) == []
    assert Clocks([Gap(31.0, 9.0)]).warnings(MOMENTS) == []
    assert Clocks([Gap(31.0, 9.0)]).longest_gap_s(None) == 9.0


def test_a_host_that_slept_makes_a_start_invalid():
    """CLOCK_MONOTONIC stood still meanwhile, so no gap is seen."""
    assert Clocks(suspended_s=60.0).problems(MOMENTS) == ["the host was suspended for 60.0 s during the start"]


def test_a_clock_that_was_set_is_said(monkeypatch):
    """There and back again too: what was stamped in between lies wrong."""
    ahead_s = iter([100.0, 100.0, 98.5, 100.0])
    monkeypatch.setattr(clocks, "_ahead", lambda: (next(ahead_s), 0.0))
    watch = Watch(exec_at_s=0.0)
    for second in (1.0, 1.1, 1.2):
        watch.beat(second - 0.1, second)

    assert watch.clocks.warnings(MOMENTS) == [
        "the host's clock was set by -1.500 s during the start: what carries UNIX time lies wrong by up to that"
    ]


def test_a_clock_that_is_slewed_is_not_called_set(monkeypatch):
    """ntpd makes it run up to 0.05 % faster for a while."""
    ahead_s = iter([100.0, 100.2])
    monkeypatch.setattr(clocks, "_ahead", lambda: (next(ahead_s), 0.0))
    watch = Watch(exec_at_s=0.0)
    watch.beat(599.9, 600.0)

    assert watch.clocks == Clocks()


DRIVER = """
import sys, time
from bench.vllm.clocks import Watch
watch = Watch(time.monotonic())
watch.start()
print("up", flush=True)
sys.stdin.readline()
watch.stop()
print(watch.clocks.longest_gap_s(None))
"""


@pytest.mark.parametrize("stopped_s", [0.0, 0.8])
def test_a_driver_that_was_stopped_knows_it(stopped_s):
    """By SIGSTOP, a debugger, or a host that gives it no processor."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout.readline() == "up\n"
        if stopped_s:
            os.kill(driver.pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(driver.pid, signal.SIGCONT)
        out, _ = driver.communicate("\n")

    assert stopped_s - clocks.BEAT_S <= float(out) < stopped_s + 0.7
