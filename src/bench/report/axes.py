"""Axes of the page's figures: where a value lies, in per cent of the width, and which values are written below. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log, log10

MOST_TICKS = 6
STEPS = (1.0, 2.0, 5.0, 10.0)
NARROW = 2.0  # a ratio of the ends up to which ticks of a logarithmic axis stand in equal steps
DECADES = range(-3, 4)
ROUND_RATIOS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))  # of each decade, from many to few
ROUND_MARGIN = 0.05  # of an axis, on both sides


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, in equal steps or, of ratios and rates, in equal factors."""

    low: float
    high: float
    is_ratio: bool = False
    unit: str = "x"  # behind each tick of a ratio

    def at(self, value: float) -> float:
        """Per cent of the width; what lies outside stands at its end."""
        inside = min(max(value, self.low), self.high)
        return round(
            100 * (self._place(inside) - self._place(self.low)) / (self._place(self.high) - self._place(self.low)), 2
        )

    def _place(self, value: float) -> float:
        return log(value) if self.is_ratio else value

    def has(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Where each stands, and its text."""
        if self.is_ratio and self.high / self.low > NARROW:
            tried = ([part * 10.0**power for power in DECADES for part in parts] for parts in ROUND_RATIOS)
            found = [[value for value in values if self.has(value)] for values in tried]
            kept = next((values for values in found if len(values) <= MOST_TICKS), found[-1])
            return [(self.at(value), f"{value:g}{self.unit}") for value in kept]
        step = _step(self.high - self.low)
        count = range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)
        digits = max(0, -floor(log10(step)))
        return [
            (self.at(each * step), f"{each * step:.{digits}f}{self.unit if self.is_ratio else ''}") for each in count
        ]


def _step(length: float) -> float:
    """The least round step that leaves few ticks."""
    power = 10.0 ** floor(log10(length / MOST_TICKS))
    return next(step * power for step in STEPS if length / (step * power) <= MOST_TICKS)


def seconds_axis(values: Iterable[float], *, from_zero: bool = True) -> Axis:
    """That holds all of these; from 0, or from below the least with some room."""
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    room = (high - low) * ROUND_MARGIN or abs(high) * ROUND_MARGIN or 1.0
    return Axis(low if from_zero and low == 0 else low - room, high + room)


def ratio_axis(means: Iterable[float], ends: Iterable[float], reach: float = 3.0) -> Axis:
    """That holds 1 and all means, and the ends of intervals as far as `reach` beyond them: those of two pairs may be a thousand times as wide."""
    shown = [1.0, *means]
    low, high = min(shown) / reach, max(shown) * reach
    within = [*shown, *(min(max(end, low), high) for end in ends)]
    room = max((max(within) / min(within)) ** ROUND_MARGIN, 1.01)
    return Axis(min(within) / room, max(within) * room, is_ratio=True)


def rate_axis(rates: Iterable[float]) -> Axis:
    """That holds all of these, in equal factors: storage and a GPU's bus are a hundredfold apart."""
    found = list(rates)
    room = max((max(found) / min(found)) ** ROUND_MARGIN, 1.1)
    return Axis(min(found) / room, max(found) * room, is_ratio=True, unit="")
