"""Progress display while vLLM starts: which start of how many, its stage, elapsed and remaining time.

On a terminal one line that moves, with rich; elsewhere a plain line at each change, so that a job's log stays readable.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from bench.config import Sweep
from bench.log.texts.phases import stage_of
from bench.start.metrics import FIRST_ANSWER, FIRST_TOKEN, READY
from bench.start.record import Startup
from bench.system.output import print_message

REFRESHES_PER_S = 2  # the driver shares the host with what it measures
FIRST_STAGE = "importing"

_lasted_s: list[float] = []  # how long the starts of this process took, for the estimate of what remains


@dataclass
class Progress:
    """One start's place in its sweep, and what vLLM is doing. `on_line` is called with every line that vLLM prints. `counts`: it is
    measured; else it fills caches or verifies weights.
    """

    name: str
    position: int
    starts: int
    counts: bool
    plain: bool
    began_s: float
    stage: str = FIRST_STAGE

    def on_line(self, elapsed_s: float, text: str) -> None:
        """Updates the stage from a line of vLLM that arrived `elapsed_s` seconds after exec."""
        stage = stage_of(text)
        if stage and stage != self.stage:
            self.stage = stage
            if self.plain:
                print_message(f"{self.head()}  {elapsed_s:7.1f} s  {stage}")

    def head(self) -> str:
        return f"{'start' if self.counts else 'untimed'} {self.position}/{self.starts}  {self.name}"

    def __rich__(self) -> Spinner:
        elapsed_s = time.monotonic() - self.began_s
        line = Text.assemble((self.head(), "bold"), f"  {self.stage}  {clock(elapsed_s)}{self.remaining(elapsed_s)}")
        return Spinner("dots", line)

    def remaining(self, elapsed_s: float) -> str:
        """The estimated remaining time of the sweep, from the starts that have ended; empty before the first has."""
        if not _lasted_s:
            return ""
        left_s = max(0.0, mean(_lasted_s) - elapsed_s) + mean(_lasted_s) * (self.starts - self.position)
        return f", about {clock(left_s)} left"


@contextmanager
def following(name: str, place: Sweep) -> Iterator[Progress]:
    """Shows the progress of a start until the block ends."""
    console, counts = Console(stderr=True), place.kind == "start"
    progress = Progress(name, place.position, place.starts, counts, not console.is_terminal, time.monotonic())
    if progress.plain:
        print_message(f"{progress.head()}{progress.remaining(0.0)}")
        yield progress
    else:
        with Live(progress, console=console, refresh_per_second=REFRESHES_PER_S, transient=True):
            yield progress


def outcome(startup: Startup, progress: Progress) -> None:
    """Prints the result of a start, its problems and its warnings; of one that does not count, that it is over: its times are not results."""
    if startup.reason:
        print_message(f"{progress.head()}  FAILED: {startup.reason}")
    elif not progress.counts:
        print_message(f"{progress.head()}  over after {clock(startup.ended_at - startup.started_at)}, does not count")
        return
    else:
        _lasted_s.append(startup.ended_at - startup.started_at)
        print_message(f"{progress.head()}  {', '.join(_reached(startup))}")
    for problem in startup.problems:
        print_message(f"  INVALID: {problem}")
    for warning in startup.warnings:
        print_message(f"  warning: {warning}")


def _reached(startup: Startup) -> Iterator[str]:
    for metric in (READY, FIRST_TOKEN, FIRST_ANSWER):
        if metric.name in startup.metrics:
            yield f"{metric.label} {startup.metrics[metric.name]:.2f} s"


def clock(seconds: float) -> str:
    """75.3 -> 1:15."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
