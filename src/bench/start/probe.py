"""ProbeReport -> named numbers, as MLflow keeps them, and what it should have and has not, in sentences. Pure.

Ranks load in parallel and the start waits for the last of them, so over ranks counts the slowest. What was not reported
is absent, never 0: a dummy loader delivers nothing.
"""

from collections.abc import Sequence

from bench.start.metric import FromProbe, named
from bench.start.metrics import CATALOGUE, PROBE_LOAD_WEIGHTS, PROBE_SKEW, name_of_rank
from bench.vllm.probe_events import ProbeProcess, ProbeReport

METRICS = tuple((metric, metric.source) for metric in CATALOGUE if isinstance(metric.source, FromProbe))


def probe_metrics(report: ProbeReport) -> dict[str, float]:
    """Every metric, and `rank/TP0/…` for each rank. Where a rank lacks what another has, nothing is said over all."""
    metrics: dict[str, float] = {}
    for metric, source in METRICS:
        values = {rank: _within(process, source) for rank, process in sorted(report.ranks.items())}
        known = {rank: value for rank, value in values.items() if value is not None}
        metrics |= {name_of_rank(rank, metric): value for rank, value in known.items()}
        if metric.over_ranks and known and len(known) == len(values):
            metrics[metric.name] = metric.over_ranks([*known.values()])
    seconds = [metrics.get(name_of_rank(rank, PROBE_LOAD_WEIGHTS)) for rank in report.ranks]
    whole = [value for value in seconds if value is not None]
    skew_s = max(whole) - min(whole) if len(whole) == len(seconds) > 1 else None
    return metrics | named({PROBE_SKEW: skew_s})


def _within(process: ProbeProcess, source: FromProbe) -> float | None:
    """Over the spans of one rank (a drafter is loaded behind the model); None where none has it, or one did not end."""
    spans = [span for span in process.spans if source.span in {None, span.name}]
    values = [found for span in spans if (found := source.value(span)) is not None]
    return sum(values) if values and all(span.end_s is not None for span in spans) else None


def read_while_loading(report: ProbeReport) -> dict[str, int | None]:
    """Bytes that each rank's process took from storage in load_weights. None: it did not end, or the kernel does not count.

    Empty where no rank was seen to load.
    """
    read: dict[str, int | None] = {}
    for rank, process in sorted(report.ranks.items()):
        found = [span.facts.read_bytes for span in process.spans if span.name == "load_weights"]
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
        elif any(span.end_s is None for span in spans):
            found.append(f"rank {rank} ended while it was loading weights")
    return found


def probe_warnings(report: ProbeReport) -> list[str]:
    """What the probe could not measure, each once, with those who said it."""
    said: dict[str, list[str]] = {}
    for process in report.processes:
        for text in dict.fromkeys(process.warnings):
            said.setdefault(text, []).append(process.rank or process.kind)
    return [*report.warnings, *(f"the probe in {', '.join(who)}: {text}" for text, who in said.items())]
