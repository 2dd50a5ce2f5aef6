"""The figures of one start on a time axis: the phases that its log can place (phases.png), its processes from inside (waterfall.png), and
the memory of vLLM's process tree and of each GPU (memory.png).
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.bars import Bar, Lanes, draw_bars, phase_bar, write_beside, write_inside
from bench.report.style import GREY, LEGEND_COLUMNS, colour, figure, phase_legend, plain
from bench.start.files import MEMORY, MEMORY_FIGURE, PHASES_FIGURE, WATERFALL_FIGURE
from bench.start.log_metrics import METRICS
from bench.start.metrics import FIRST_ANSWER
from bench.start.record import Startup
from bench.start.timeline import FIRST_TOKEN, STARTS_OF_PROCESSES, span_title
from bench.start.waterfall import STEPS, Lane
from bench.vllm.memory import MemorySample, peaks, read_memory
from bench.vllm.span import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHAIN_TITLE = "critical chain"
# What a log can place in time; each has a colour of its own, as far as there are as many.
PLACED = (*STARTS_OF_PROCESSES, *dict.fromkeys(source.phase for _, source in METRICS), FIRST_TOKEN)

KINDS = (("anon", "anonymous", 0), ("file", "mapped files", 4), ("shmem", "shared", 3))  # metric, words, colour
LETTERS = 150  # of a phase's title that would stand side by side on the whole axis
LINES = 2
ROWS = 6  # of a legend


def draw_startup(startup: Startup, folder: Path) -> Path | None:
    """phases.png in `folder`, or None where the log has no stamps and so nothing can be placed."""
    if not startup.phases:
        return None
    drawn = figure(9, 1.4 + 0.34 * len(startup.phases))
    axes = drawn.add_subplot()
    axes.set_xlim(0, 1.02 * (startup.first_token_s or max(phase.until_s for phase in startup.phases)))
    draw_bars(axes, [_row(phase) for phase in startup.phases], write_beside, height=0.62)
    return _saved(drawn, axes, startup, folder / PHASES_FIGURE)


def _row(phase: Span) -> tuple[str, Lanes]:
    title = span_title(phase.name)
    shade = colour(PLACED.index(phase.name)) if phase.name in PLACED else GREY
    bar = Bar(phase.duration_s, shade, f"{phase.duration_s:.2f} s", phase.start_s)
    return f"{title} ({phase.rank})" if phase.rank else title, [[bar]]


def draw_lanes(startup: Startup, folder: Path) -> Path | None:
    """waterfall.png in `folder`: the critical chain, and every process below it; None where no process has reported."""
    lanes = ([Lane(CHAIN_TITLE, tuple(startup.chain))] if startup.chain else []) + startup.lanes
    if not lanes:
        return None
    names = sorted({part.name for lane in lanes for part in lane.spans}, key=lambda name: STEPS[name])
    drawn = figure(11, 1.3 + 0.45 * len(lanes) + 0.2 * len(names) / LEGEND_COLUMNS)
    axes = drawn.add_subplot()
    axes.set_xlim(0, 1.01 * max(part.until_s for lane in lanes for part in lane.spans))
    rows = [
        (lane.name, [[phase_bar(each.name, each.start_s, each.duration_s) for each in lane.spans]]) for lane in lanes
    ]
    draw_bars(axes, rows, write_inside, height=0.66)
    phase_legend(drawn, names)
    return _saved(drawn, axes, startup, folder / WATERFALL_FIGURE)


def _saved(drawn: "Figure", axes: "Axes", startup: Startup, path: Path) -> Path:
    """With what both figures have: the time to ready as a line, the axis' label and the heading."""
    if startup.ready_s is not None:
        axes.axvline(startup.ready_s, color=GREY, linestyle="--", linewidth=0.8)
    axes.tick_params(axis="y", labelsize=9)
    axes.set_xlabel("seconds since exec")
    axes.set_title(heading(startup), loc="left", fontsize=10)
    drawn.savefig(path)
    return path


def heading(startup: Startup) -> str:
    """Its name and when it was ready and had its first token, or other answer; or that it failed."""
    if startup.failed:
        return f"{plain(startup.name)}: failed"
    answered_s = startup.metrics.get(FIRST_ANSWER.name)
    reached = [
        ("ready (dashed)", startup.ready_s),
        ("first token", startup.first_token_s),
        ("first answer", answered_s),
    ]
    words = [f"{name} {value:.2f} s" for name, value in reached if value is not None]
    return f"{plain(startup.name)}: {', '.join(words) or 'when it was ready is unknown'}"


def draw_memory(startup: Startup, folder: Path) -> Path | None:
    """memory.png in `folder`, from its memory.csv; None where nothing was sampled."""
    samples = read_memory(folder / MEMORY)
    most = peaks(samples)
    has_host = any(amount is not None for amount in (most.anon_gib, most.file_gib, most.shmem_gib, most.pss_gib))
    has_gpus = any(amount is not None for amount in (*most.gpu_used_gib, *most.gpu_own_gib))
    panels = [*([_draw_host] if has_host else []), *([_draw_gpus] if has_gpus else [])]
    if not panels:
        return None
    drawn = figure(9, 1 + 2.3 * len(panels))
    axes = drawn.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for panel, each in zip(panels, axes, strict=True):
        panel(each, samples, most)
    end_s = samples[-1].elapsed_s
    phases = outermost(startup.phases)
    for each in axes:
        _mark(each, phases, end_s)
        each.set_xlim(0, end_s * 1.005)
        each.set_ylim(0)
        each.spines[["top", "right"]].set_visible(False)
        each.set_ylabel("GiB")
    axes[-1].set_xlabel("seconds since exec")
    _write_titles(axes[0], phases, end_s)
    axes[0].set_title(f"{plain(startup.name)}: memory", loc="left", fontsize=10, pad=22)
    path = folder / MEMORY_FIGURE
    drawn.savefig(path)
    return path


def _draw_host(axes: "Axes", samples: Sequence[MemorySample], most: MemorySample) -> None:
    """The tree's resident memory, by what is behind it, one on the other; PSS where it was read."""
    read = [each for each in samples if each.anon_gib is not None]
    times = [each.elapsed_s for each in read]
    amounts = [[getattr(each, f"{kind}_gib") for each in read] for kind, _, _ in KINDS]
    words = [f"{words}, peak {getattr(most, f'{kind}_gib'):.2f}" for kind, words, _ in KINDS]
    axes.stackplot(times, amounts, labels=words, colors=[colour(index) for *_, index in KINDS], linewidth=0)
    shared_out = [(each.elapsed_s, each.pss_gib) for each in samples if each.pss_gib is not None]
    if shared_out:
        label = f"PSS, highest read {most.pss_gib:.2f}"
        axes.plot(*zip(*shared_out, strict=True), color="black", marker="o", markersize=3.5, linestyle="", label=label)
    _explain(axes, "host, GiB")


def _draw_gpus(axes: "Axes", samples: Sequence[MemorySample], most: MemorySample) -> None:
    """All that is in use on each GPU, and dashed what of it vLLM's processes take, where NVML reports it."""
    for index in range(len(samples[0].gpu_used_gib)):
        for kind, style, words in (("gpu_used_gib", "-", "in use"), ("gpu_own_gib", "--", "vLLM's own")):
            amounts = [(each.elapsed_s, getattr(each, kind)[index]) for each in samples]
            known = [(time_s, amount) for time_s, amount in amounts if amount is not None]
            if known:
                label = f"GPU {index} {words}, peak {getattr(most, kind)[index]:.2f}"
                axes.plot(*zip(*known, strict=True), color=colour(index), linestyle=style, linewidth=1.4, label=label)
    _explain(axes, "GPU, GiB")


def _explain(axes: "Axes", title: str) -> None:
    columns = 1 + len(axes.get_legend_handles_labels()[1]) // (ROWS + 1)
    axes.legend(
        loc="upper left",
        fontsize=8,
        edgecolor="none",
        title=title,
        title_fontsize=8,
        alignment="left",
        ncols=columns,
    )


def outermost(phases: Sequence[Span]) -> list[Span]:
    """Those that do not lie in another, one after the other: what ranks do side by side stands for all by its first."""
    kept: list[Span] = []
    for phase in sorted(phases, key=lambda each: (each.start_s, -each.until_s)):
        if not kept or phase.start_s >= kept[-1].until_s:
            kept.append(phase)
    return kept


def _mark(axes: "Axes", phases: Sequence[Span], end_s: float) -> None:
    """Where each begins and ends, lightly."""
    for time_s in {time_s for phase in phases for time_s in (phase.start_s, phase.until_s)}:
        if 0 < time_s < end_s:
            axes.axvline(time_s, color=GREY, linewidth=0.5, alpha=0.6)


def _write_titles(axes: "Axes", phases: Sequence[Span], end_s: float) -> None:
    """Above the axis, where they have room."""
    for phase in phases:
        room = int(LETTERS * phase.duration_s / end_s)
        lines = textwrap.wrap(span_title(phase.name), max(1, room), break_long_words=False)
        if len(lines) <= LINES and max(map(len, lines)) <= room:
            middle_s = (phase.start_s + phase.until_s) / 2
            axes.annotate(
                "\n".join(lines),
                (middle_s, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7,
                color=GREY,
            )
