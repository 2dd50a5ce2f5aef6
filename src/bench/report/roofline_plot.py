"""The page's roofline, as values: a row a point, with the rates and the limits that it has. Pure; templates/figures.html.j2 draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.roofline import CEILINGS, Roof
from bench.report.axes import Axis, rate_axis


@dataclass(frozen=True)
class Mark:
    """Where a rate stands; `number` tells limits apart by colour."""

    x: float
    text: str
    number: int = 0


@dataclass(frozen=True)
class RoofRow:
    """A point's limits, what its ranks were given, and what was read; None: not known."""

    label: str
    text: str
    limits: tuple[Mark, ...]
    delivered: Mark | None
    read: Mark | None


@dataclass(frozen=True)
class Roofline:
    """All points whose storage was measured; `names`: of the limits that are there, with their numbers."""

    axis: Axis
    rows: tuple[RoofRow, ...]
    names: tuple[tuple[int, str], ...]


def roofline(found: Sequence[Roof]) -> Roofline | None:
    """None: no storage was measured."""
    if not found:
        return None
    axis = rate_axis(rate for roof in found for rate in roof.rates)
    present = {name for roof in found for name in roof.ceilings}
    names = tuple((number, name) for number, name in enumerate(CEILINGS) if name in present)
    return Roofline(axis, tuple(_row(roof, axis) for roof in found), names)


def _row(roof: Roof, axis: Axis) -> RoofRow:
    limits = tuple(
        Mark(axis.at(rate), f"{roof.label}: limit of the {name}: {rate:.2f} GiB/s", CEILINGS.index(name))
        for name, rate in roof.ceilings.items()
    )
    named = [
        f"{rate:.2f} {words}"
        for rate, words in ((roof.delivered, "delivered"), (roof.read, "read"))
        if rate is not None
    ]
    return RoofRow(
        roof.label,
        f"{', '.join(named)} (n = {roof.n})",
        limits,
        _mark(roof.delivered, axis, f"{roof.label}: weights delivered"),
        _mark(roof.read, axis, f"{roof.label}: read from storage"),
    )


def _mark(rate: float | None, axis: Axis, words: str) -> Mark | None:
    return Mark(axis.at(rate), f"{words}: {rate:.2f} GiB/s") if rate else None
