"""Stretches of time in a tree: each lies within what it is in. Pure; times are seconds since exec."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

TICK_S = 0.01  # in which the kernel tells when a process began; less than that is not called cut off

Attributes = Mapping[str, str | int | float]


@dataclass(frozen=True)
class TraceSpan:
    """A stretch of a start, with all that happened within it. `ended_s` is inf while nobody knows what it ends with."""

    name: str  # for people
    kind: str  # start, process, phase
    started_s: float
    ended_s: float
    attributes: Attributes = field(default_factory=dict)
    children: tuple["TraceSpan", ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)  # moments, by name

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.started_s


def in_order(spans: Iterable[TraceSpan]) -> tuple[TraceSpan, ...]:
    """By their begin; ranks that began at once by name."""
    return tuple(sorted(spans, key=lambda span: (round(span.started_s / TICK_S), span.name)))


def nested(spans: Iterable[TraceSpan]) -> tuple[TraceSpan, ...]:
    """Each below the longest that contains it, and so on within. One that did not end is in whatever it began in."""
    rest = sorted(spans, key=lambda span: (span.started_s, -span.ended_s))
    found = []
    while rest:
        outer, *later = rest
        inner = [span for span in later if _contains(outer, span)]
        rest = [span for span in later if not _contains(outer, span)]
        found.append(replace(outer, children=nested(inner)))
    return tuple(found)


def _contains(outer: TraceSpan, later: TraceSpan) -> bool:
    return later.ended_s <= outer.ended_s or (math.isinf(later.ended_s) and later.started_s < outer.ended_s)


def fitted(span: TraceSpan, began_s: float, over_s: float) -> TraceSpan:
    """The span within these bounds, and all that is in it within its own. What was cut off is its `clipped_s`."""
    started_s = min(max(span.started_s, began_s), over_s)
    ended_s = min(max(span.ended_s, started_s), over_s)
    clipped_s = abs(started_s - span.started_s) + (0.0 if math.isinf(span.ended_s) else abs(ended_s - span.ended_s))
    said = {"clipped_s": round(clipped_s, 3)} if clipped_s > TICK_S else {}
    return replace(
        span,
        started_s=started_s,
        ended_s=ended_s,
        attributes={**span.attributes, **said},
        children=tuple(fitted(child, started_s, ended_s) for child in span.children),
        marks={name: at_s for name, at_s in span.marks.items() if started_s <= at_s <= ended_s},
    )
