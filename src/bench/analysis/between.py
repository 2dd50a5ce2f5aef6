"""Starts of several sweeps, or single starts, as one sweep to be compared: what differs between them is the candidate. Pure.

Points keep their labels with the mark of their sweep behind them: vLLM's version where that tells the sweeps apart, else the
sweep's id. Starts of two sweeps share no block, so they are never paired. Each sweep's A/A arm stays with its own baseline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bench.analysis.baselines import DERIVED
from bench.analysis.comparison import AGAIN
from bench.analysis.must_agree import MUST_AGREE
from bench.analysis.records import PRICE, Doubt, Point, RunRecord, SweepRecord
from bench.errors import SettingError
from bench.start.tags import PLANNED, VERSION, VLLM_VERSION, WEIGHTS_BASELINE
from bench.weights.fingerprint import Fingerprint

UNKNOWN, NOT_SET = "unknown", "None"
SHOWN_AT_MOST = 120  # characters of a value
LONGEST = 40  # characters of a point in a folder's name
Fetch = Callable[[str], Fingerprint | None]  # by a start's run; None: it has none


@dataclass(frozen=True)
class Side:
    """A sweep that is compared with others, or one of its points."""

    sweep: SweepRecord
    point: str | None = None  # None: all of them

    @property
    def name(self) -> str:
        """As the command line has it."""
        return self.sweep.sweep_id + (f":{self.point}" if self.point else "")


def joined(sides: Sequence[Side], fetch: Fetch, doubts: Sequence[Doubt] = ()) -> SweepRecord:
    """All of them as one sweep, with the baseline of each candidate: the first side has the baselines. A single sweep is itself.

    `doubts` are those about all of them together. `fetch` is asked for one start of each point.

    Raises:
        SettingError: one is named twice, has no such point, or no two have points that can be compared.
    """
    members = _members(sides)
    if len(members) == 1:
        return _of_one_sweep(members[0], [side.point for side in sides if side.point])
    marked = [_marked(sweep, mark, fetch) for sweep, mark in zip(members, _marks(members), strict=True)]
    baselines = _baselines(marked)
    if not baselines:
        labels = "; ".join(", ".join(sweep.order) for sweep in marked)
        raise SettingError(
            f"sweep={','.join(side.name for side in sides)}: no point of the one is called like one of the other, or has its load format "
            f"alone ({labels}). Name two points:  sweep=ID:POINT,ID:POINT"
        )
    prices = {sweep.params.get(PRICE) for sweep in members}
    return SweepRecord(
        run_id="",
        sweep_id="_against_".join(_name(sweep, sides) for sweep in (*members[1:], members[0])),
        started_at=max(sweep.started_at for sweep in members),
        experiment_id=members[-1].experiment_id,
        replayed=all(sweep.replayed for sweep in members),
        starts=tuple(start for sweep in marked for start in sweep.starts),
        order=tuple(label for sweep in marked for label in sweep.order),
        params={PRICE: prices.pop() or ""} if len(prices) == 1 and None not in prices else {},
        doubts=(*(doubt for sweep in marked for doubt in sweep.doubts), *doubts),
        members=tuple(marked),
        baselines=baselines,
    )


def differences(baseline: Point, candidate: Point) -> list[tuple[str, str, str]]:
    """(name, the baseline's value, the candidate's) of each setting and version that differs, and of what should have agreed."""
    starts = [*baseline.starts, *candidate.starts]
    params = sorted({name for start in starts for name in start.params} - DERIVED)
    versions = sorted({name for start in starts for name in start.tags if name.startswith(f"{VERSION.prefix}.")})
    names = dict.fromkeys((*versions, *MUST_AGREE), UNKNOWN) | dict.fromkeys(params, NOT_SET)
    found = [
        (name, _shown(baseline, name, lacking), _shown(candidate, name, lacking)) for name, lacking in names.items()
    ]
    return [each for each in found if each[1] != each[2]]


def _shown(point: Point, name: str, lacking: str) -> str:
    """Its values, as a text. `lacking`: what it is where a start has none."""
    found = {start.fact(name) or lacking for start in point.starts}
    text = " and ".join(sorted(found))
    return text if len(text) <= SHOWN_AT_MOST else f"{text[:SHOWN_AT_MOST]}…"


def _members(sides: Sequence[Side]) -> list[SweepRecord]:
    """Each sweep once, with the points of it that are named."""
    if len({side.name for side in sides}) < len(sides):
        raise SettingError(f"sweep={','.join(side.name for side in sides)}: one of them is named twice.")
    chosen: dict[str, list[Side]] = {}
    for side in sides:
        chosen.setdefault(side.sweep.sweep_id, []).append(side)
    return [_only(some[0].sweep, [side.point for side in some]) for some in chosen.values()]


def _only(sweep: SweepRecord, points: Sequence[str | None]) -> SweepRecord:
    """Of a sweep these points, in this order, with the baseline's A/A arm and its plan."""
    if None in points:
        return sweep
    order = sweep.order or tuple(dict.fromkeys(start.point for start in sweep.starts))
    named = [point for point in points if point is not None]
    if unknown := [point for point in named if point not in order]:
        raise SettingError(f"sweep={sweep.sweep_id}:{unknown[0]}: the points of this sweep are {', '.join(order)}.")
    kept = tuple(dict.fromkeys([*named, *(point + AGAIN for point in named if point + AGAIN in order)]))
    planned = PLANNED.in_(sweep.tags) or ()
    of_kept = (
        tuple(dict(zip(order, planned, strict=True))[label] for label in kept) if len(planned) == len(order) else None
    )
    starts = tuple(start for start in sweep.starts if start.point in kept)
    part = () if {*kept} == {*order} else tuple(named)
    return replace(sweep, order=kept, starts=starts, tags=sweep.tags | PLANNED.of(of_kept), part=part)


def _of_one_sweep(sweep: SweepRecord, named: Sequence[str]) -> SweepRecord:
    """The first of the points that are named is the baseline."""
    others = {label: named[0] for label in sweep.order if named and label != named[0]}
    return replace(sweep, baselines=others)


def _name(sweep: SweepRecord, sides: Sequence[Side]) -> str:
    """Of a folder: another one for other points."""
    points = [side.point for side in sides if side.sweep.sweep_id == sweep.sweep_id and side.point]
    return folder_name(sweep.sweep_id, points)


def folder_name(sweep_id: str, parts: Sequence[str]) -> str:
    """Of a report: another one for another part of a sweep."""
    plain = [
        "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in part)[:LONGEST] for part in parts
    ]
    return "_".join([sweep_id, *plain])


def _marks(members: Sequence[SweepRecord]) -> list[str]:
    versions = [{VLLM_VERSION.in_(start.tags) for start in sweep.starts} for sweep in members]
    single = [next(iter(found)) if len(found) == 1 else None for found in versions]
    if None not in single and len({*single}) == len(members):
        return [f"vLLM {version}" for version in single]
    return [sweep.sweep_id for sweep in members]


def _marked(sweep: SweepRecord, mark: str, fetch: Fetch) -> SweepRecord:
    """The sweep with its mark on all that is named after its points."""
    first = {
        point: next((start.run_id for start in starts if not start.failed and not start.invalid_reason), None)
        for point, starts in groupby(sorted(sweep.starts, key=lambda start: start.point), lambda start: start.point)
    }
    fingerprints = {point: fetch(run_id) if run_id else None for point, run_id in first.items()}
    return replace(
        sweep,
        order=tuple(_with(mark, label) for label in sweep.order),
        starts=tuple(_marked_start(start, sweep.sweep_id, mark, fingerprints[start.point]) for start in sweep.starts),
        doubts=tuple(replace(doubt, start=f"{doubt.start} ({mark})") for doubt in sweep.doubts),
    )


def _marked_start(start: RunRecord, sweep_id: str, mark: str, fingerprint: Fingerprint | None) -> RunRecord:
    label, base = _with(mark, start.point), WEIGHTS_BASELINE.in_(start.tags)
    behind = start.name.removeprefix(start.point) if start.name.startswith(start.point) else None
    return replace(
        start,
        point=label,
        name=f"{start.name} ({mark})" if behind is None else label + behind,
        tags=start.tags | WEIGHTS_BASELINE.of(_with(mark, base) if base else base),
        sweep=sweep_id,
        fingerprint=fingerprint,
    )


def _with(mark: str, label: str) -> str:
    """The A/A arm keeps its ending, by which it is known."""
    plain = label.removesuffix(AGAIN)
    return f"{plain} ({mark}){label[len(plain) :]}"


def _baselines(marked: Sequence[SweepRecord]) -> dict[str, str]:
    """Of each candidate the baseline: the first sweep's point; of an A/A arm its own."""
    first, *others = (_points(sweep) for sweep in marked)
    found = {label: base for sweep in others for label in sweep if (base := _partner(label, sweep, first))}
    if not found:
        return {}
    labels = [label for sweep in marked for label in sweep.order]
    again = {label: label.removesuffix(AGAIN) for label in labels if label.endswith(AGAIN)}
    return found | {label: base for label, base in again.items() if base in labels}


def _points(sweep: SweepRecord) -> dict[str, tuple[str, str | None]]:
    """What each point was called in its own sweep, and its load format; without A/A arms."""
    starts = {start.point: start for start in reversed(sweep.starts)}
    return {
        label: (label.rpartition(" (")[0], starts[label].params.get("load_format") if label in starts else None)
        for label in sweep.order
        if not label.endswith(AGAIN)
    }


def _partner(
    label: str, mine: dict[str, tuple[str, str | None]], first: dict[str, tuple[str, str | None]]
) -> str | None:
    """The only point that there is; else the one that is called alike; else the one with its load format, if both have but one."""
    name, load_format = mine[label]
    if len(first) == 1:
        return next(iter(first))
    alike = [base for base, (other, _) in first.items() if other == name]
    same = [base for base, (_, other) in first.items() if other == load_format and load_format]
    alone = len(same) == 1 and sum(other == load_format for _, other in mine.values()) == 1
    return next(iter(alike or (same if alone else [])), None)
