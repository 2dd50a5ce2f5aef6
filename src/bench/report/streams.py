"""What the RunAI streamer reported. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.records import Point
from bench.report.numbers import size_text
from bench.start.metric_types import Metric
from bench.start.metrics import STREAM, STREAM_RATE, STREAM_SIZE, of_rank, rank_of


@dataclass(frozen=True)
class Stream:
    """What the RunAI streamer reported for a point, over all ranks of all starts; `ranks`: the mean time of each."""

    label: str
    n: int
    size: str
    best_s: float
    slowest_s: float
    best_rate: str
    ranks: dict[str, float]


def stream_of(point: Point) -> Stream:
    """Of a point that streamed."""
    times, rates = _of_ranks(point, STREAM), _of_ranks(point, STREAM_RATE)
    means = {rank: point.mean(of_rank(rank, STREAM)) for rank in _ranks(point)}
    return Stream(
        point.label,
        point.n,
        size=size_text(max(point.values(STREAM_SIZE))),
        best_s=min(times),
        slowest_s=max(times),
        best_rate=f"{size_text(max(rates))}/s",
        ranks={rank: mean for rank, mean in means.items() if mean is not None},
    )


def _ranks(point: Point) -> list[str]:
    names = {rank_of(name) for start in point.starts for name in start.metrics}
    return sorted({found[0] for found in names if found})


def _of_ranks(point: Point, metric: Metric) -> Sequence[float]:
    """The values of each rank of each start; the whole start's value where the log names no ranks."""
    of_ranks = (point.values(of_rank(rank, metric)) for rank in _ranks(point))
    return [value for values in of_ranks for value in values] or point.values(metric)
