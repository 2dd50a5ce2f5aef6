"""The memory of one start over its time: vLLM's process tree, and each GPU."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.start_figures import TITLES
from bench.report.style import GREY, colour, figure, plain
from bench.start.files import MEMORY, MEMORY_FIGURE
from bench.start.record import Startup
from bench.vllm.memory import MemorySample, peaks, read_memory
from bench.vllm.span import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (("anon", "anonymous", 0), ("file", "mapped files", 4), ("shmem", "shared", 3))  # metric, words, colour
LETTERS = 150  # of a phase's title that would stand side by side on the whole axis
LINES = 2
ROWS = 6  # of a legend


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
        lines = textwrap.wrap(TITLES.get(phase.name, phase.name), max(1, room), break_long_words=False)
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
