"""The content of a report, as one frozen value without markup; the templates render it. Pure."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.comparison import AGAIN, Comparison
from bench.analysis.losses import missing_starts
from bench.analysis.records import Point, RunRecord
from bench.analysis.same_weights import DUMMY, Weights
from bench.analysis.savings import UpperBound, upper_bounds
from bench.analysis.statistics import Interval
from bench.analysis.warnings import warnings_about
from bench.report import tables
from bench.report.tables import Table
from bench.start.metric_types import Metric
from bench.start.metrics import READY, STREAM, STREAM_RATE, STREAM_SIZE, of_rank, rank_of
from bench.start.tags import (
    COMPILE_CACHE,
    HOST,
    HOST_NAME,
    NO_FILE,
    PAGE_CACHE,
    PAGE_CACHE_GAUGE,
    RAN_RECORD,
    RIG_LOOSENED,
    STORAGE,
    UNVERIFIED,
    VERSION,
    VLLM_VERSION,
    Tag,
)

# Of conditions that the table of published results shows too.
VLLM, GPU, CPU, READ_AHEAD, LIMIT = "vLLM", "GPU", "CPU", "Read-ahead (KiB)", "Limit of the cgroup"
# The conditions that every start is listed with: title, param or tag.
CONDITIONS = (
    ("Model", "model.path"),
    ("tensor_parallel_size", "tensor_parallel_size"),
    ("gpu_memory_utilization", "gpu_memory_utilization"),
    ("max_model_len", "max_model_len"),
    (VLLM, VLLM_VERSION.name),
    ("torch", VERSION.name("torch")),
    ("runai-model-streamer", VERSION.name("runai-model-streamer")),
    (GPU, HOST.name("gpu")),
    (CPU, HOST.name("cpu")),
    ("Host", HOST_NAME.name),
    ("Storage", STORAGE.name("device")),
    ("File system", STORAGE.name("filesystem")),
    (READ_AHEAD, STORAGE.name("read_ahead_kb")),
    ("Largest request (KiB)", STORAGE.name("max_sectors_kb")),
    ("I/O scheduler", STORAGE.name("scheduler")),
    (LIMIT, STORAGE.name("limit")),
    ("Limits on noise that were loosened (bench's own)", RIG_LOOSENED.name),
)
STATES = {"Page cache before each start": PAGE_CACHE, "Compile and JIT caches": COMPILE_CACHE}
STATE_WORDS = {
    "cold": "cold (evicted and measured)",
    "warm": "warm (read and measured)",
    "as_is": "as it was found, not controlled",
    "unverified": "unverified: no reliable measurement on this host",
    "not_used": "not used by these starts",
    "none": "not used by these starts",  # of an earlier bench, which did not tell it from what is unknown
    "unknown": "unknown: the log shows no use of them",
    "primed": "primed by a start that does not count, and found to be used",
    "unloadable": "primed by a start that does not count, but vLLM could not load the graph and compiled again",
    "fresh": "fresh, and found to be filled",
    "wrong": "not what was asked",
}
WEIGHTS = {
    "bitwise": "the same weights, bit for bit",
    "outputs": "the same outputs",
    "same_files": "the same files",
    "unverified": "weights unverified",
    "FAILED": "weights FAILED, shown because you asked for it",
}


@dataclass(frozen=True)
class Withheld:
    """A candidate without a speedup. `ready_s`: its mean, where its weights are random and so its time is a lower limit."""

    label: str
    why: str
    wrong_weights: bool
    ready_s: float | None


@dataclass(frozen=True)
class Speedups:
    """`fewest`: the smallest n of all ratios. `rivals`: the candidates of one baseline, at most. `weights`: (label, words, weights).
    `again`: (label, baseline) of A/A arms. `survivors`: of which arm of a candidate more starts failed, in words.
    """

    pairs: str
    table: Table | None
    fewest: int
    rivals: int
    paired: bool
    weights: tuple[tuple[str, str, Weights], ...]
    again: tuple[tuple[str, str], ...]
    withheld: tuple[Withheld, ...]
    survivors: dict[str, str]


@dataclass(frozen=True)
class SavedSeconds:
    """`several`, `single`: whether a candidate has an interval, and whether one has none. `bounds`: with the ratios reached."""

    tables: tuple[Table, ...]
    several: bool
    single: bool
    unpaired: tuple[str, ...]
    rivals: int
    bounds: tuple[tuple[UpperBound, dict[str, Interval]], ...]


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


@dataclass(frozen=True)
class Report:
    """The sections of a report; one without content is empty or None."""

    title: str
    comparison: Comparison
    started_at: str
    conditions: dict[str, tuple[str, ...]]
    states: dict[str, str]
    unverified: dict[str, tuple[str, ...]]
    key_metrics: tuple[Table, ...]
    speedups: Speedups | None
    seconds: tuple[Table, ...]
    without_waterfall: tuple[str, ...]
    savings: SavedSeconds | None
    single_starts: Table | None
    streams: tuple[Stream, ...]
    failed: Table | None
    invalid: Table | None
    doubts: Table | None
    warnings: tuple[str, ...]


def report_of(comparison: Comparison) -> Report:
    """The content of this comparison's report."""
    waterfalls = {each.point for _, found in tables.waterfalls_by_state(comparison) for each in found}
    return Report(
        title=title_of(comparison),
        comparison=comparison,
        started_at=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(comparison.sweep.started_at)),
        conditions=conditions(comparison),
        unverified=_unverified(comparison),
        states={title: _state(comparison, tag) for title, tag in STATES.items()},
        key_metrics=tables.key_metrics(comparison),
        speedups=_speedups(comparison) if comparison.speedups or comparison.withheld else None,
        seconds=tables.seconds(comparison),
        without_waterfall=tuple(p.label for p in comparison.points if p.n and p.label not in waterfalls),
        savings=_saved_seconds(comparison),
        single_starts=tables.single_starts(comparison),
        streams=tuple(_stream(point) for point in comparison.points if point.values(STREAM)),
        failed=tables.outcomes(comparison.failed, lambda start: start.reason or "no reason was recorded"),
        invalid=tables.outcomes(comparison.invalid, lambda start: start.invalid_reason or ""),
        doubts=tables.doubts([*comparison.sweep.doubts, *missing_starts(comparison.sweep)]),
        warnings=tuple(dict.fromkeys(_warnings(comparison))),
    )


def title_of(comparison: Comparison) -> str:
    """The user's title; else the points."""
    if comparison.title:
        return comparison.title
    labels = [point.label for point in comparison.points]
    return f"{labels[0]} vs {', '.join(labels[1:])}" if len(labels) > 1 else labels[0]


def conditions(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """The values that the starts have, by title: one, or several where it was varied. What no start has is absent."""
    starts = [start for point in comparison.points for start in point.starts]
    found = {
        title: tuple(filter(None, dict.fromkeys(start.params.get(name) or start.tags.get(name) for start in starts)))
        for title, name in CONDITIONS
    }
    return {title: values for title, values in found.items() if values}


def _state(comparison: Comparison, tag: Tag[str]) -> str:
    starts = (start for point in comparison.points for start in point.starts)
    return "; ".join(dict.fromkeys(_state_words(start, tag) for start in starts)) or "unknown"


def _state_words(start: RunRecord, tag: Tag[str]) -> str:
    state = tag.in_(start.tags)
    if state == "unverified" and PAGE_CACHE_GAUGE.in_(start.tags) == NO_FILE:
        return "unverified: which files were read is not known, so none was measured"
    return STATE_WORDS.get(state, state) if state else "unknown"


def _unverified(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Why it is not known what ran -> the points that this is true of. Of starts under an earlier bench nothing is noted."""
    found: dict[str, dict[str, None]] = {}
    for point in comparison.points:
        for record in (RAN_RECORD.in_(start.tags) or "" for start in point.starts):
            if record.startswith(UNVERIFIED):
                found.setdefault(record, {})[point.label] = None
    return {record: tuple(labels) for record, labels in found.items()}


def _warnings(comparison: Comparison) -> Iterable[str]:
    yield from map(str, warnings_about(comparison))
    for point in comparison.points:
        for start in point.starts:
            yield from (f"`{start.name}`: {text}" for text in start.warnings)


def _speedups(comparison: Comparison) -> Speedups:
    found, withheld = comparison.speedups, comparison.withheld
    return Speedups(
        pairs=_pairs(comparison.baselines),
        table=tables.speedups(comparison),
        fewest=min((each.ratio.n for each in found), default=0),
        rivals=_most_rivals(comparison, comparison.baselines.values()),
        paired=all(each.ratio.paired for each in found),
        weights=tuple(
            (label, WEIGHTS[each.kind], each)
            for label, each in comparison.weights.items()
            if label not in withheld and each.kind in WEIGHTS
        ),
        again=tuple(
            (label, base)
            for label, base in comparison.baselines.items()
            if label == base + AGAIN and label not in withheld
        ),
        withheld=tuple(_withheld(comparison, label, why) for label, why in withheld.items()),
        survivors=comparison.survivors,
    )


def _pairs(baselines: dict[str, str]) -> str:
    bases, candidates = set(baselines.values()), list(baselines)
    if len(bases) == 1:
        return f"{bases.pop()} / {candidates[0] if len(candidates) == 1 else 'candidate'}"
    return "; ".join(f"{base} / {candidate}" for candidate, base in baselines.items())


def _most_rivals(comparison: Comparison, bases: Iterable[str]) -> int:
    return max(list(comparison.baselines.values()).count(base) for base in bases)


def _withheld(comparison: Comparison, label: str, why: str) -> Withheld:
    kind = comparison.weights[label].kind
    point = next(point for point in comparison.points if point.label == label)
    return Withheld(label, why, kind == "FAILED", point.mean(READY) if kind == DUMMY else None)


def _saved_seconds(comparison: Comparison) -> SavedSeconds | None:
    candidates = [each for _, found in tables.savings_by_state(comparison) for each in found]
    if not candidates:
        return None
    reached = [(each, comparison.speedup(each.candidate, READY)) for each in candidates]
    return SavedSeconds(
        tables=tables.saved_seconds(comparison),
        several=any(each.n > 1 for each in candidates),
        single=any(each.n == 1 for each in candidates),
        unpaired=tuple(each.candidate for each in candidates if not each.paired and each.n > 1),
        rivals=_most_rivals(comparison, (each.baseline for each in candidates)),
        bounds=tuple(
            (bound, {e.candidate: speedup.ratio for e, speedup in reached if e.baseline == bound.point and speedup})
            for bound in upper_bounds(comparison)
        ),
    )


def _stream(point: Point) -> Stream:
    times, rates = _of_ranks(point, STREAM), _of_ranks(point, STREAM_RATE)
    means = {rank: point.mean(of_rank(rank, STREAM)) for rank in _ranks(point)}
    return Stream(
        point.label,
        point.n,
        size=tables.size_text(max(point.values(STREAM_SIZE))),
        best_s=min(times),
        slowest_s=max(times),
        best_rate=f"{tables.size_text(max(rates))}/s",
        ranks={rank: mean for rank, mean in means.items() if mean is not None},
    )


def _ranks(point: Point) -> list[str]:
    names = {rank_of(name) for start in point.starts for name in start.metrics}
    return sorted({found[0] for found in names if found})


def _of_ranks(point: Point, metric: Metric) -> Sequence[float]:
    """The values of each rank of each start; the whole start's value where the log names no ranks."""
    of_ranks = (point.values(of_rank(rank, metric)) for rank in _ranks(point))
    return [value for values in of_ranks for value in values] or point.values(metric)
