"""What limits the answer, a sentence each: starts that were lost, what was withheld, and states and weights that nobody verified. Pure."""

from collections.abc import Iterator, Sequence

from bench.analysis.agreement import is_between_sweeps
from bench.analysis.comparison import Comparison
from bench.analysis.losses import missing_starts
from bench.analysis.records import RunRecord
from bench.analysis.verdict import Verdict
from bench.analysis.worth import costs, on_cpu
from bench.report.numbers import listed, ratio_text
from bench.report.scope import STATE_WORDS, STATES, emulated_storage, not_recorded, state_words
from bench.start.metrics import READY
from bench.start.tag_types import Tag
from bench.weights.fingerprint import VerdictKind

NAMED = 3  # points in a sentence; the sections below have all
VERIFIED = {STATE_WORDS[state] for state in ("cold", "warm", "not_used", "none", "primed", "fresh")}
INTERRUPTION = "an interruption"


def caveats(comparison: Comparison, verdict: Verdict | None) -> Iterator[str]:
    """The gravest first."""
    yield from _lost(comparison)
    yield from _equal_ones_differ(verdict)
    yield from _withheld(comparison)
    yield from _emulated(comparison)
    yield from _without_this_time(comparison, verdict)
    yield from _weights(comparison)
    yield from _unrecorded(comparison)
    yield from _states(comparison)
    for name in comparison.ignored:
        yield f"Compared despite this difference, as requested: {name}."
    for name in comparison.ignored_in_vain:
        yield f"ignore={name} overlooks nothing: these points do not differ in anything of this name."
    yield from _price(comparison)


def _lost(comparison: Comparison) -> Iterator[str]:
    sweep = comparison.sweep
    total = sum(point.n + len(point.failed) + len(point.invalid) for point in comparison.points)
    for found, word in ((comparison.failed, "failed"), (comparison.invalid, "did not count, being invalid")):
        if found:
            yield f"{len(found)} of {total} starts {word}: {_of_points(found)}."
    for label, text in comparison.survivors.items():
        yield f"`{label}`: {text}."
    if doubts := [*sweep.doubts, *missing_starts(sweep)]:
        yield f"{len(doubts)} {'entry' if len(doubts) == 1 else 'entries'} under Starts in doubt."
    if any(INTERRUPTION in (each.ended_by or "") for each in sweep.sweeps):
        yield "The sweep was interrupted: blocks are missing."
    between = [
        f"`{label}`" for label, base in comparison.baselines.items() if _is_of_another_sweep(comparison, label, base)
    ]
    if between:
        yield (
            f"{listed(between, NAMED)}: of another sweep than the baseline, so nothing is paired (Welch), and what changed on the host in between "
            "is in the ratio."
        )


def _is_of_another_sweep(comparison: Comparison, label: str, base: str) -> bool:
    return is_between_sweeps(comparison.point(base), comparison.point(label))


def _of_points(starts: Sequence[RunRecord]) -> str:
    counts = {label: sum(start.point == label for start in starts) for label in dict.fromkeys(s.point for s in starts)}
    return listed([f"`{label}` {count}" for label, count in counts.items()], NAMED)


def _equal_ones_differ(verdict: Verdict | None) -> Iterator[str]:
    for each in verdict.against if verdict else ():
        if each.again and each.beyond > 1:
            yield (
                f"`{each.baseline.label}` against itself shows {ratio_text(each.again)}, though nothing differs: no ratio within a factor of "
                f"{each.beyond:.2f} counts as resolved here."
            )


def _withheld(comparison: Comparison) -> Iterator[str]:
    found = list(comparison.withheld.items())
    for label, why in found[:NAMED]:
        ready_s = comparison.point(label).mean(READY)
        if comparison.weights[label].kind is VerdictKind.DUMMY and ready_s is not None:
            yield f"`{label}` loads no weights: its {ready_s:.2f} s to ready are the floor, no speedup."
        else:
            yield f"`{label}` is withheld: {why}."
    if len(found) > NAMED:
        yield f"{len(found) - NAMED} more candidates are withheld, each with its reason under Speedups."


def _emulated(comparison: Comparison) -> Iterator[str]:
    """Storages that this host does not have; and where they are compared with the one that it has."""
    by_storage: dict[str, list[str]] = {}
    for point in comparison.points:
        for name in dict.fromkeys(emulated_storage(start) for start in point.starts):
            by_storage.setdefault(name, []).append(f"`{point.label}`")
    real = by_storage.pop("", [])
    for name, labels in by_storage.items():
        which = listed(labels, NAMED) if real or len(by_storage) > 1 else "All starts"
        against = f", and {listed(real, NAMED)} the host's own" if real else ""
        yield f"{which}: an emulated storage, {name}{against}; a real one also delays each request, which is not emulated."


def _without_this_time(comparison: Comparison, verdict: Verdict | None) -> Iterator[str]:
    """Candidates that are compared, but not in what the verdict is on."""
    if verdict is None:
        return
    answered = {each.candidate for each in comparison.speedups if each.metric == verdict.metric}
    others = dict.fromkeys(each.candidate for each in comparison.speedups if each.candidate not in answered)
    if others:
        title = (verdict.metric.speedup or verdict.metric.title).lower()
        yield f"{listed([f'`{label}`' for label in others], NAMED)}: no {title} to compare; other times are in the table."


def _weights(comparison: Comparison) -> Iterator[str]:
    shown = {label: each.kind for label, each in comparison.weights.items() if label not in comparison.withheld}
    for kind, words in (
        (VerdictKind.FAILED, "weights FAILED, shown as requested"),
        (VerdictKind.UNVERIFIED, "whether the weights are the same is unverified"),
    ):
        if labels := [f"`{label}`" for label, found in shown.items() if found == kind]:
            yield f"{listed(labels, NAMED)}: {words}."


def _unrecorded(comparison: Comparison) -> Iterator[str]:
    for why, labels in not_recorded(comparison).items():
        yield (
            f"What ran is {why} ({listed([f'`{label}`' for label in labels], NAMED)}): arguments, environment, dtype and limits inside vLLM's "
            "processes are not known, and were not compared."
        )


def _states(comparison: Comparison) -> Iterator[str]:
    """Those of caches that were not verified."""
    starts = [start for point in comparison.points for start in point.starts]
    if not starts:
        return
    if comparison.sweep.replayed:
        yield "These logs were recorded elsewhere: the state of the caches and the order of the starts are unknown."
        return
    for title, tag in STATES.items():
        if words := _not_verified(starts, tag):
            yield f"{title}: {'; '.join(words)}."


def _not_verified(starts: Sequence[RunRecord], tag: Tag[str]) -> list[str]:
    words = dict.fromkeys(state_words(start, tag) for start in starts)
    return [each for each in words if each not in VERIFIED]


def _price(comparison: Comparison) -> Iterator[str]:
    if comparison.usd_per_gpu_hour is None or costs(comparison):
        return
    why = "these starts ran on a CPU" if on_cpu(comparison) else "how many GPUs these starts held is not known"
    yield f"cost.usd_per_gpu_hour={comparison.usd_per_gpu_hour:g} is not used: {why}."
