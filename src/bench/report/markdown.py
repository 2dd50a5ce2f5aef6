"""A Comparison as report.md: the seed's sections, every figure with the number of starts that it comes from. Pure."""

import time
from collections.abc import Sequence

from bench.analysis.comparison import AGAIN, Comparison, Point, doubts
from bench.analysis.same_weights import DUMMY
from bench.report.savings_tables import savings_section, seconds_section
from bench.report.tables import key_metrics, single_starts, size, speedups, table

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
    ("Storage", "storage.device"),
    ("File system", "storage.filesystem"),
    ("Read-ahead (KiB)", "storage.read_ahead_kb"),
    ("Largest request (KiB)", "storage.max_sectors_kb"),
    ("I/O scheduler", "storage.scheduler"),
    ("Limit of the cgroup", "storage.limit"),
)


def report(comparison: Comparison, excerpts: dict[str, str], files: Sequence[str]) -> str:
    """`excerpts`: for each point, those of its first start. `files`: everything beside the report."""
    sections = [
        f"# vLLM load benchmark: {title_of(comparison)}",
        "## Scope\n" + "\n".join(_scope(comparison)),
        f"## Visualization\n![vLLM load benchmark](./{FIGURE})",
        "## Key Metrics\n" + key_metrics(comparison),
        speedup_section(comparison),
        seconds_section(comparison),
        savings_section(comparison),
        _single_section(comparison),
        _streamer_section(comparison),
        failed_section(comparison),
        invalid_section(comparison),
        _warnings_section(comparison),
        _excerpts_section(excerpts),
        "## Raw Artifacts\n" + "\n".join(f"- [{name}](./{name})" for name in files),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def title_of(comparison: Comparison) -> str:
    """What the user calls this comparison; else its points."""
    if comparison.title:
        return comparison.title
    labels = [point.label for point in comparison.points]
    return f"{labels[0]} vs {', '.join(labels[1:])}" if len(labels) > 1 else labels[0]


def _scope(comparison: Comparison) -> list[str]:
    sweep = comparison.sweep
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sweep.started_at))
    lines = [f"- Sweep `{sweep.sweep_id}`, {'replayed' if sweep.replayed else 'started'} {when}."]
    lines += [f"- It ended {sweep.ended_by}."] if sweep.ended_by and not sweep.replayed else []
    lines += [f"- Only starts with {name}={value}." for name, value in comparison.where.items()]
    lines += [f"- {title}: {words}" for title, name in COMMON if (words := _all_values(comparison, name))]
    lines += [f"- `{point.label}`: {_states(point)}" for point in comparison.points]
    if sweep.replayed:
        lines.append(
            "- These logs were recorded elsewhere: the state of the caches and the order of the starts are unknown."
        )
    else:
        lines += [f"- {title}: {_state_words(comparison, tag)}" for title, tag in STATES.items()]
    lines += [f"- Compared although it differs, as asked: {name}." for name in comparison.ignored]
    return lines


STATES = {"Page cache before each start": "bench.page_cache", "Compile and JIT caches": "bench.compile_cache"}

MEANINGS = {
    "cold": "cold (evicted and measured)",
    "warm": "warm (read and measured)",
    "as_is": "as it was found, not controlled",
    "unverified": "unverified: nothing on this host tells it truly",
    "none": "nothing that it could hold was used",
    "primed": "primed by a start that does not count, and found to be used",
    "unloadable": "primed by a start that does not count, but vLLM could not load the graph and compiled again",
    "fresh": "fresh, and found to be filled",
    "wrong": "not what was asked",
}


def _state_words(comparison: Comparison, tag: str) -> str:
    found = dict.fromkeys(start.tags.get(tag, "unknown") for point in comparison.points for start in point.starts)
    return "; ".join(MEANINGS.get(state, state) for state in found) or "unknown"


def conditions(comparison: Comparison) -> dict[str, list[str]]:
    """Under what the starts were made, by title. What no start tells is absent."""
    found = {title: _values(comparison, name) for title, name in COMMON}
    return {title: values for title, values in found.items() if values}


def _all_values(comparison: Comparison, name: str) -> str:
    return ", ".join(f"`{value}`" for value in _values(comparison, name))


def _values(comparison: Comparison, name: str) -> list[str]:
    """Most are one for all starts; what was varied is listed."""
    starts = [start for point in comparison.points for start in point.starts]
    values = dict.fromkeys(start.params.get(name) or start.tags.get(name) for start in starts)
    return [value for value in values if value]


def _states(point: Point) -> str:
    finished = f"{point.n} start{'' if point.n == 1 else 's'} finished"
    others = [(len(point.failed), "failed"), (len(point.invalid), "invalid")]
    return ", ".join([finished, *(f"{count} {what}" for count, what in others if count)])


def speedup_section(comparison: Comparison) -> str:
    """Every candidate against its baseline, how sure that is, and which are not compared and why."""
    if not comparison.speedups and not comparison.withheld:
        return ""
    lines = [f"## Speedups ({_pairs(comparison)})"]
    if found := speedups(comparison):
        lines += [found, "", _how_sure(comparison), *_weights(comparison)]
    lines += [
        f"- `{label}` is `{base}` a second time: how far its ratios are from 1 is what this rig cannot resolve."
        for label, base in comparison.baselines.items()
        if label == base + AGAIN and label not in comparison.withheld
    ]
    lines += _withheld(comparison)
    return "\n".join(lines)


def _single_section(comparison: Comparison) -> str:
    found = single_starts(comparison)
    return f"## Single Starts\n{found}" if found else ""


def _pairs(comparison: Comparison) -> str:
    baselines = sorted(set(comparison.baselines.values()))
    if len(baselines) == 1:
        candidates = list(comparison.baselines)
        return f"{baselines[0]} / {candidates[0] if len(candidates) == 1 else 'candidate'}"
    return "; ".join(f"{base} / {candidate}" for candidate, base in comparison.baselines.items())


WORDS = {
    1: "n = 1: there is no interval, and nothing says that the same sweep would give these figures again.",
    2: "n = 2: the intervals are those of two pairs, and as wide as that must be. Three are enough to look, five to publish.",
}


def _how_sure(comparison: Comparison) -> str:
    fewest = min((each.n for each in comparison.speedups), default=0)
    rivals = max(list(comparison.baselines.values()).count(base) for base in comparison.baselines.values())
    lines = ["Ratios of geometric means; above 1 the candidate is faster."]
    if fewest > 1:
        paired = all(each.paired for each in comparison.speedups)
        how = "paired within blocks" if paired else "unpaired (Welch)"
        lines.append(f"In brackets: 95 % t intervals of log ratios, {how}.")
        lines += (
            [f"They are widened so that all {rivals} of one baseline hold together (Bonferroni)."] if rivals > 1 else []
        )
    return " ".join([*lines, *([WORDS[fewest]] if fewest in WORDS else [])])


WEIGHTS = {
    "bitwise": "the same weights, bit for bit",
    "outputs": "the same outputs",
    "same_files": "the same files",
    "unverified": "weights unverified",
    "FAILED": "weights FAILED, shown because you asked for it",
}


def _weights(comparison: Comparison) -> list[str]:
    """What is known of the weights behind each speedup that is shown."""
    shown = [label for label in comparison.weights if label not in comparison.withheld]
    return [
        f"- `{label}`: {WEIGHTS[found.kind]} ({found.kind}): {found.why}."
        for label in shown
        if (found := comparison.weights[label]).kind in WEIGHTS
    ]


def _withheld(comparison: Comparison) -> list[str]:
    """Candidates without a speedup: one whose weights are wrong is struck out, one that makes them up is the floor."""
    lines = []
    for label, why in comparison.withheld.items():
        name = f"~~`{label}`~~" if comparison.weights[label].kind == "FAILED" else f"`{label}`"
        lines.append(f"- {name}: no speedup is shown: {why}.{_floor(comparison, label)}")
    return lines


def _floor(comparison: Comparison, label: str) -> str:
    point = next(point for point in comparison.points if point.label == label)
    ready_s = point.mean("ready_s") if comparison.weights[label].kind == DUMMY else None
    return "" if ready_s is None else f" Ready after {ready_s:.2f} s."


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


def invalid_section(comparison: Comparison) -> str:
    """Their state was not what was asked for: they are in no figure above."""
    rows = [[start.name, start.invalid_reason or ""] for start in comparison.invalid]
    return f"## Invalid starts\n{table(['Start', 'Reason'], rows, right=False)}" if rows else ""


def _warnings_section(comparison: Comparison) -> str:
    warnings = [f"- {doubt}" for doubt in doubts(comparison)]
    warnings += [
        f"- `{start.name}`: {text}" for point in comparison.points for start in point.starts for text in start.warnings
    ]
    return "## Warnings\n" + "\n".join(dict.fromkeys(warnings)) if warnings else ""


def _excerpts_section(excerpts: dict[str, str]) -> str:
    blocks = [f"### {label}\n```text\n{text.rstrip()}\n```" for label, text in excerpts.items()]
    return "\n\n".join(["## Relevant vLLM Initialization Log Excerpts", *blocks]) if blocks else ""
