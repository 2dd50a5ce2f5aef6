"""ProbeReport -> named numbers, as MLflow keeps them. Pure.

Ranks load in parallel and the start waits for the last of them, so over ranks counts the slowest. What was not reported
is absent, never 0: a dummy loader delivers nothing.
"""

from collections.abc import Callable, Iterable

from bench.startup.probe_events import GIB, ProbeProcess, ProbeReport, ProbeSpan

Within = Callable[[ProbeProcess], float | None]
Over = Callable[[Iterable[float]], float]


def _sum(name: str | None, value: Callable[[ProbeSpan], float | None]) -> Within:
    """Over the spans of one rank (a drafter is loaded behind the model); None where none has it, or one did not end."""

    def summed(process: ProbeProcess) -> float | None:
        spans = [span for span in process.spans if name is None or span.name == name]
        values = [found for span in spans if (found := value(span)) is not None]
        return sum(values) if values and all(span.ended_s is not None for span in spans) else None

    return summed


def _duration_s(span: ProbeSpan) -> float | None:
    return None if span.ended_s is None else span.ended_s - span.started_s


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


# metric, within one rank, over ranks
METRICS: tuple[tuple[str, Within, Over], ...] = (
    ("probe/load_model_s", _sum("load_model", _duration_s), max),
    ("probe/load_weights_s", _sum("load_weights", _duration_s), max),
    ("probe/process_weights_s", _sum("process_weights", _duration_s), max),
    ("probe/wait_for_bytes_s", _sum(None, lambda span: span.blocked_s), max),
    ("probe/delivered_gib", _sum(None, lambda span: _gib(span.delivered_bytes)), sum),
    ("probe/read_gib", _sum("load_weights", lambda span: _gib(span.read_bytes)), sum),
)


def probe_metrics(report: ProbeReport) -> dict[str, float]:
    """Every metric, and `rank/TP0/…` for each rank. Where a rank lacks what another has, nothing is said over all."""
    metrics: dict[str, float] = {}
    for name, within, over in METRICS:
        values = {rank: within(process) for rank, process in sorted(report.ranks.items())}
        known = {rank: value for rank, value in values.items() if value is not None}
        metrics |= {f"rank/{rank}/{name}": value for rank, value in known.items()}
        if known and len(known) == len(values):
            metrics[name] = over(known.values())
    seconds = [metrics.get(f"rank/{rank}/probe/load_weights_s") for rank in report.ranks]
    whole = [value for value in seconds if value is not None]
    if len(whole) == len(seconds) > 1:
        metrics["probe/load_weights_skew_s"] = max(whole) - min(whole)
    return metrics


def read_while_loading(report: ProbeReport) -> dict[str, int | None]:
    """Bytes that each rank's process took from storage in load_weights. None: it did not end, or the kernel does not count.

    Empty where no rank was seen to load.
    """
    read: dict[str, int | None] = {}
    for rank, process in sorted(report.ranks.items()):
        found = [span.read_bytes for span in process.spans if span.name == "load_weights"]
        known = [count for count in found if count is not None]
        if found:
            read[rank] = sum(known) if len(known) == len(found) else None
    return read
