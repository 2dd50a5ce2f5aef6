"""Which starts are compared, and each point with which baseline."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from bench.analysis.records import Point, RunRecord, SweepRecord
from bench.errors import SettingError

AUTO = "auto"
UNSET = {"null", "none"}  # in `where`, and as params hold it
# Follow from other settings, and so show nothing of what was varied.
DERIVED = {"vllm_command", "model.sharded_path"}


def refuse_unknown(sweep: SweepRecord, wanted: Mapping[str, str]) -> None:
    """Refuse a name that no start has: whoever looks for what is not set would find every start."""
    for name, value in wanted.items():
        if value.lower() in UNSET and (unknown := _unknown(sweep, name)):
            raise SettingError(f"where.{name}: {unknown}")


def _unknown(sweep: SweepRecord, name: str) -> str:
    """That no start has such a param, with the nearest ones. Empty: one has it, or a setting below it."""
    known = sorted({each for start in sweep.starts for each in start.params})
    if any(each == name or each.startswith(f"{name}.") for each in known):
        return ""
    near = ", ".join(get_close_matches(name, known, n=3))
    return f"no start of sweep {sweep.sweep_id} has such a param{f'; near to it are {near}' if near else ''}."


def why_none(sweep: SweepRecord, wanted: Mapping[str, str]) -> str:
    """Why no start is left of those that are looked for: names that none has, and the values that they have."""
    found = []
    for name, value in wanted.items():
        values = sorted({start.params[name] for start in sweep.starts if name in start.params})
        if unknown := _unknown(sweep, name):
            found.append(f"where.{name}: {unknown}")
        elif values and value.lower() not in map(str.lower, values):
            found.append(f"Of {name} they have {', '.join(values)}.")
    return " ".join(found)


def has_param(start: RunRecord, name: str, wanted: str) -> bool:
    """Params hold None as text, and what was set for other points alone they do not hold; of a whole section they hold its settings."""
    if name not in start.params and any(each.startswith(f"{name}.") for each in start.params):
        return False  # it is set, and no single value
    value = (start.params.get(name) or "None").lower()
    return value == wanted.lower() or {value, wanted.lower()} <= UNSET


def baselines_of(points: Sequence[Point], baseline: str, of_sweep: Mapping[str, str]) -> dict[str, str]:
    """The baseline of each candidate. Points that never finished are neither. `of_sweep`: those that the sweep has its points compared by."""
    finished = [point for point in points if point.starts]
    labels = {point.label for point in finished}
    if baseline == AUTO and of_sweep:
        return {label: base for label, base in of_sweep.items() if {label, base} <= labels}
    if baseline == AUTO:
        groups = _auto_groups(finished)
    elif baseline in labels:
        groups = {baseline: finished}
    else:
        known = ", ".join(point.label for point in finished)
        raise SettingError(f"baseline={baseline}: the points of this sweep that have finished starts are {known}.")
    return {point.label: base for base, members in groups.items() for point in members if point.label != base}


def _auto_groups(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points that differ in the load format alone, by their baseline. Where nothing but other settings was varied,
    all points are one group.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Point]] = {}
    for point in points:
        groups.setdefault(varied_besides_format(point, points), []).append(point)
    members = list(groups.values())
    if all(len(group) == 1 for group in members) and len({_format(point) for point in points}) == 1:
        members = [list(points)]
    return {next((p.label for p in group if AUTO in {_format(p), p.label}), group[0].label): group for group in members}


def varied_besides_format(point: Point, points: Sequence[Point]) -> tuple[tuple[str, str], ...]:
    """What was varied besides the load format, with this point's values."""
    names = {name for each in points for name in each.starts[0].params}
    varied = {name for name in names if len({each.starts[0].params.get(name) for each in points}) > 1} - DERIVED
    return tuple(
        sorted((name, point.starts[0].params.get(name, "")) for name in varied if not name.startswith("load_format"))
    )


def _format(point: Point) -> str | None:
    return point.starts[0].params.get("load_format")
