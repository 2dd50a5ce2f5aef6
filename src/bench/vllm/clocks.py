"""Whether the driver's own clock is reliable: it was not stopped or starved of the processor, and the host's time was not set.

A thread reads the clocks ten times a second. It detects that it ran late itself, so it sends no requests to vLLM.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

BEAT_S = 0.1
GAP_AT_LEAST_S = 0.25  # less is the ordinary delay of a busy host
GAPS_AT_MOST = 1000
STEP_AT_LEAST_S = 0.05  # less can be a pause between reading the two clocks
SLEW = 0.0005  # by which ntpd and chrony let a clock run fast or slow: adjtimex(2)
# From which length on a gap makes a start not count. One at the very moment that is measured (ready, first token) hides when that was. One
# before makes lines of the log late and, when it lasts, lets vLLM wait for the reader of its output.
AT_A_MOMENT_S, AT_A_MOMENT_SHARE = 0.5, 0.02  # of the time to the first token, whichever is longer
BEFORE_S, BEFORE_SHARE = 2.0, 0.05
ASKED_EVERY_S = 0.3  # /health, at most: a gap that ended so long before the answer has delayed the request


@dataclass(frozen=True)
class Gap:
    """The driver did not run for so long, from so many seconds after exec on."""

    began_s: float
    lasted_s: float

    def hides(self, moment_s: float) -> bool:
        """Whether what is known to have happened at this moment may have happened earlier."""
        return self.began_s < moment_s <= self.began_s + self.lasted_s + ASKED_EVERY_S


@dataclass
class Clocks:
    """What happened to the clocks from exec on. Steps are by how much UNIX time was set forward against CLOCK_MONOTONIC; of several
    the largest. `suspended_s`: the host slept, during which CLOCK_MONOTONIC stands still.
    """

    gaps: list[Gap] = field(default_factory=list)
    stepped_s: float = 0.0
    suspended_s: float = 0.0

    def longest_gap_s(self, until_s: float | None) -> float:
        """That began before `until_s`, or at any time if that is None."""
        return max((gap.lasted_s for gap in self._gaps(until_s)), default=0.0)

    def _gaps(self, until_s: float | None) -> list[Gap]:
        return [gap for gap in self.gaps if until_s is None or gap.began_s < until_s]

    def warnings(self, moments_s: Sequence[float]) -> list[str]:
        """What may have changed the numbers a little. `moments_s`: when the start was ready, and its first token came."""
        found, until_s = [], max(moments_s, default=None)
        if self._gaps(until_s) and not self.problems(moments_s):
            found.append(self._of_gaps(until_s))
        if self.stepped_s:
            found.append(
                f"the host's clock was set by {self.stepped_s:+.3f} s during the start: what carries UNIX time lies wrong by up to that"
            )
        return found

    def problems(self, moments_s: Sequence[float]) -> list[str]:
        """Why the measured times are not reliable. `moments_s`: when the start was ready, and its first token came."""
        found, until_s = [], max(moments_s, default=None)
        at_a_moment_s = max(AT_A_MOMENT_S, AT_A_MOMENT_SHARE * (until_s or 0.0))
        before_s = max(BEFORE_S, BEFORE_SHARE * (until_s or 0.0))
        if any(
            gap.lasted_s > (at_a_moment_s if any(map(gap.hides, moments_s)) else before_s)
            for gap in self._gaps(until_s)
        ):
            found.append(self._of_gaps(until_s))
        if self.suspended_s > at_a_moment_s:
            found.append(f"the host was suspended for {self.suspended_s:.1f} s during the start")
        return found

    def _of_gaps(self, until_s: float | None) -> str:
        gaps = self._gaps(until_s)
        longest = max(gaps, key=lambda gap: gap.lasted_s)
        often = f"{len(gaps)} times, the longest time" if len(gaps) > 1 else "once,"
        return (
            f"bench was stopped, or got no processor, {often} for {longest.lasted_s:.2f} s from {longest.began_s:.1f} s after exec on: "
            "its times are uncertain by that"
        )


class Watch:
    """Reads the clocks until it is stopped. `elapsed_s` is of CLOCK_MONOTONIC, 0 at exec."""

    def __init__(self, exec_at_s: float) -> None:
        self.clocks = Clocks()
        self._exec_at_s = exec_at_s
        self._unix_ahead_s, self._boot_ahead_s = _ahead()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once the record is whole."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        before_s = time.monotonic()
        while not self._over.wait(BEAT_S):
            before_s = self.beat(before_s, time.monotonic())
        self.beat(before_s, time.monotonic())

    def beat(self, before_s: float, now_s: float) -> float:
        """Record gaps and steps since the last reading. Returns `now_s`."""
        late_s = now_s - before_s - BEAT_S
        if late_s > GAP_AT_LEAST_S and len(self.clocks.gaps) < GAPS_AT_MOST:
            self.clocks.gaps.append(Gap(before_s + BEAT_S - self._exec_at_s, late_s))
        unix_ahead_s, boot_ahead_s = _ahead()
        step_s = unix_ahead_s - self._unix_ahead_s
        if abs(step_s) > STEP_AT_LEAST_S + SLEW * (now_s - self._exec_at_s) and abs(step_s) > abs(
            self.clocks.stepped_s
        ):
            self.clocks.stepped_s = step_s
        self.clocks.suspended_s = max(0.0, boot_ahead_s - self._boot_ahead_s)
        return now_s


def _ahead() -> tuple[float, float]:
    """By how much UNIX time, and the time since boot that counts sleep, are ahead of CLOCK_MONOTONIC. Read twice, and
    the faster reading is used: a pause between the clocks is no step.
    """
    readings = [_read_clocks() for _ in range(2)]
    return min(readings, key=lambda reading: reading[0])[1:]


def _read_clocks() -> tuple[float, float, float]:
    began_s = time.monotonic()
    unix, boot = time.time(), began_s
    with suppress(OSError, AttributeError):
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    ended_s = time.monotonic()
    middle_s = (began_s + ended_s) / 2
    return ended_s - began_s, unix - middle_s, boot - middle_s
