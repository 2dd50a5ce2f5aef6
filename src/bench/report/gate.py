"""compare's gate=: its settings, where its outcome is written, and the exit code."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.comparison import Comparison
from bench.analysis.gate import judge
from bench.errors import BenchError, SettingError
from bench.report.gate_report import gate_lines, junit, junit_of_error, step_summary
from bench.start.metric_types import Metric
from bench.start.metrics import READY, SPEEDUPS, find
from bench.system.output import print_result

GATE = {"gate": "", "gate_metric": READY.name, "junit": ""}
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # a file of the running step, by the environment
LIMIT = re.compile(r"(\d+(?:\.\d+)?) ?(%?)")


@dataclass(frozen=True)
class AskedGate:
    """`limit` None: no gate was asked for."""

    limit: float | None
    metric: Metric
    junit: str

    def judge(self, comparison: Comparison, tables: str) -> None:
        """Print and write the outcome; ends the command with its exit code unless that is 0."""
        if self.limit is None:
            return
        gate = judge(comparison, self.limit, self.metric)
        for line in gate_lines(gate):
            print_result(line)
        if self.junit:
            _write(Path(self.junit), junit(gate))
        if summary := os.environ.get(STEP_SUMMARY):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(step_summary(gate, tables))
        if gate.outcome:
            sys.exit(int(gate.outcome))


@contextmanager
def asked_gate(own: Mapping[str, str]) -> Iterator[AskedGate]:
    """The gate that these settings ask for. Where the block is refused, the JUnit file has the message as an error.

    Raises:
        SettingError: a limit or a metric that cannot be judged, or a JUnit file without a gate.
    """
    metric = find(own["gate_metric"])
    if metric is None or metric.unit != "s":
        times = ", ".join(each.name for each in SPEEDUPS)
        raise SettingError(f"gate_metric={own['gate_metric']}: expected a metric in seconds, like {times}.")
    if metric is not READY and not own["gate"]:
        raise SettingError(f"gate_metric={metric.name}: this has no effect without a gate:  gate=5%")
    if own["junit"] and not own["gate"]:
        raise SettingError(f"junit={own['junit']}: it is the outcome of a gate:  gate=5%")
    gate = AskedGate(_limit(own["gate"]) if own["gate"] else None, metric, own["junit"])
    try:
        yield gate
    except BenchError as error:
        if gate.junit:
            _write(Path(gate.junit), junit_of_error(str(error)))
        raise


def _limit(text: str) -> float:
    """`5%` or `0.05`"""
    found = LIMIT.fullmatch(text)
    value = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not found or value <= 0 or (value >= 1 and not found[2]):
        raise SettingError(f"gate={text}: expected by how much a candidate may be slower, above 0, like 5% or 0.05.")
    return value


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
