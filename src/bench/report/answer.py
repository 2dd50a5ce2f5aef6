"""The answer that a report begins with, in sentences of markdown: what is faster, where its seconds come from, what they are worth. Pure.

What the intervals carry is decided in bench.analysis.verdict; here are the words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point
from bench.analysis.savings import Saving, savings, upper_bound
from bench.analysis.statistics import Interval, mean_of
from bench.analysis.verdict import Against, Finding, Shown, Verdict, longest_phase, verdict_of
from bench.report.caveats import caveats
from bench.report.numbers import listed, percent, ratio_text, saved_text
from bench.report.style import phase
from bench.report.worth_table import worth_sentences
from bench.start.metric_types import Metric
from bench.start.metrics import READY

NAMED = 3  # candidates, baselines or phases in a sentence; the tables have all


@dataclass(frozen=True)
class Answer:
    """`sentences`: the answer. `caveats`: what limits it, a sentence each."""

    sentences: tuple[str, ...]
    caveats: tuple[str, ...]


def answer_of(comparison: Comparison) -> Answer:
    """What this comparison shows, in a few sentences, and what to know beside them."""
    verdict = verdict_of(comparison)
    sentences = [*_results(comparison, verdict), *_seconds(comparison, verdict), *worth_sentences(comparison, verdict)]
    return Answer(tuple(sentences), tuple(caveats(comparison, verdict)))


# What is faster.


def _results(comparison: Comparison, verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        yield from _without_speedup(comparison)
        return
    for each in verdict.against[:NAMED]:
        yield _result(each, verdict.metric)
    if len(verdict.against) > NAMED:
        yield f"The candidates of {len(verdict.against) - NAMED} more baselines are in the tables."


def _result(against: Against, metric: Metric) -> str:
    if not against.findings:
        return f"`{against.baseline.label}` is compared with itself alone: {_title(metric)} {_itself(against)}, which is what equal starts differ by."
    if len(against.findings) == 1:
        return _of_one(against, against.findings[0], metric)
    return _of_several(against, metric)


def _of_one(against: Against, finding: Finding, metric: Metric) -> str:
    base, label = against.baseline, finding.candidate
    times = f"{_mean(finding.point, metric)} instead of {_mean(base, metric)}"
    ratio = f"{ratio_text(finding.ratio)} {_sizes([finding])}"
    if finding.shown in {Shown.FASTER, Shown.SLOWER}:
        return f"`{label}` is {finding.shown.value} than `{base.label}`: {_title(metric)} {times}, {ratio}."
    if finding.shown is Shown.SINGLE:
        each = f"`{label}` {_mean(finding.point, metric)}, `{base.label}` {_mean(base, metric)}"
        return f"{_alone(base, [finding])}: {_title(metric)} {each}, {ratio_text(finding.ratio)}. {_NO_INTERVAL}"
    return (
        f"No difference between `{label}` and `{base.label}` is resolved: {_title(metric)} {times}, {ratio}. "
        f"{_resolution(against)}"
    )


_NO_INTERVAL = "n = 1 has no interval, so no difference is resolved."


def _of_several(against: Against, metric: Metric) -> str:
    count, base = len(against.findings), against.baseline
    faster, slower, unresolved, single = map(against.having, Shown)
    if len(single) == count:
        quickest, slowest = (_mean(each.point, metric) for each in (single[0], single[-1]))
        return (
            f"{_alone(base, single)} of {count} candidates: {_title(metric)} {quickest} (`{single[0].candidate}`) to {slowest} (`{single[-1].candidate}`), "
            f"{_mean(base, metric)} with `{base.label}`. {_NO_INTERVAL}"
        )
    known = f"`{base.label}` ({_title(metric)} {_mean(base, metric)})"
    counts = [(found, word) for found, word in ((faster, "faster"), (slower, "slower")) if found]
    parts = [f"{len(found)} {'is' if len(found) == 1 else 'are'} {word}: {_largest(found)}" for found, word in counts]
    if parts:
        found, word = counts[0]
        verb = "is" if len(found) == 1 else "are"
        parts[0] = f"{len(found)} of {count} candidates {verb} {word} than {known}: {_largest(found)}"
    if not parts:
        parts = [f"No difference between {count} candidates and {known} is resolved {_sizes(against.findings)}"]
    elif unresolved:
        few = len(unresolved) <= NAMED
        names = listed([f"`{each.candidate}`" for each in unresolved], NAMED) if few else f"{len(unresolved)} others"
        parts += [f"{names} {'is' if len(unresolved) == 1 else 'are'} not resolved"]
    if single:
        parts += [f"of {len(single)} there is a single start, which has no interval"]
    text = "; ".join(parts) + "."
    return f"{text} {_resolution(against)}" if unresolved else text


def _alone(base: Point, found: Sequence[Finding]) -> str:
    """Of candidates without an interval: each point may have more starts, of which one alone has its like on the other side."""
    return (
        "One start of each"
        if base.n == 1 and all(each.point.n == 1 for each in found)
        else "One comparable start of each"
    )


def _largest(found: Sequence[Finding]) -> str:
    shown = listed([_named(each, alone=len(found) == 1) for each in found], NAMED)
    return f"{shown} {_sizes(found)}"


def _named(finding: Finding, *, alone: bool) -> str:
    marks = "" if alone or not finding.marks else f" ({', '.join(finding.marks)})"
    return f"`{finding.candidate}` {ratio_text(finding.ratio)}{marks}"


def _resolution(against: Against) -> str:
    """What could have been resolved, by the intervals, and by the baseline against itself."""
    widths = [max(each.ratio.half_width or 0.0, against.beyond - 1) for each in against.having(Shown.UNRESOLVED)]
    low, high = map(_difference, (min(widths), max(widths)))
    text = f"{low if low == high else f'{low}, in the least precise {high[0].lower()}{high[1:]},'} would have been resolved"
    return f"{text}; `{against.baseline.label}` against itself: {_itself(against)}." if against.again else f"{text}."


def _difference(width: float) -> str:
    """In per cent; a large one, as of two pairs, as a factor."""
    return f"A difference of about {percent(width)}" if width < 1 else f"A factor of about {1 + width:.1f}"


def _itself(against: Against) -> str:
    assert against.again is not None
    return f"{ratio_text(against.again)} (n = {against.again.n})"


def _sizes(found: Sequence[Finding]) -> str:
    """`(n = 3)`, `(n = 3 to 5, not paired)`; of one alone with its marks."""
    sizes = sorted({each.ratio.n for each in found})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    unpaired = [] if all(each.ratio.paired for each in found) else ["not paired"]
    marks = found[0].marks if len(found) == 1 else ()
    return f"({', '.join([n, *unpaired, *marks])})"


def _title(metric: Metric) -> str:
    title = metric.speedup or metric.title
    return title[0].lower() + title[1:]


def _mean(point: Point, metric: Metric) -> str:
    mean = point.mean(metric)
    assert mean is not None, "it has a speedup"
    return f"{mean:.2f} s"


def _without_speedup(comparison: Comparison) -> Iterator[str]:
    """Of one point, of points that are not compared, or of starts none of which counts."""
    points = [point for point in comparison.points if point.starts]
    if not points:
        yield "No start of this sweep counts, so there is nothing to compare."
    elif len(points) > 1:
        yield f"No two of these {len(points)} points are compared. {' '.join(map(_of_point, points[:NAMED]))}"
        if len(points) > NAMED:
            yield "The others are in the tables."
    else:
        yield _of_point(points[0])


def _of_point(point: Point) -> str:
    ready = mean_of(point.values(READY))
    if ready is None:
        return f"When `{point.label}` was ready is not known (n = {point.n})."
    if ready.low is None or ready.high is None:
        return f"`{point.label}` was ready after {ready.mean:.2f} s (n = 1: no interval)."
    low = max(ready.low, 0.0)  # no time is less
    return f"`{point.label}` is ready after {ready.mean:.2f} s [{low:.2f}, {ready.high:.2f}] (n = {ready.n})."


# Where the seconds come from.


def _seconds(comparison: Comparison, verdict: Verdict | None) -> Iterator[str]:
    """Of the largest gain or loss of the first baseline; where nothing is resolved, where the baseline's own go."""
    if verdict is None:
        for point in [point for point in comparison.points if point.starts][:1]:
            yield from _longest(point)
        return
    if verdict.metric != READY:
        return
    against = verdict.against[0]
    leading = against.leading
    if leading and (phases := _to_be_seen(leading)):
        yield _of_phases(leading, phases)
    elif leading and leading.shown in {Shown.FASTER, Shown.SLOWER} and leading.has_waterfalls:
        yield f"No phase alone is resolved as where the seconds of `{leading.candidate}` come from."
    elif leading and leading.shown is Shown.SINGLE:
        yield from _of_two_starts(comparison, leading)
    if leading is None or leading.shown is Shown.UNRESOLVED:
        yield from _longest(against.baseline)


def _to_be_seen(finding: Finding) -> list[Saving]:
    """Its phases but for those of which two digits would show 0.00."""
    return [each for each in finding.phases if round(each.saved_s.mean, 2)]


def _of_phases(finding: Finding, phases: Sequence[Saving]) -> str:
    gained = [each for each in phases if each.saved_s.mean > 0]
    lost = [each for each in phases if each.saved_s.mean < 0]
    parts = [
        f"{verb} {listed([_in_phase(each) for each in found], NAMED)}"
        for verb, found in (("saves", gained), ("loses", lost))
        if found
    ]
    return f"`{finding.candidate}` {', and '.join(parts)}."


def _in_phase(saving: Saving) -> str:
    return f"{_amount(saving.saved_s)} s in {phase(saving.step.name).title}"


def _amount(seconds: Interval) -> str:
    return saved_text(seconds).lstrip("+-")


def _of_two_starts(comparison: Comparison, finding: Finding) -> Iterator[str]:
    for found in savings(comparison):
        if found.candidate == finding.candidate and found.steps:
            most = max(found.steps, key=lambda each: abs(each.saved_s.mean))
            yield f"The largest difference between the two is in {phase(most.step.name).title}: {abs(most.saved_s.mean):.2f} s."


def _longest(point: Point) -> Iterator[str]:
    if found := longest_phase(point):
        name, mean_s, ready_s = found
        bound = upper_bound(point)
        text = f"`{point.label}` spends {mean_s:.2f} of its {ready_s:.2f} s on {phase(name).title}"
        yield (
            f"{text}; if its weights took no time it would be ready {ratio_text(bound.ratio)} as fast."
            if bound
            else f"{text}."
        )
