"""What starts cost and what candidates save, in GPU-seconds and, at a price, in dollars. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.analysis.comparison import Comparison
from bench.analysis.statistics import Interval
from bench.analysis.verdict import Finding, Shown, Verdict
from bench.analysis.worth import Cost, Saved, costs, saved, usd
from bench.report.numbers import usd_text
from bench.report.tables import Cell, Row, Table
from bench.start.metrics import READY

THOUSAND = 1000
Write = Callable[[float], str]


@dataclass(frozen=True)
class Worth:
    """`usd_per_gpu_hour`: the price that was given; None: there is none, and no dollars. `gpus`: that a start holds, each number once."""

    table: Table
    usd_per_gpu_hour: float | None
    gpus: tuple[int, ...]


def worth_of(comparison: Comparison) -> Worth | None:
    """None: no start held a GPU, or nobody knows how many it held."""
    found, price = costs(comparison), comparison.usd_per_gpu_hour
    if not found:
        return None
    savings = {each.candidate: each for each in saved(comparison)}
    header = ["Point", "GPU-seconds a start", *(["Dollars a start"] if price else [])]
    header += ["GPU-seconds saved by 1,000 starts", *(["Dollars saved by 1,000 starts"] if price else [])]
    rows = tuple(_row(cost, savings.get(cost.point), price) for cost in found)
    return Worth(Table(tuple(header), rows), price, tuple(sorted({each.gpus for each in found})))


def _row(cost: Cost, saving: Saved | None, price: float | None) -> Row:
    amounts = cost.gpu_s, _times(saving.gpu_s, THOUSAND) if saving else None
    return Row(cost.point, tuple(cell for amount in amounts for cell in _cells(amount, price)))


def _cells(gpu_s: Interval | None, price: float | None) -> list[Cell]:
    """GPU-seconds and, at a price, dollars."""
    if gpu_s is None:
        return [Cell("-")] * (2 if price else 1)
    dollars = [Cell(_range(_in_usd(gpu_s, price), usd_text), gpu_s)] if price else []
    return [Cell(_range(gpu_s, _seconds), gpu_s), *dollars]


def worth_sentences(comparison: Comparison, verdict: Verdict | None) -> Iterator[str]:
    """What the first baseline's leading candidate saves, where that is resolved; what a start costs, where a price is given."""
    found, price = {each.point: each for each in costs(comparison)}, comparison.usd_per_gpu_hour
    leading = verdict.against[0].leading if verdict and verdict.metric == READY else None
    saving = next((each for each in saved(comparison) if leading and each.candidate == leading.candidate), None)
    if price and found:
        labels = [saving.baseline, saving.candidate] if saving else list(found)[:1]
        prices = [f"`{label}` {_range(_in_usd(found[label].gpu_s, price), usd_text)}" for label in labels]
        yield f"At {usd_text(price)} a GPU-hour a start costs: {', '.join(prices)}."
    if saving and leading:
        yield from _saved(saving, leading, price)


def _saved(saving: Saved, leading: Finding, price: float | None) -> Iterator[str]:
    amount = _times(saving.gpu_s, THOUSAND)
    dollars = f", {_range(_in_usd(amount, price), usd_text)}" if price else ""
    if leading.shown in {Shown.FASTER, Shown.SLOWER} and amount.excludes(0.0):
        verb, shown = ("save", amount) if amount.mean > 0 else ("cost", _times(amount, -1))
        dollars = f", {_range(_in_usd(shown, price), usd_text)}" if price else ""
        more = "" if amount.mean > 0 else " more"
        yield f"A thousand starts of `{saving.candidate}` {verb} {_range(shown, _seconds)} GPU-seconds{more}{dollars}."
    elif price and leading.shown is not Shown.SINGLE:
        yield f"What a thousand starts of `{saving.candidate}` would save is not resolved: {_range(amount, _seconds)} GPU-seconds{dollars}."


def _times(interval: Interval, factor: float) -> Interval:
    ends = [None if end is None else end * factor for end in (interval.low, interval.high)]
    low, high = ends if factor > 0 else reversed(ends)
    return Interval(interval.mean * factor, low, high, interval.n, interval.paired, interval.confidence)


def _in_usd(gpu_s: Interval, price: float) -> Interval:
    return _times(gpu_s, usd(1.0, price))


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= THOUSAND else f"{value:.1f}"


def _range(interval: Interval, write: Write) -> str:
    """`40,300 [31,300, 49,300]`; one number at n = 1."""
    text = write(interval.mean)
    return (
        text
        if interval.low is None or interval.high is None
        else f"{text} [{write(interval.low)}, {write(interval.high)}]"
    )
