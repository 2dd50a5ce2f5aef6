"""What a reader should look at before believing a comparison: outliers, a drift over the sweep, arms that were not equally disturbed. Pure."""

from collections.abc import Iterator
from statistics import fmean

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point, RunRecord
from bench.analysis.statistics import Drift, drift, outliers
from bench.host.noise_during import KINDS
from bench.host.storage_profile import has_moved, of_place
from bench.start.metric_types import Metric
from bench.start.metrics import IO_OTHER, NOISE, PAGE_CACHE_LOST, READY, RESIDENT_BEFORE
from bench.start.tags import STORAGE_LIMIT
from bench.start.warning import ResultWarning, WarningKind, warnings_of

SMALLEST_P = 0.001
AS_IS = "as_is"
RESIDENCY_WITHIN = 0.02  # share of the checkpoint, between starts that are compared
STRETCHES = {"start": "during the start", "load": "while weights were loaded"}
LOST_DIFFERS_FROM = 0.02  # share of the checkpoint
PACKAGES_GIB = 0.1  # read from storage in one arm
FEW = 0.1  # of that, in the other: they were in the page cache


def warnings_about(comparison: Comparison) -> list[ResultWarning]:
    """What was found; nothing is removed or corrected because of it."""
    return [
        *warnings_of(WarningKind.OUTLIER, _outliers(comparison)),
        *warnings_of(WarningKind.DRIFT, _drift(comparison)),
        *warnings_of(WarningKind.NOISE, _differences(comparison)),
        *warnings_of(WarningKind.STATE, [*_unlike_residency(comparison), *_no_firm_limits(comparison)]),
    ]


def _timed(point: Point) -> list[tuple[RunRecord, float]]:
    """Its starts that have a time to ready."""
    return [(start, ready_s) for start in point.starts if (ready_s := start.value(READY) or 0.0) > 0]


def _outliers(comparison: Comparison) -> Iterator[str]:
    for times in map(_timed, comparison.points):
        for index in outliers([value for _, value in times]):
            start, value = times[index]
            yield f"{start.name}: {value:.2f} s to ready lies far from the other starts of its point; it is in all figures"


def _drift(comparison: Comparison) -> Iterator[str]:
    for sweep in dict.fromkeys(start.sweep for point in comparison.points for start in point.starts):
        found = drift(
            [
                (start.order, point.label, value)
                for point in comparison.points
                for start, value in _timed(point)
                if start.order and start.sweep == sweep
            ]
        )
        if found and found.significant:
            p = f"p = {found.p_value:.3f}" if found.p_value >= SMALLEST_P else f"p < {SMALLEST_P}"
            over = f"{found.per_start:+.1%} a start over the sweep{sweep and f' {sweep}'}"
            yield f"the time to ready changed by {over} ({p}){_biases(comparison, found, sweep)}"


def _biases(comparison: Comparison, drifted: Drift, sweep: str) -> str:
    """What this drift gives to each ratio of two points of this sweep, by their mean positions."""
    by_label = {point.label: point for point in comparison.points if {s.sweep for s in point.starts} == {sweep}}
    found = []
    for candidate, baseline in comparison.baselines.items():
        if not {candidate, baseline} <= by_label.keys():
            continue
        if means := _mean_positions(by_label[baseline], by_label[candidate]):
            bias = drifted.bias(*means)
            places = f"`{baseline}` stands at position {means[0]:.1f} of the order, `{candidate}` at {means[1]:.1f}"
            found.append(f"{places}, in the mean: by itself the drift would make their ratio {bias:.3f}x")
    return f"; {'; '.join(found)}" if found else ""


def _mean_positions(baseline: Point, candidate: Point) -> tuple[float, float] | None:
    """Over the blocks that both have; over all starts where they share none. None: a position is unknown."""
    orders = [{start.block: start.order for start, _ in _timed(point)} for point in (baseline, candidate)]
    shared = orders[0].keys() & orders[1].keys()
    means = [[order for block, order in each.items() if block in shared or not shared] for each in orders]
    return (fmean(means[0]), fmean(means[1])) if all(means) and all(map(all, means)) else None


def _differences(comparison: Comparison) -> Iterator[str]:
    """A sentence for each kind of noise in which a candidate and its baseline differ, in means over their starts."""
    for candidate, baseline in comparison.baselines.items():
        yield from _between(comparison.point(baseline), comparison.point(candidate))


def _between(baseline: Point, candidate: Point) -> Iterator[str]:
    for kind in KINDS:
        for when, words in STRETCHES.items():
            if kind.differs_from is not None:
                yield from _apart(baseline, candidate, NOISE[kind.field].metric(when), kind.differs_from, words)
    yield from _apart(baseline, candidate, PAGE_CACHE_LOST, LOST_DIFFERS_FROM, STRETCHES["start"])
    yield from _packages(baseline, candidate)


def _apart(baseline: Point, candidate: Point, metric: Metric, differs_from: float, words: str) -> Iterator[str]:
    """Both means, where both are known and lie `differs_from` apart or more."""
    usual, other = baseline.mean(metric), candidate.mean(metric)
    if usual is not None and other is not None and abs(usual - other) >= differs_from:
        means = f"{usual:.2f} in `{baseline.label}`, {other:.2f} in `{candidate.label}`"
        yield f"noise {words} differs: {means} ({metric.title.lower()}, {metric.name})"


def _packages(baseline: Point, candidate: Point) -> Iterator[str]:
    """Packages that one arm found in the page cache and the other did not."""
    means = {point.label: point.mean(IO_OTHER) for point in (baseline, candidate)}
    known = {label: gib for label, gib in means.items() if gib is not None}
    if len(known) < len(means) or max(known.values()) < PACKAGES_GIB:
        return
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    if known[least] <= FEW * known[most]:
        yield (
            f"`{most}` read {known[most]:.2f} GiB of packages and other files from storage, `{least}` {known[least]:.2f} GiB "
            f"({IO_OTHER.name}): the page cache held them for one of the two only, and their times to ready differ by that too"
        )


def _unlike_residency(comparison: Comparison) -> Iterator[str]:
    """Starts with page_cache=as_is whose checkpoint was not in the page cache to the same share, or to one that nobody knows."""
    taken = [point for point in comparison.points if point.state == AS_IS]
    shares = {point.label: point.values(RESIDENT_BEFORE) for point in taken}
    known = [share for values in shares.values() for share in values]
    if not taken or (len(known) == sum(point.n for point in taken) and max(known) - min(known) <= RESIDENCY_WITHIN):
        return
    found = [f"`{label}` {_span(values)}" for label, values in shares.items()]
    yield f"page_cache=as_is, and the share of the checkpoint in the page cache before exec was not the same, or is not known: {', '.join(found)}"


def _span(shares: list[float]) -> str:
    return f"{min(shares):.0%} to {max(shares):.0%}" if shares else "unknown"


def _no_firm_limits(comparison: Comparison) -> Iterator[str]:
    """Of each storage whose limit was another before the sweep than after it, or was not measured past the page cache."""
    for sweep in comparison.sweep.sweeps:
        profiles = STORAGE_LIMIT.in_(sweep.tags) or ()
        for place in dict.fromkeys(each.place for each in profiles):
            found = of_place(profiles, place)
            rates = " and ".join(f"{each.read_gib_per_s:.2f}" for each in found)
            if has_moved(found):
                yield f"{place}: its limit moved over the sweep ({rates} GiB/s): shares are of the most that was known when each start ended"
            if not all(each.is_direct for each in found):
                yield f"{place}: its limit ({rates} GiB/s) was measured through a cache, and may be the cache's"
