"""How far predictions of `predict_load` lay from what was measured: of benchmarks/prediction.json, to which a test holds these figures. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from bench.analysis.predict_load import BANDWIDTH, PROCESSING, REQUESTS

WITHIN = 0.20  # of what was measured
ASKED = 0.9  # of the pairs of format and storage


@dataclass(frozen=True)
class MeasuredError:
    """Of the pairs of format and storage whose load was held back by one thing: the least and the most measured/predicted, and how many lay within WITHIN."""

    pairs: int
    within: int
    low: float
    high: float

    @property
    def is_kept(self) -> bool:
        """Whether 9 of 10 lay within WITHIN."""
        return self.within >= ceil(ASKED * self.pairs)


def errors_of(pairs: Iterable[tuple[float, float]]) -> MeasuredError:
    """Of (predicted, measured) seconds, at least one."""
    known = list(pairs)
    ratios = [measured / predicted for predicted, measured in known]
    within = sum(abs(predicted / measured - 1) <= WITHIN for predicted, measured in known)
    return MeasuredError(len(known), within, round(min(ratios), 2), round(max(ratios), 2))


VALIDATED = {
    BANDWIDTH: MeasuredError(pairs=3, within=2, low=0.99, high=1.28),
    PROCESSING: MeasuredError(pairs=2, within=0, low=2.0, high=3.15),
    REQUESTS: MeasuredError(pairs=7, within=7, low=0.99, high=1.12),
}


def error_of(held_by: str) -> MeasuredError | None:
    """None: no such prediction was ever held against a measured start."""
    return VALIDATED.get(held_by)
