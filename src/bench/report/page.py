"""report.html: one file without a network, the same content as report.md with figures that show their values, and every start."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.comparison import Comparison
from bench.analysis.records import REPORT, RunRecord, SweepRecord
from bench.analysis.verdict import Shown, verdict_of
from bench.report.candidate_plots import Forest, Gain, forests, gains
from bench.report.content import Report
from bench.report.memory_curves import Memory
from bench.report.point_plots import Stack, Strip, stacks, strip
from bench.report.roofline_plot import Roofline, roofline
from bench.report.scope import state_words
from bench.report.style import COLOURS
from bench.report.templating import render
from bench.start.files import EXCERPTS, LOG
from bench.start.metric_types import Metric
from bench.start.metrics import FIRST_TOKEN, READY
from bench.start.tag_types import Tag
from bench.start.tags import COMPILE_CACHE, PAGE_CACHE

CURVES = tuple(colour for colour in COLOURS if colour != "#000000")  # which is not seen in the dark
TITLES = {LOG: "log", EXCERPTS: "excerpts"}
FEW = 3  # candidates whose figures are all open
EXCERPTS_AT_MOST = 500_000  # characters of all excerpts together; the page stays below 2 MB
TEXT_AT_MOST = 1_000  # characters of a reason or a warning


@dataclass(frozen=True)
class StartRow:
    """A start in the table of all, as text. `run`: its page in MLflow."""

    name: str
    block: str
    order: str
    ready: str
    first_token: str
    outcome: str
    page_cache: str
    compile_cache: str
    warnings: tuple[str, ...]
    run: str
    logs: tuple["Link", ...]


@dataclass(frozen=True)
class Link:
    """A file beside the page, and its page in MLflow; empty: it is not there."""

    name: str
    mlflow: str
    title: str = ""  # of a start's


@dataclass(frozen=True)
class Page:
    """What the page has besides the report's content. `colour`: of the answer."""

    colour: str
    several_baselines: bool
    few: bool
    forests: tuple[Forest, ...]
    strip: Strip | None
    stacks: tuple[Stack, ...]
    roofline: Roofline | None
    gains: tuple[Gain, ...]
    memory: Memory | None
    starts: tuple[StartRow, ...]
    excerpts: Mapping[str, str]
    beside: tuple[Link, ...]
    sections: tuple[tuple[str, str], ...]


def report_html(
    report: Report,
    memory: Memory | None,
    excerpts: Mapping[str, str],
    logs: Mapping[str, Mapping[str, Path]],
    ours: Sequence[str],
) -> str:
    """The page. `excerpts`: of each point's first start, by label. `logs`: of each start, by run and artifact. `ours`: the names of the report's
    other files.
    """
    page = _page(report, memory, _shortened(excerpts), logs, ours)
    return render("report.html.j2", report=report, page=page, curve_colours=CURVES)


def _page(
    report: Report,
    memory: Memory | None,
    excerpts: Mapping[str, str],
    logs: Mapping[str, Mapping[str, Path]],
    ours: Sequence[str],
) -> Page:
    comparison = report.comparison
    drawn = strip(comparison)
    sweeps = {start.run_id: each for each in comparison.sweep.sweeps for start in each.starts}
    starts = tuple(
        _start_row(start, sweeps[start.run_id], logs.get(start.run_id, {})) for start in _in_order(comparison)
    )
    present = {
        ("speedups", "Speedups"): report.speedups,
        ("starts", "Every start"): drawn,
        ("metrics", "Key metrics"): True,
        ("seconds", "Seconds"): report.seconds,
        ("held_back", "Storage"): report.held_back or report.roofs,
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
        roofline=roofline(report.roofs),
        gains=gains(comparison),
        memory=memory,
        starts=starts,
        excerpts=excerpts,
        beside=(*_report_links(comparison, ours), *(link for start in starts for link in start.logs)),
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


def _report_links(comparison: Comparison, names: Sequence[str]) -> Iterator[Link]:
    """Files of the report: in MLflow those of one whole sweep alone, in its own run."""
    sweep = comparison.sweep
    for name in names:
        yield Link(
            name, "" if sweep.members or comparison.part else sweep.mlflow_page(sweep.run_id, f"{REPORT}/{name}")
        )


def _start_row(start: RunRecord, sweep: SweepRecord, logs: Mapping[str, Path]) -> StartRow:
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
        _state(start, PAGE_CACHE),
        _state(start, COMPILE_CACHE),
        tuple(_cut(str(warning)) for warning in start.warnings),
        sweep.mlflow_page(start.run_id),
        tuple(
            Link(path.name, sweep.mlflow_page(start.run_id, artifact), TITLES[artifact])
            for artifact, path in logs.items()
        ),
    )


def _state(start: RunRecord, tag: Tag[str]) -> str:
    """The first of its words: what they say of all starts stands in the scope."""
    words = state_words(start, tag)
    return "primed in vain" if "could not load" in words else re.split(r" \(|, | by |: ", words)[0]


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
