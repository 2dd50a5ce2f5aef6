"""A Comparison as report.md: the seed's sections, every figure with the number of starts that it comes from. Pure."""

import time
from collections.abc import Sequence

from bench.analysis.comparison import Comparison, Point
from bench.report.tables import key_metrics, size, speedups, table

FIGURE = "vllm_load_benchmark.png"
METRICS = "benchmark_metrics.json"

# What a reader must know of every start, in this order where it is the same for all of them.
COMMON = (
    ("Model", "model.path"),
    ("tensor_parallel_size", "tensor_parallel_size"),
    ("gpu_memory_utilization", "gpu_memory_utilization"),
    ("max_model_len", "max_model_len"),
    ("vLLM", "version.vllm"),
    ("torch", "version.torch"),
    ("runai-model-streamer", "version.runai-model-streamer"),
    ("GPU", "host.gpu"),
    ("CPU", "host.cpu"),
    ("Host", "host.host"),
)


def report(comparison: Comparison, excerpts: dict[str, str], files: Sequence[str]) -> str:
    """`excerpts`: for each point, those of its first start. `files`: everything beside the report."""
    sections = [
        f"# vLLM load benchmark: {_title(comparison)}",
        "## Scope\n" + "\n".join(_scope(comparison)),
        f"## Visualization\n![vLLM load benchmark](./{FIGURE})",
        "## Key Metrics\n" + key_metrics(comparison),
        speedup_section(comparison),
        _streamer_section(comparison),
        failed_section(comparison),
        _warnings_section(comparison),
        _excerpts_section(excerpts),
        "## Raw Artifacts\n" + "\n".join(f"- [{name}](./{name})" for name in files),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _title(comparison: Comparison) -> str:
    labels = [point.label for point in comparison.points]
    return f"{labels[0]} vs {', '.join(labels[1:])}" if len(labels) > 1 else labels[0]


def _scope(comparison: Comparison) -> list[str]:
    sweep = comparison.sweep
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sweep.started_at))
    lines = [f"- Sweep `{sweep.sweep_id}`, {'replayed' if sweep.replayed else 'started'} {when}."]
    lines += [f"- Only starts with {name}={value}." for name, value in comparison.where.items()]
    lines += [f"- {title}: `{value}`" for title, name in COMMON if (value := _common(comparison, name))]
    lines += [f"- `{point.label}`: {_states(point)}" for point in comparison.points]
    if sweep.replayed:
        lines.append(
            "- These logs were recorded elsewhere: the state of the caches and the order of the starts are unknown."
        )
    else:
        lines.append("- Page cache and compile caches were as they were found: neither controlled nor verified.")
    return lines


def _common(comparison: Comparison, name: str) -> str | None:
    starts = [start for point in comparison.points for start in point.starts]
    values = {start.params.get(name) or start.tags.get(name) for start in starts}
    return values.pop() if len(values) == 1 else None


def _states(point: Point) -> str:
    finished = f"{point.n} start{'' if point.n == 1 else 's'} finished"
    return finished + (f", {len(point.failed)} failed" if point.failed else "")


def speedup_section(comparison: Comparison) -> str:
    """Every candidate against its baseline, how sure that is, and which are not compared and why."""
    if not comparison.speedups and not comparison.withheld:
        return ""
    lines = [f"## Speedups ({_pairs(comparison)})"]
    if found := speedups(comparison):
        lines += [found, "", _how_sure(comparison)]
    lines += [f"- `{label}`: no speedup is shown: {why}." for label, why in comparison.withheld.items()]
    return "\n".join(lines)


def _pairs(comparison: Comparison) -> str:
    baselines = sorted(set(comparison.baselines.values()))
    if len(baselines) == 1:
        candidates = list(comparison.baselines)
        return f"{baselines[0]} / {candidates[0] if len(candidates) == 1 else 'candidate'}"
    return "; ".join(f"{base} / {candidate}" for candidate, base in comparison.baselines.items())


def _how_sure(comparison: Comparison) -> str:
    fewest = min((each.n for each in comparison.speedups), default=0)
    means = "Ratios of geometric means over the starts; above 1 the candidate is faster."
    if fewest == 1:
        return (
            f"{means} n = 1: there is no interval, and nothing says that the same sweep would give these figures again."
        )
    return f"{means} No interval is given: look at the spread of the single starts in the figure."


def _streamer_section(comparison: Comparison) -> str:
    points = [point for point in comparison.points if point.values("phase/stream_s")]
    blocks = [_streamed(point, titled=len(points) > 1) for point in points]
    return "\n".join(["## RunAI Streamer Metrics", *blocks]) if blocks else ""


def _streamed(point: Point, *, titled: bool) -> str:
    times = _of_ranks(point, "phase/stream_s")
    rates = _of_ranks(point, "throughput/stream_gib_per_s")
    lines = [f"\n### {point.label}"] if titled else []
    lines += [
        f"- Streamed size: {size(max(point.values('stream/size_gib')))}",
        f"- Best observed stream time: {min(times):.2f} s",
        f"- Slowest rank's stream time: {max(times):.2f} s",
        f"- Best observed throughput: {size(max(rates))}/s",
        f"- From {point.n} start{'' if point.n == 1 else 's'}; {_rank_words(point)}",
    ]
    return "\n".join(lines)


def _of_ranks(point: Point, metric: str) -> list[float]:
    """What each rank of each start said; the whole start's value where the log names no ranks."""
    names = {
        name
        for start in point.starts
        for name in start.metrics
        if name.startswith("rank/") and name.endswith(f"/{metric}")
    }
    return [value for name in sorted(names) for value in point.values(name)] or point.values(metric)


def _rank_words(point: Point) -> str:
    ranks = sorted({name.split("/")[1] for start in point.starts for name in start.metrics if name.startswith("rank/")})
    times = [
        f"{rank} {point.mean(f'rank/{rank}/phase/stream_s'):.2f} s"
        for rank in ranks
        if point.values(f"rank/{rank}/phase/stream_s")
    ]
    return f"mean of each rank: {', '.join(times)}" if times else "the log does not say which rank streamed"


def failed_section(comparison: Comparison) -> str:
    """Every start that failed, with vLLM's words."""
    rows = [[start.name, start.reason or "no reason was recorded"] for start in comparison.failed]
    return f"## Failed starts\n{table(['Start', 'Reason'], rows, right=False)}" if rows else ""


def _warnings_section(comparison: Comparison) -> str:
    warnings = [
        f"- `{start.name}`: {text}" for point in comparison.points for start in point.starts for text in start.warnings
    ]
    return "## Warnings\n" + "\n".join(dict.fromkeys(warnings)) if warnings else ""


def _excerpts_section(excerpts: dict[str, str]) -> str:
    blocks = [f"### {label}\n```text\n{text.rstrip()}\n```" for label, text in excerpts.items()]
    return "\n\n".join(["## Relevant vLLM Initialization Log Excerpts", *blocks]) if blocks else ""
