"""docs/metrics.md, made of the catalogue: every number that a start can have."""

from collections.abc import Iterator

from bench.start.metric_types import Metric
from bench.start.metrics import CATALOGUE, FAMILIES

HEAD = """# What is measured

Made by `tests/start/test_metrics.py` from the catalogue, `src/bench/start/metrics.py`. Not to be edited: `BENCH_WRITE_DOCS=1 python -m pytest
tests/start/test_metrics.py` writes it anew.

What was not found is absent, and a warning where a start of this kind should have it; never 0. Over ranks, which work in parallel, counts
what the table says; `rank/TP0/…` has what that rank alone took. Over the starts of a point the report shows means; a metric marked with a ratio
has its speedup too, a ratio of geometric means. The curves of the memory are in `memory.csv` and `memory.png` of each start.

| metric | unit | what it is | over ranks | ratio | where from |
|---|---|---|---|---|---|
"""

JOINS = {max: "largest", min: "smallest", sum: "sum", None: ""}


def render() -> str:
    """The whole file."""
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in _rows())


def _rows() -> Iterator[list[str]]:
    for metric in CATALOGUE:
        yield _row(metric, metric.name)
    for family in FAMILIES:
        yield _row(family.like, family.name(family.shown))


def _row(metric: Metric, name: str) -> list[str]:
    return [
        f"`{name}`",
        metric.unit,
        metric.what,
        JOINS[metric.over_ranks],
        "yes" if metric.speedup else "",
        metric.source.described,
    ]
