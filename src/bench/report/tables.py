"""The tables of a report as values, without markup: which numbers, under which names, with how many digits. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.agreement import NOT_USED
from bench.analysis.comparison import Comparison, Speedup
from bench.analysis.records import Doubt, Point, RunRecord
from bench.analysis.savings import Savings, Waterfall, mean_waterfall, savings, steps_of
from bench.analysis.statistics import Interval
from bench.report.numbers import ratio_text, saved_text
from bench.report.style import phase
from bench.start.metric_types import Metric
from bench.start.metrics import FIRST_ANSWER, FIRST_TOKEN, KEY_METRICS, LOAD_MODEL, LOAD_WEIGHTS, READY, SPEEDUPS, WALL
from bench.start.waterfall import Step

TOTAL = "Time to ready"
FEWER = "Starts (n), the fewer of the two"
SURVIVORS = "survivors only"
COLUMNS = 6  # of points in a table; with more, each point is a row


@dataclass(frozen=True)
class Cell:
    """What is written; and the interval that it is written from, where there is one."""

    text: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Row:
    """A line of a table; a total stands out."""

    title: str
    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True)
class Table:
    """`header` has the title of the first column too. Cells are numbers, or words where not `numeric`."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    numeric: bool = True

    @property
    def row_a_point(self) -> "Table":
        """With a row for each column, where there are more columns than a reader can keep apart."""
        if len(self.header) - 1 <= COLUMNS or not self.numeric:
            return self
        header = (self.header[0].partition(" (")[0], *(row.title for row in self.rows))
        rows = (Row(title, tuple(row.cells[index] for row in self.rows)) for index, title in enumerate(self.header[1:]))
        return Table(header, tuple(rows), self.caption)


def by_state(comparison: Comparison) -> list[tuple[str, list[Point]]]:
    """The points that have finished starts, for each state of the page cache, with a caption; an empty caption where there
    is but one state. Cold and warm starts are not compared; a point that reads no weights belongs to every state.
    """
    finished = [point for point in comparison.points if point.starts]
    if len(comparison.states) <= 1:
        return [("", finished)]
    return [
        (f"Page cache: {state}", [point for point in finished if point.state in {state, *NOT_USED}])
        for state in comparison.states
    ]


def waterfalls_by_state(comparison: Comparison) -> list[tuple[str, list[Waterfall]]]:
    """The mean waterfalls of the points that have one, as `by_state` divides them."""
    groups = ((caption, filter(None, map(mean_waterfall, points))) for caption, points in by_state(comparison))
    return [(caption, found) for caption, each in groups if (found := list(each))]


def savings_by_state(comparison: Comparison) -> list[tuple[str, list[Savings]]]:
    """Each candidate under its own state; under its baseline's where it has none, as without weights."""
    states = {point.label: f"Page cache: {point.state}" for point in comparison.points}
    groups: dict[str, list[Savings]] = {caption: [] for caption, _ in by_state(comparison)}
    for each in savings(comparison):
        captions = (states[label] for label in (each.candidate, each.baseline))
        groups[next((caption for caption in captions if caption in groups), next(iter(groups)))].append(each)
    return [(caption, found) for caption, found in groups.items() if found]


def key_metrics(comparison: Comparison) -> tuple[Table, ...]:
    """Means over the starts that count; a row that no point has is left out."""
    return tuple(_key_metrics(caption, points) for caption, points in by_state(comparison))


def _key_metrics(caption: str, points: Sequence[Point]) -> Table:
    rows = [
        Row(metric.heading, tuple(_mean(point, metric) for point in points))
        for metric in KEY_METRICS
        if any(point.values(metric) for point in points)
    ]
    starts = Row("Starts (n)", tuple(Cell(str(point.n)) for point in points))
    return Table(("Metric", *(point.label for point in points)), (*rows, starts), caption)


def _mean(point: Point, metric: Metric) -> Cell:
    mean, n = point.mean(metric), len(point.values(metric))
    return Cell("-" if mean is None else f"{mean:,.{metric.digits}f}" + (f" (n={n})" if n < point.n else ""))


def speedups(comparison: Comparison) -> Table | None:
    """A column for each candidate. None: there is no speedup."""
    candidates = [label for label in comparison.baselines if label not in comparison.withheld]
    rows = []
    for metric in SPEEDUPS:
        found = [comparison.speedup(candidate, metric) for candidate in candidates]
        if any(found):
            rows.append(Row(metric.speedup or metric.title, tuple(map(_ratio, found))))
    if not rows:
        return None
    fewest = [
        min((each.ratio.n for each in comparison.speedups if each.candidate == label), default="-")
        for label in candidates
    ]
    header = [f"{label} ({SURVIVORS})" if label in comparison.survivors else label for label in candidates]
    return Table(("Metric", *header), (*rows, Row(FEWER, tuple(Cell(str(n)) for n in fewest))))


def _ratio(speedup: Speedup | None) -> Cell:
    return Cell(ratio_text(speedup.ratio), speedup.ratio) if speedup else Cell("-")


def single_starts(comparison: Comparison) -> Table | None:
    """The median and every value, by point, in the order of the blocks. None: no point was started twice. Of logs without a time to ready
    the log's own times stand for it.
    """
    points = [point for point in comparison.points if point.starts]
    if all(point.n == 1 for point in points):
        return None
    has_ready = any(point.values(READY) for point in points)
    metrics = (READY, FIRST_TOKEN, FIRST_ANSWER) if has_ready else (WALL, LOAD_WEIGHTS, LOAD_MODEL)
    rows = [
        _words(point.label, metric.heading, f"{median(values):.2f}", " ".join(f"{value:.2f}" for value in values))
        for point in points
        for metric in metrics
        if (values := point.values(metric))
    ]
    return Table(("Point", "Metric", "Median", "Each start"), tuple(rows))


def outcomes(starts: Iterable[RunRecord], reason: Callable[[RunRecord], str]) -> Table | None:
    """Starts that failed, or whose state was not the requested one, with the reason. None: there is no such start."""
    rows = tuple(_words(start.name, reason(start)) for start in starts)
    return Table(("Start", "Reason"), rows, numeric=False) if rows else None


def doubts(found: Sequence[Doubt]) -> Table | None:
    """Starts whose records are doubtful, or missing. None: no start's is."""
    rows = tuple(_words(doubt.start, doubt.text) for doubt in found)
    return Table(("Start", "Doubt"), rows, numeric=False) if rows else None


def _words(title: str, *texts: str) -> Row:
    return Row(title, tuple(map(Cell, texts)))


def seconds(comparison: Comparison) -> tuple[Table, ...]:
    """The mean waterfalls, a column for each point. Empty: no start has one, as with logs from elsewhere."""
    sizes = {point.label: point.n for point in comparison.points}
    return tuple(_seconds(caption, found, sizes) for caption, found in waterfalls_by_state(comparison))


def _seconds(caption: str, waterfalls: Sequence[Waterfall], sizes: dict[str, int]) -> Table:
    steps = steps_of(waterfalls)
    before = [_means(step, waterfalls) for step in steps if step.before_ready]
    after = [_means(step, waterfalls) for step in steps if not step.before_ready]
    ready = Row("Ready", tuple(Cell(f"{each.ready_s:.2f}") for each in waterfalls), total=True)
    totals = [sum(mean.mean_s for mean in each.steps) for each in waterfalls]
    token = [Row("First token", tuple(Cell(f"{total:.2f}") for total in totals), total=True)] if after else []
    starts = [str(each.n) if each.n == sizes[each.point] else f"{each.n} of {sizes[each.point]}" for each in waterfalls]
    rows = (*before, ready, *after, *token, _words("Starts (n)", *starts))
    return Table(("Phase (s)", *(each.point for each in waterfalls)), rows, caption)


def _means(step: Step, waterfalls: Sequence[Waterfall]) -> Row:
    return Row(phase(step.name).title, tuple(_mean_s(step, waterfall) for waterfall in waterfalls))


def _mean_s(step: Step, waterfall: Waterfall) -> Cell:
    found = next((each for each in waterfall.steps if each.step == step), None)
    if found is None:
        return Cell("-")
    return Cell(f"{found.mean_s:.2f}" + (f" (in {found.n} of {waterfall.n})" if found.n < waterfall.n else ""))


def saved_seconds(comparison: Comparison) -> tuple[Table, ...]:
    """The difference in time to ready by phase: a table for each state and baseline, a column for each candidate."""
    tables = []
    for caption, found in savings_by_state(comparison):
        for index, base in enumerate(dict.fromkeys(each.baseline for each in found)):
            tables.append(_saved("" if index else caption, base, [each for each in found if each.baseline == base]))
    return tuple(tables)


def _saved(caption: str, base: str, candidates: Sequence[Savings]) -> Table:
    found = [{saving.step: saving.saved_s for saving in each.steps} for each in candidates]
    rows = [
        Row(phase(step.name).title, tuple(_saved_cell(saved.get(step)) for saved in found))
        for step in sorted({step for saved in found for step in saved})
    ]
    total = Row(TOTAL, tuple(_saved_cell(each.saved_s) for each in candidates), total=True)
    starts = _words(FEWER, *(str(each.n) for each in candidates))
    header = (f"Seconds saved against {base}", *(each.candidate for each in candidates))
    return Table(header, (*rows, total, starts), caption)


def _saved_cell(saved: Interval | None) -> Cell:
    return Cell(saved_text(saved), saved) if saved else Cell("-")
