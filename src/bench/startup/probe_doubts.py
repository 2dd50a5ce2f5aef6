"""ProbeReport -> what it should have and has not, in sentences. Pure."""

from collections.abc import Sequence

from bench.startup.probe_events import ProbeReport


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
