"""Whether the starts of one point are repeats of one thing: the same settings, host, versions and states. Pure."""

from collections.abc import Iterator, Sequence

from bench.analysis.agreement import NAMED_AT_MOST, are_same, is_ignored
from bench.analysis.must_agree import FACTS, MUST_AGREE
from bench.analysis.records import Point

# Params that are other ones in each start: the port is in the command.
OF_ONE_START = {"vllm_command"}
UNKNOWN = "unknown"
STARTS = "starts"  # what `ignore=` may call it


def unlike(point: Point, ignore: Sequence[str]) -> str | None:
    """Why its starts cannot be joined to one number, with the values; None: they can."""
    found = [] if is_ignored(STARTS, ignore) else [*_mixed(point, ignore)]
    if not found:
        return None
    more = [f"and {len(found) - NAMED_AT_MOST} more"] if len(found) > NAMED_AT_MOST else []
    named = ", ".join([*found[:NAMED_AT_MOST], *more])
    return f"the starts of `{point.label}` are not repeats of one another: {named}; to compare all the same: ignore={STARTS}"


def _mixed(point: Point, ignore: Sequence[str]) -> Iterator[str]:
    """Each fact that has another value in one start than in the next; one that is unknown of some is another value."""
    for fact in FACTS:
        values = [start.fact(fact.name) for start in point.starts]
        yield from _differing(fact.what, values, ignore, fact.name)
    names = sorted({name for start in point.starts for name in start.params} - OF_ONE_START - MUST_AGREE.keys())
    for name in names:
        yield from _differing(f"the setting {name}", [start.params.get(name) for start in point.starts], ignore, name)


def _differing(what: str, values: Sequence[str | None], ignore: Sequence[str], name: str) -> Iterator[str]:
    found = sorted({value or UNKNOWN for value in values})
    if not are_same(name, *({value} for value in found)) and not is_ignored(name, ignore):
        yield f"{what} is {' and '.join(found)}"
