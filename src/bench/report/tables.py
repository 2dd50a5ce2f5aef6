"""Which numbers a report shows, under which names, and how they are written. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.comparison import Comparison, Point, Speedup


@dataclass(frozen=True)
class Row:
    """A line of a table: the name that a person reads, and the metric."""

    title: str
    metric: str
    digits: int = 2


SMALLEST_GIB = 0.1

KEY_METRICS = (
    Row("Wall time to model ready (s)", "ready_s"),
    Row("First token (s)", "first_token_s"),
    Row("Load weights, by the probe (s)", "probe/load_weights_s"),
    Row("Blocked waiting for bytes, by the probe (s)", "probe/wait_for_bytes_s"),
    Row("Process weights, by the probe (s)", "probe/process_weights_s"),
    Row("Delivered to all ranks, by the probe (GiB)", "probe/delivered_gib"),
    Row("Weights loading time (s)", "phase/load_weights_s"),
    Row("Model loading time (s)", "phase/load_model_s"),
    Row("Engine init time (s)", "phase/init_engine_s"),
    Row("torch.compile total (s)", "phase/torch_compile_s"),
    Row("Graph capture time (s)", "phase/graph_capture_s"),
    Row("Model loading memory (GiB)", "memory/load_model_gib"),
    Row("Graph capture memory (GiB)", "memory/graph_capture_gib"),
    Row("KV cache memory (GiB)", "memory/kv_cache_gib"),
    Row("KV cache (tokens)", "kv_cache/tokens", 0),
    Row("Checkpoint (GiB)", "checkpoint/size_gib", 3),
)

SPEEDUPS = (
    Row("Wall time to ready", "ready_s"),
    Row("First token", "first_token_s"),
    Row("Load weights, by the probe", "probe/load_weights_s"),
    Row("Weights loading", "phase/load_weights_s"),
    Row("Model loading", "phase/load_model_s"),
)


def table(header: list[str], rows: list[list[str]], *, right: bool = True) -> str:
    """A markdown table, the first column left, the others right, as numbers are, unless they are words."""
    rule = ["---", *["---:" if right else "---"] * (len(header) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in cells] for cells in [header, rule, *rows]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in escaped)


def by_state(comparison: Comparison) -> list[tuple[str, list[Point]]]:
    """The points that have finished starts, for each state of the page cache, with a title for it; an empty title where
    there is but one state. A cold start and a warm one are not neighbours; one that reads no weights is everybody's.
    """
    finished = [point for point in comparison.points if point.starts]
    if len(comparison.states) <= 1:
        return [("", finished)]
    return [
        (f"Page cache: {state}", [point for point in finished if point.state in {state, "none"}])
        for state in comparison.states
    ]


def key_metrics(comparison: Comparison) -> str:
    """Means over the starts that count; a row that no point has is left out. One table for each state of the page cache."""
    return stacked((title, _key_metrics(points)) for title, points in by_state(comparison))


def stacked(tables: Iterable[tuple[str, str]]) -> str:
    """Tables below each other, each below its title if it has one; an empty one is left out."""
    return "\n\n".join("\n\n".join(filter(None, [title, text])) for title, text in tables if text)


def _key_metrics(points: Sequence[Point]) -> str:
    rows = [
        [row.title, *(_mean(point, row) for point in points)]
        for row in KEY_METRICS
        if any(point.mean(row.metric) is not None for point in points)
    ]
    starts = ["Starts (n)", *(str(point.n) for point in points)]
    return table(["Metric", *(point.label for point in points)], [*rows, starts])


def _mean(point: Point, row: Row) -> str:
    mean, values = point.mean(row.metric), point.values(row.metric)
    if mean is None:
        return "-"
    return f"{mean:,.{row.digits}f}" + (f" (n={len(values)})" if len(values) < point.n else "")


def single_starts(comparison: Comparison) -> str:
    """The median and every value, by point, in the order of the blocks. Empty where no point was started twice."""
    points = [point for point in comparison.points if point.starts]
    if all(point.n == 1 for point in points):
        return ""
    rows = [
        [point.label, row.title, f"{median(values):.2f}", " ".join(f"{value:.2f}" for value in values)]
        for point in points
        for row in KEY_METRICS[:2]
        if (values := point.values(row.metric))
    ]
    return table(["Point", "Metric", "Median", "Each start"], rows)


def speedups(comparison: Comparison) -> str:
    """Every candidate against its baseline."""
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    rows = []
    for row in SPEEDUPS:
        found = [comparison.speedup(candidate, row.metric) for candidate in candidates]
        if any(found):
            rows.append([row.title, *(_ratio(each) for each in found)])
    if not rows:
        return ""
    starts = [
        min((each.n for each in comparison.speedups if each.candidate == label), default=0) for label in candidates
    ]
    rows.append(["Starts (n), the fewer of the two", *(str(n) if n else "-" for n in starts)])
    return table(["Metric", *candidates], rows)


def _ratio(speedup: Speedup | None) -> str:
    if speedup is None:
        return "-"
    interval = "" if speedup.low is None else f" [{speedup.low:.2f}, {speedup.high:.2f}]"
    return f"{speedup.ratio:.2f}x{interval}"


def size(gib: float) -> str:
    """GiB, or MiB where GiB would be all zeros."""
    return f"{gib:.2f} GiB" if gib >= SMALLEST_GIB else f"{gib * 1024:.2f} MiB"
