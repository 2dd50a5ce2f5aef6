"""Where the seconds go, and where the saved ones come from: two sections of the report. Pure."""

from collections.abc import Sequence

from bench.analysis.comparison import Comparison, Point
from bench.analysis.savings import Cap, Savings, Step, Waterfall, caps, mean_waterfall, savings, steps_of
from bench.analysis.statistics import Difference
from bench.report.style import phase_title
from bench.report.tables import by_state, stacked, table

WATERFALL_FIGURE = "waterfall.png"
SAVINGS_FIGURE = "savings.png"
TOTAL = "Time to ready"


def waterfalls_by_state(comparison: Comparison) -> list[tuple[str, list[Waterfall]]]:
    """The mean waterfalls of the points that have one, as `by_state` divides them."""
    groups = (
        (words, [found for point in points if (found := mean_waterfall(point))])
        for words, points in by_state(comparison)
    )
    return [(words, found) for words, found in groups if found]


def savings_by_state(comparison: Comparison) -> list[tuple[str, list[Savings]]]:
    """Each candidate where its own state is; where it has none, as without weights, where its baseline's is."""
    by_label = {point.label: point for point in comparison.points}
    groups: dict[str, list[Savings]] = {words: [] for words, _ in by_state(comparison)}
    for each in savings(comparison):
        groups[_home(by_label[each.candidate], by_label[each.baseline], list(groups))].append(each)
    return [(words, found) for words, found in groups.items() if found]


def _home(candidate: Point, baseline: Point, titles: Sequence[str]) -> str:
    states = [f"Page cache: {point.state}" for point in (candidate, baseline)]
    return next((state for state in states if state in titles), titles[0])


def seconds_section(comparison: Comparison) -> str:
    """The mean waterfalls side by side. Empty where no start has one, as with logs from elsewhere."""
    groups = waterfalls_by_state(comparison)
    if not groups:
        return ""
    sizes = {point.label: point.n for point in comparison.points}
    with_one = {waterfall.point for _, found in groups for waterfall in found}
    lines = [
        "## Where the seconds go",
        f"![Where the seconds go](./{WATERFALL_FIGURE})\n",
        stacked((words, _waterfalls(found, sizes)) for words, found in groups),
        "",
        "Means over the starts. A phase that a start did not have took no time in it, so each column adds up.",
    ]
    lines += [f"- `{label}`: no start has a waterfall." for label, n in sizes.items() if n and label not in with_one]
    return "\n".join(lines)


def _waterfalls(waterfalls: Sequence[Waterfall], sizes: dict[str, int]) -> str:
    steps = steps_of(waterfalls)
    before = [_means(step, waterfalls) for step in steps if step.before_ready]
    after = [_means(step, waterfalls) for step in steps if not step.before_ready]
    rows = [*before, ["**Ready**", *(f"**{each.ready_s:.2f}**" for each in waterfalls)], *after]
    if after:
        totals = [sum(mean.mean_s for mean in each.steps) for each in waterfalls]
        rows.append(["**First token**", *(f"**{total:.2f}**" for total in totals)])
    starts = [str(each.n) if each.n == sizes[each.point] else f"{each.n} of {sizes[each.point]}" for each in waterfalls]
    return table(["Phase (s)", *(each.point for each in waterfalls)], [*rows, ["Starts (n)", *starts]])


def _means(step: Step, waterfalls: Sequence[Waterfall]) -> list[str]:
    return [phase_title(step.name), *(_mean(step, waterfall) for waterfall in waterfalls)]


def _mean(step: Step, waterfall: Waterfall) -> str:
    found = next((each for each in waterfall.steps if each.step == step), None)
    if found is None:
        return "-"
    return f"{found.mean_s:.2f}" + (f" (in {found.n} of {waterfall.n})" if found.n < waterfall.n else "")


def savings_section(comparison: Comparison) -> str:
    """The difference in time to ready by phase, for each candidate, and the cap. Empty where nothing can be compared."""
    groups = savings_by_state(comparison)
    if not groups:
        return ""
    everyone = [each for _, found in groups for each in found]
    lines = [
        "## Where the saved seconds come from",
        f"![Where the saved seconds come from](./{SAVINGS_FIGURE})\n",
        stacked((words, _tables(found)) for words, found in groups),
        "",
        _how_sure(comparison, everyone),
        *(_cap_words(cap, comparison, everyone) for cap in caps(comparison)),
    ]
    return "\n".join(lines)


def _tables(candidates: Sequence[Savings]) -> str:
    """One for each baseline."""
    baselines = dict.fromkeys(each.baseline for each in candidates)
    return "\n\n".join(_table([each for each in candidates if each.baseline == base]) for base in baselines)


def _table(candidates: Sequence[Savings]) -> str:
    steps = sorted({saving.step for each in candidates for saving in each.steps})
    rows = []
    for step in steps:
        found = [next((saving for saving in each.steps if saving.step == step), None) for each in candidates]
        rows.append([phase_title(step.name), *(saved_words(saving.saved_s) if saving else "-" for saving in found)])
    total = [f"**{TOTAL}**", *(f"**{saved_words(each.saved_s)}**" for each in candidates)]
    starts = ["Starts (n), the fewer of the two", *(str(each.n) for each in candidates)]
    return table(
        [f"Seconds saved against {candidates[0].baseline}", *(each.candidate for each in candidates)],
        [*rows, total, starts],
    )


def saved_words(saved: Difference) -> str:
    """Seconds with a sign and, if there is an interval, half its width."""
    return f"{_signed(saved.mean)}" + ("" if saved.high is None else f" ± {saved.high - saved.mean:.2f}")


def _signed(seconds: float) -> str:
    """Without a sign where nothing is left to two digits: there is no -0.00."""
    return f"{seconds:+.2f}" if round(seconds, 2) else "0.00"


def _how_sure(comparison: Comparison, candidates: Sequence[Savings]) -> str:
    rivals = max(list(comparison.baselines.values()).count(each.baseline) for each in candidates)
    unpaired = [f"`{each.candidate}`" for each in candidates if not each.paired and each.n > 1]
    lines = ["Seconds of the baseline minus those of the candidate: above 0 saved, below 0 lost."]
    if any(each.n > 1 for each in candidates):
        lines.append("After ±: half the width of a 95 % t interval, paired within blocks.")
        lines += [f"Not paired (Welch): {', '.join(unpaired)}."] if unpaired else []
        lines += [f"Widened for the {rivals} candidates of one baseline (Bonferroni)."] if rivals > 1 else []
        lines.append("Each row is judged by itself: of so many, one may miss the truth by chance.")
    if any(each.n == 1 for each in candidates):
        lines.append("n = 1: there is no interval.")
    return " ".join(lines)


def _cap_words(cap: Cap, comparison: Comparison, candidates: Sequence[Savings]) -> str:
    interval = "" if cap.low is None else f" [{cap.low:.2f}, {cap.high:.2f}]"
    reached = [
        f"`{each.candidate}` {speedup.ratio:.2f}x"
        for each in candidates
        if each.baseline == cap.point and (speedup := comparison.speedup(each.candidate, "ready_s"))
    ]
    words = (
        f"- The cap: if the weights of `{cap.point}` took no time at all, it would be ready in "
        f"{cap.ready_s - cap.weights_s:.2f} s instead of {cap.ready_s:.2f} s, {cap.ratio:.2f}x{interval} as fast "
        f"(n = {cap.n}). More than that no loader gains by loading alone."
    )
    return f"{words} Reached: {', '.join(reached)}." if reached else words
