"""A Comparison as a folder: report.md and report.html, figures, JSON, and each start's log and excerpts."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bench.analysis.comparison import Comparison
from bench.analysis.records import Point, RunRecord
from bench.errors import OwnershipError
from bench.masking import mask_file
from bench.report.comparison_figures import draw_comparison, draw_savings, draw_waterfalls
from bench.report.content import Report, report_of
from bench.report.memory_curves import memory_of
from bench.report.metrics_json import METRICS, is_report, write_metrics
from bench.report.page import report_html
from bench.report.roofline_figure import draw_roofline
from bench.report.templating import render
from bench.start.files import EXCERPTS, LOG
from bench.system.ownership import is_real_folder
from bench.system.threads import side_by_side

REPORT, PAGE = "report.md", "report.html"
LONGEST = 120  # characters of a file's name
LOGS = {LOG: ".log", EXCERPTS: "_excerpts.log"}


class Fetch(Protocol):
    """Brings one artifact of a run into a folder; None if the run has no such file. It is called in several threads."""

    def __call__(self, run_id: str, name: str, folder: Path, /) -> Path | None: ...


def refuse_foreign(folder: Path) -> None:
    """Refuse a report's folder in which something lies that is no report of bench's: files of the same name would be lost.

    Raises:
        OwnershipError: names the folder.
    """
    if not os.path.lexists(folder):
        return
    if not is_real_folder(folder):
        raise OwnershipError(
            f"{folder} is a link or a file, and a report needs a folder. Remove it, or choose another:  output="
        )
    if links := [path.name for path in folder.iterdir() if path.is_symlink()]:
        raise OwnershipError(f"{folder}: {links[0]!r} is a link, and bench writes through none. Remove it.")
    if not is_report(folder) and any(folder.iterdir()):
        raise OwnershipError(
            f"{folder} holds no report of bench's, so nothing is written over it. Choose another:  output="
        )


def write_report(comparison: Comparison, folder: Path, fetch: Fetch) -> list[Path]:
    """Everything into `folder`. Returns the files that belong in the sweep's own run: report, figures, JSON."""
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_metrics(comparison, folder)  # first: it marks the folder as a report of bench's
    names = file_names(
        [start for point in comparison.points for start in (*point.starts, *point.failed, *point.invalid)]
    )
    fetched = side_by_side(lambda each: _fetch_logs(*each, folder, fetch), [*names.items()])
    logs = {run_id: found or {} for run_id, found in zip(names, fetched, strict=True)}
    excerpts = {point.label: text for point in comparison.points if (text := _excerpts(point, logs))}
    figures = draw_figures(comparison, folder)
    ours = [METRICS, *(path.name for path in figures)]
    beside = [*ours, *(path.name for found in logs.values() for path in found.values())]
    report = report_of(comparison)
    page = report_html(report, memory_of(comparison, fetch), excerpts, logs, [REPORT, *ours])
    (folder / PAGE).write_text(page, encoding="utf-8")
    (folder / REPORT).write_text(report_markdown(report, excerpts, [PAGE, *beside]), encoding="utf-8")
    return [folder / REPORT, folder / PAGE, *figures, folder / METRICS]


def draw_figures(comparison: Comparison, folder: Path) -> list[Path]:
    """All that this comparison has something for."""
    drawn = [draw(comparison, folder) for draw in (draw_waterfalls, draw_savings, draw_roofline)]
    return [draw_comparison(comparison, folder), *filter(None, drawn)]


def file_names(starts: Sequence[RunRecord]) -> dict[str, str]:
    """A name for the files of each start, by run: its own as far as a file system takes it, and never one twice."""
    names: dict[str, str] = {}
    for start in starts:
        stem = re.sub(r"[^\w.-]+", "_", start.name)[:LONGEST]
        stem = re.sub(r"_excerpts$", "_", stem)  # the ending of another start's file
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        names[start.run_id] = next(name for name in numbered if name.lower() not in map(str.lower, names.values()))
    return names


def _fetch_logs(run_id: str, name: str, folder: Path, fetch: Fetch) -> dict[str, Path]:
    """By the names of its artifacts."""
    kept = {}
    with TemporaryDirectory(dir=folder) as place:
        for artifact, suffix in LOGS.items():
            if found := fetch(run_id, artifact, Path(place)):
                mask_file(found)
                kept[artifact] = found.replace(folder / f"{name}{suffix}")
    return kept


def _excerpts(point: Point, logs: dict[str, dict[str, Path]]) -> str | None:
    found = (logs[start.run_id].get(EXCERPTS) for start in point.starts)
    return next((path.read_text(encoding="utf-8", errors="replace") for path in found if path), None)


def report_markdown(report: Report, excerpts: Mapping[str, str], beside: Sequence[str]) -> str:
    """report.md. `excerpts`: of each point's first start, by label. `beside`: the names of the files in its folder."""
    return render("report.md.j2", report=report, excerpts=excerpts, beside=beside)


def summary_markdown(report: Report) -> str:
    """For the terminal and the sweep's note in MLflow: key metrics, speedups, and which starts failed or are invalid."""
    return render("summary.md.j2", report=report).strip()
