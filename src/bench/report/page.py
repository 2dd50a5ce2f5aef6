"""report.html: one file without a network, the same content as report.md with figures that show their values, and every start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.comparison import Comparison
from bench.analysis.records import RunRecord
from bench.analysis.verdict import Shown, verdict_of
from bench.report.candidate_plots import Forest, Gain, forests, gains
from bench.report.content import Report
from bench.report.memory_curves import Memory
from bench.report.point_plots import Stack, Strip, stacks, strip
from bench.report.scope import state_words
from bench.report.style import COLOURS
from bench.report.templating import render
from bench.start.metric_types import Metric
from bench.start.metrics import FIRST_TOKEN, READY
from bench.start.tags import COMPILE_CACHE, PAGE_CACHE

CURVES = tuple(colour for colour in COLOURS if colour != "#000000")  # which is not seen in the dark
FEW = 3  # candidates whose figures are all open
EXCERPTS_AT_MOST = 500_000  # characters of all excerpts together; the page stays below 2 MB
TEXT_AT_MOST = 1_000  # characters of a reason or a warning


@dataclass(frozen=True)
class StartRow:
    """A start in the table of all, as text. `logs`: the names of its files beside the page."""

    name: str
    block: str
    order: str
    ready: str
    first_token: str
    outcome: str
    page_cache: str
    compile_cache: str
    warnings: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """What the page has besides the report's content. `colour`: of the answer."""

    colour: str
    several_baselines: bool
    few: bool
    forests: tuple[Forest, ...]
    strip: Strip | None
    stacks: tuple[Stack, ...]
    gains: tuple[Gain, ...]
    memory: Memory | None
    starts: tuple[StartRow, ...]
    excerpts: Mapping[str, str]
    beside: Sequence[str]
    sections: tuple[tuple[str, str], ...]


def report_html(
    report: Report,
    memory: Memory | None,
    excerpts: Mapping[str, str],
    logs: Mapping[str, Sequence[str]],
    beside: Sequence[str],
) -> str:
    """The page. `excerpts`: of each point's first start, by label. `logs`: the names of the files of each start, by run. `beside`: of all
    files in its folder.
    """
    page = _page(report, memory, _shortened(excerpts), logs, beside)
    return render("report.html.j2", report=report, page=page, curve_colours=CURVES)


def _page(
    report: Report,
    memory: Memory | None,
    excerpts: Mapping[str, str],
    logs: Mapping[str, Sequence[str]],
    beside: Sequence[str],
) -> Page:
    comparison = report.comparison
    drawn = strip(comparison)
    present = {
        ("speedups", "Speedups"): report.speedups,
        ("starts", "Every start"): drawn,
        ("metrics", "Key metrics"): True,
        ("seconds", "Seconds"): report.seconds,
        ("savings", "Saved seconds"): report.savings,
        ("cost", "Cost"): report.worth,
        ("memory", "Memory"): memory,
        ("streamer", "Streamer"): report.streams,
        ("records", "States"): True,
        ("warnings", "Warnings"): report.warnings,
        ("scope", "Scope"): True,
        ("excerpts", "Log excerpts"): excerpts,
        ("files", "Files"): True,
    }
    return Page(
        colour=_colour(comparison),
        several_baselines=len(set(comparison.baselines.values())) > 1,
        few=len(comparison.baselines) <= FEW,
        forests=forests(comparison),
        strip=drawn,
        stacks=stacks(comparison),
        gains=gains(comparison),
        memory=memory,
        starts=tuple(_start_row(start, logs.get(start.run_id, ())) for start in _in_order(comparison)),
        excerpts=excerpts,
        beside=beside,
        sections=tuple(section for section, content in present.items() if content),
    )


def _colour(comparison: Comparison) -> str:
    """Of the leading candidate: even where nothing is resolved."""
    verdict = verdict_of(comparison)
    leading = verdict.against[0].leading if verdict else None
    colours = {Shown.FASTER: "faster", Shown.SLOWER: "slower"}
    return colours.get(leading.shown, "even") if leading else "even"


def _in_order(comparison: Comparison) -> list[RunRecord]:
    """All starts, as they were started; where that is unknown, by point."""
    starts = [start for point in comparison.points for start in (*point.starts, *point.invalid, *point.failed)]
    return sorted(starts, key=lambda start: start.order)


def _start_row(start: RunRecord, logs: Sequence[str]) -> StartRow:
    if start.failed:
        outcome = f"failed: {start.reason or 'no reason was recorded'}"
    else:
        outcome = f"invalid: {start.invalid_reason}" if start.invalid_reason else "counts"
    return StartRow(
        start.name,
        str(start.repeat + 1),
        str(start.order or "-"),
        _seconds(start, READY),
        _seconds(start, FIRST_TOKEN),
        _cut(outcome),
        state_words(start, PAGE_CACHE).partition(" (")[0],
        state_words(start, COMPILE_CACHE).partition(" by ")[0],
        tuple(_cut(str(warning)) for warning in start.warnings),
        tuple(logs),
    )


def _seconds(start: RunRecord, metric: Metric) -> str:
    value = start.value(metric)
    return "-" if value is None else f"{value:.2f}"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_AT_MOST else f"{text[:TEXT_AT_MOST]} …"


def _shortened(excerpts: Mapping[str, str]) -> dict[str, str]:
    """Each as far as all have room together."""
    room = EXCERPTS_AT_MOST // max(1, len(excerpts))
    return {
        label: text if len(text) <= room else f"{text[:room]}\n… cut: the whole lies beside this page"
        for label, text in excerpts.items()
    }
