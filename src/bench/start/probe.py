"""ProbeReport -> named numbers, as MLflow keeps them, and what it should have and has not, in sentences. Pure.

Ranks load in parallel and the start waits for the last of them, so over ranks counts the slowest. What was not reported
is absent, never 0: a dummy loader delivers nothing.
"""

from collections.abc import Callable, Iterable, Sequence

from bench.vllm.probe_events import GIB, ProbeProcess, ProbeReport, ProbeSpan

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


def rank_names(*, tensor: int, pipeline: int = 1, data: int = 1) -> list[str]:
    """As the probe names them: TP0; PP1_TP0 and DP1_PP1_TP0 where there are several of these."""
    return [
        "_".join([*([f"DP{replica}"] if data > 1 else []), *([f"PP{stage}"] if pipeline > 1 else []), f"TP{place}"])
        for replica in range(data)
        for stage in range(pipeline)
        for place in range(tensor)
    ]


def missing(report: ProbeReport, ranks: Sequence[str]) -> list[str]:
    """Who did not report, of those that a start of this kind has, and which rank did not report its loading, each in a
    sentence.
    """
    kinds = {process.kind for process in report.processes}
    absent = [
        name for kind, name in (("api_server", "API server"), ("engine_core", "engine core")) if kind not in kinds
    ]
    found = [f"the probe has nothing of the {name}" for name in absent]
    for rank in ranks:
        process = report.ranks.get(rank)
        if process is None:
            found.append(f"the probe has nothing of rank {rank}")
        elif (spans := [span for span in process.spans if span.name == "load_weights"]) == []:
            found.append(f"the probe has not seen rank {rank} load weights")
        elif any(span.ended_s is None for span in spans):
            found.append(f"rank {rank} ended while it was loading weights")
    return found


def probe_warnings(report: ProbeReport) -> list[str]:
    """What the probe could not measure, each once, with those who said it."""
    said: dict[str, list[str]] = {}
    for process in report.processes:
        for text in dict.fromkeys(process.warnings):
            said.setdefault(text, []).append(process.rank or process.kind)
    return [*report.warnings, *(f"the probe in {', '.join(who)}: {text}" for text, who in said.items())]
