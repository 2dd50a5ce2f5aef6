"""Whether two points loaded the same weights, by what each start's record says. Pure.

Each start carries the verdict on its point and the point that it was compared with (bench.weights, bench.weights_baseline);
two points are related through that, and where they cannot be, through the content of the files that they read.
"""

from collections.abc import Collection
from dataclasses import dataclass

from bench.analysis.records import RunRecord
from bench.start.tags import CONTENT, TOKENS, WEIGHTS, WEIGHTS_BASELINE, WEIGHTS_READ, WEIGHTS_WHY
from bench.weights.fingerprint import VerdictKind, judge

ORDER = tuple(VerdictKind)  # of several, the weakest holds
BETWEEN = (
    "the same files were read whole; the starts are of two sweeps, and what vLLM made of the files was not compared"
)
SAME_FILES = "the same files were read whole; settings other than the load format differ, so bits and tokens may"
ENVIRONMENT = ("versions", "arguments", "tensor_parallel_size", "device")  # of what a fingerprint was made from
IGNORED_AS = {"weights", WEIGHTS.name, TOKENS.name}  # what `ignore=` may call them


@dataclass(frozen=True)
class Weights:
    """What is known of a candidate's weights against its baseline's. `withholds`: no speedup is shown for that."""

    kind: VerdictKind
    why: str
    withholds: bool = False


def weights_of(
    baseline: Collection[RunRecord],
    candidate: Collection[RunRecord],
    labels: tuple[str, str],
    *,
    only_format_varied: bool,
    ignored: bool,
) -> Weights:
    """The verdict on a candidate, with what its greedy tokens show besides.

    `labels` are the baseline's and the candidate's; `ignored`: the speedup is shown whatever the weights are.
    """
    if made_up := _made_up(baseline, candidate):
        return Weights(VerdictKind.DUMMY, made_up, withholds=True)
    if exchanged := _exchanged(baseline, candidate):
        return Weights(VerdictKind.FAILED, exchanged, withholds=not ignored)
    kind, why = _related(baseline, candidate, *labels)
    differ = _tokens_differ(baseline, candidate)
    if kind is VerdictKind.OUTPUTS and differ:
        kind, why = VerdictKind.UNVERIFIED, f"in the verification starts: {why}; in the timed ones greedy tokens differ"
    if kind is VerdictKind.BITWISE and differ:
        why = f"{why}; {_tokens_text([*baseline, *candidate], differ=True, only_format_varied=True)} nevertheless"
    if kind is VerdictKind.UNVERIFIED and differ and only_format_varied:
        why = f"{why}; its greedy tokens differ from the baseline's though only the load format was varied"
        return Weights(kind, why, withholds=not ignored)
    if differ is not None and kind in {VerdictKind.UNVERIFIED, VerdictKind.SAME_FILES}:
        why = f"{why}; {_tokens_text([*baseline, *candidate], differ=differ, only_format_varied=only_format_varied)}"
    return Weights(kind, why, withholds=kind is VerdictKind.FAILED and not ignored)


def _related(
    baseline: Collection[RunRecord], candidate: Collection[RunRecord], base: str, label: str
) -> tuple[VerdictKind, str]:
    """The verdict that joins the two: one is about the other, or both are about the same point, or both read the same files."""
    mine, theirs = _own(candidate), _own(baseline)
    if _about(candidate) == {base}:
        return mine
    if _about(baseline) == {label}:
        return theirs
    weakest = max(mine, theirs, key=lambda verdict: ORDER.index(verdict[0]))
    related = _about(candidate) and _about(candidate) == _about(baseline)
    if related or weakest[0] is VerdictKind.FAILED:
        return weakest
    if len({start.sweep for start in (*baseline, *candidate)}) > 1:
        return _between_sweeps(baseline, candidate)
    if _read_the_same([*baseline, *candidate]):
        return VerdictKind.SAME_FILES, SAME_FILES
    return VerdictKind.UNVERIFIED, "the two were never compared" if _about(candidate) else mine[1]


def _between_sweeps(baseline: Collection[RunRecord], candidate: Collection[RunRecord]) -> tuple[VerdictKind, str]:
    """Verdict and why, where no verification start was about both."""
    if found := _by_fingerprints(baseline, candidate):
        return found
    if _read_the_same([*baseline, *candidate]):
        return VerdictKind.SAME_FILES, BETWEEN
    contents = [{CONTENT.in_(start.tags) for start in starts} for starts in (baseline, candidate)]
    if any(None in found for found in contents):
        return VerdictKind.UNVERIFIED, "which files were read is not known of both sweeps"
    if contents[0] == contents[1]:
        return (
            VerdictKind.UNVERIFIED,
            "the two sweeps read the same files, but not all of them is known to have been loaded",
        )
    if len({start.params.get("load_format") for start in (*baseline, *candidate)}) == 1:
        return VerdictKind.FAILED, "the two sweeps read files of different contents: it is another checkpoint"
    return VerdictKind.UNVERIFIED, "the two sweeps read files of different contents, by different load formats"


def _by_fingerprints(
    baseline: Collection[RunRecord], candidate: Collection[RunRecord]
) -> tuple[VerdictKind, str] | None:
    """By the verification starts of either sweep. None: they prove nothing. Two releases of vLLM may hold other tensors for one
    checkpoint, so between those only equal ones do.
    """
    was, now = (
        next((each.fingerprint for each in starts if each.fingerprint), None) for starts in (baseline, candidate)
    )
    if was is None or now is None:
        return None
    verdict = judge(was, now)
    is_one_environment = all(was.made_from.get(name) == now.made_from.get(name) for name in ENVIRONMENT)
    if verdict.kind is VerdictKind.BITWISE or (
        verdict.kind in {VerdictKind.OUTPUTS, VerdictKind.FAILED} and is_one_environment
    ):
        return verdict.kind, f"by the verification starts of both sweeps, {verdict.why}"
    return None


def _read_the_same(starts: Collection[RunRecord]) -> bool:
    contents = {CONTENT.in_(start.tags) for start in starts}
    return (
        len(contents) == 1 and None not in contents and all(WEIGHTS_READ.in_(start.tags) == "whole" for start in starts)
    )


def _made_up(baseline: Collection[RunRecord], candidate: Collection[RunRecord]) -> str | None:
    for starts, whose in ((candidate, "its weights"), (baseline, "the baseline's weights")):
        if any(VerdictKind.DUMMY in {WEIGHTS.in_(start.tags), start.params.get("load_format")} for start in starts):
            return f"{whose} are made up"
    return None


def _own(starts: Collection[RunRecord]) -> tuple[VerdictKind, str]:
    """The verdict that the starts of a point carry: the weakest, should they differ."""
    found = [
        (kind, WEIGHTS_WHY.in_(start.tags) or "") for start in starts if (kind := WEIGHTS.in_(start.tags)) is not None
    ]
    if len(found) < len(starts) or not found:
        return VerdictKind.UNVERIFIED, "no verification start was made"
    return max(found, key=lambda verdict: ORDER.index(verdict[0]))


def _about(starts: Collection[RunRecord]) -> set[str]:
    return {base for start in starts if (base := WEIGHTS_BASELINE.in_(start.tags))}


def _exchanged(baseline: Collection[RunRecord], candidate: Collection[RunRecord]) -> str | None:
    """Starts of one point that read checkpoints of other contents."""
    for starts, whose in ((candidate, "its starts"), (baseline, "the baseline's starts")):
        if len({found for start in starts if (found := CONTENT.in_(start.tags))}) > 1:
            return f"{whose} read checkpoints of different contents: the files were exchanged between two of them"
    return None


def _tokens_differ(baseline: Collection[RunRecord], candidate: Collection[RunRecord]) -> bool | None:
    """Whether the completions have shown different greedy tokens. None: they are not known of both."""
    sides = [{TOKENS.in_(start.tags) for start in starts} for starts in (baseline, candidate)]
    was, now = (found - {None} for found in sides)
    if not was or not now:
        return None
    if was != now or len(was) > 1:
        return True
    return None if None in sides[0] | sides[1] else False


def _tokens_text(starts: Collection[RunRecord], *, differ: bool, only_format_varied: bool) -> str:
    if differ:
        more = "; where more than the load format was varied that proves nothing"
        return "greedy tokens differ" + ("" if only_format_varied else more)
    counts = {start.params.get("completion.max_tokens") for start in starts}
    count = next(iter(counts)) if len(counts) == 1 else None
    return f"the same {f'{count} ' if count else ''}greedy tokens came from every start"
