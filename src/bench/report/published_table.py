"""The table of all published results, made from their JSON alone. Pure, but for reading it."""

import os
import re
from collections import Counter
from pathlib import Path

from bench.config import AS_IS
from bench.errors import OwnershipError
from bench.host.device import names_in
from bench.host.storage_facts import BDI_READ_AHEAD, LIMIT, NAME, NO_LIMIT, READ_AHEAD
from bench.report.metrics_json import ReadMetrics, ReadSpeedup, read_metrics
from bench.report.scope import CPU, GPU, VLLM
from bench.report.tables import Cell, Row, Table
from bench.report.templating import render
from bench.start.metric_types import Metric
from bench.start.metrics import LOAD_WEIGHTS, PROBE_LOAD_WEIGHTS, READY

STARTS = "starts.tar.zst"
PUBLISHED_NAME = re.compile(r"[a-z][\w.-]*")  # a sweep's own folder begins with its date
FIRST_LINE = b"# Published results"
HEADINGS = ("Result", "Machine", "vLLM", "Storage", "Starts", "Time to ready, baseline / candidate", "Loading weights")


def refuse_foreign_table(folder: Path) -> None:
    """Refuse to write the table over a README.md that is not one.

    Raises:
        OwnershipError: names it.
    """
    path = folder / "README.md"
    if not os.path.lexists(path):
        return
    is_table = path.is_file() and not path.is_symlink() and path.read_bytes().startswith(FIRST_LINE)
    if not is_table:
        raise OwnershipError(f"{path} is not bench's table, so it is not written over. Choose another folder:  output=")


def published_table(folder: Path) -> str:
    """README.md of `folder`: a row for each published result below it."""
    found = sorted(path.parent for path in folder.glob(f"*/{STARTS}"))
    table = Table(HEADINGS, tuple(_row(path.name, read_metrics(path)) for path in found), numeric=False)
    return render("published.md.j2", archive=STARTS, table=table)


def _row(name: str, metrics: ReadMetrics) -> Row:
    texts = (
        _machine(metrics.conditions),
        ", ".join(metrics.conditions.get(VLLM, ["unknown"])),
        _storage(metrics.conditions),
        ", ".join(f"{label} {point.n}" for label, point in metrics.points.items()),
        _ratios(metrics, READY),
        _ratios(metrics, PROBE_LOAD_WEIGHTS) or _ratios(metrics, LOAD_WEIGHTS),
    )
    return Row(f"[{metrics.title}]({name}/report.md)", tuple(map(Cell, texts)))


def _machine(conditions: dict[str, list[str]]) -> str:
    """The GPUs of a start, counted; the CPU of a host without any."""
    if GPU not in conditions:
        return ", ".join(conditions.get(CPU, ["unknown"]))
    return " or ".join(
        ", ".join(f"{count} x {name}" for name, count in Counter(names_in(text)).items()) for text in conditions[GPU]
    )


def _storage(conditions: dict[str, list[str]]) -> str:
    """What turns a ranking round: read-ahead, and a limit where there is one."""
    known = conditions.get(READ_AHEAD.title) or conditions.get(BDI_READ_AHEAD.title) or []
    read_ahead = [f"read-ahead {value} KiB" for value in known]
    limits = [value for value in conditions.get(LIMIT.title, []) if value != NO_LIMIT]
    emulated = [f"emulated {value}" for value in conditions.get(NAME.title, []) if value != AS_IS]
    return ", ".join([*emulated, *read_ahead, *limits]) or "unknown"


def _ratios(metrics: ReadMetrics, metric: Metric) -> str:
    found = [_ratio(each) for each in metrics.speedups if each.metric == metric.name]
    withheld = [f"{label}: withheld" for label in metrics.withheld] if metric == READY else []
    return "; ".join([*found, *withheld])


def _ratio(speedup: ReadSpeedup) -> str:
    interval = "n = 1" if speedup.low is None else f"{speedup.low:.2f} to {speedup.high:.2f}"
    survivors = ", survivors only" if speedup.survivors_only else ""
    return f"{speedup.candidate}: {speedup.ratio:.2f}x ({interval}{survivors})"
