"""Whole sweeps with the fake vLLM, as several test modules look at them: their model, their runs, their report."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import compare as compare_command
from command_line import call_command
from conftest import Done, Workplace

if TYPE_CHECKING:
    from mlflow.entities import Run

MIB = 1024**2
PARENT = "mlflow.parentRunId"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a tmpfs is what is wanted
RECORDED = Path(__file__).parent / "logs" / "cpu-vllm0.32.0" / "auto-tp1-compile.log"
NO_PROCESS = 2**22  # no process has a number beyond it, so nobody else's counter is taken for vLLM's


def with_a_model(place: Workplace) -> Workplace:
    """Weights of the user's own, in two files; what is in them is nobody's business here."""
    folder = place.folder / "mine"
    folder.mkdir()
    for number in range(2):
        (folder / f"model-{number}.safetensors").write_bytes(os.urandom(8 * MIB))
    (folder / "config.json").write_text("{}")
    return place


MINE = ("model=hf", "model.path=mine")


def eager_log(folder: Path) -> Path:
    """A recorded start that says nothing of compiling, by processes that there are not."""
    lines = [line for line in RECORDED.read_text().splitlines(keepends=True) if "torch_compile_cache" not in line]
    path = folder / "eager.log"
    path.write_text(re.sub(r"pid=(\d+)", lambda found: f"pid={NO_PROCESS + int(found[1])}", "".join(lines)))
    return path


def quiet_start(place: Workplace) -> dict[str, str]:
    """The environment in which the fake plays that log, whatever the settings say: it is no setting of the start."""
    return {"FAKE_LOG": str(eager_log(place.folder))}


def sweep_of(place: Workplace) -> "Run":
    (found,) = (run for run in place.runs() if run.data.tags["bench.kind"] == "sweep")
    return found


def starts_of(place: Workplace) -> "list[Run]":
    return [run for run in place.runs() if PARENT in run.data.tags]


def reported(place: Workplace) -> str:
    """The report of its latest sweep."""
    done = call_command(place, compare_command.main)
    assert done.code == 0 or "nothing to compare" in done.err, done.err
    (path,) = place.folder.glob("benchmark_results/*/report.md")
    return path.read_text()


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def columns(text: str) -> list[str]:
    """The points of every table of means."""
    return re.findall(r"^\| Metric \| (.*) \|$", section(text, "Key Metrics"), re.MULTILINE)


@dataclass(frozen=True)
class Swept:
    """A sweep that is over."""

    place: Workplace
    done: Done
    starts: "list[Run]"
    report: str

    def start(self, point: str) -> "Run":
        (found,) = (run for run in self.starts if run.data.tags["bench.point"] == point)
        return found


def swept(place: Workplace, *words: str, environment: dict[str, str] | None = None) -> Swept:
    done = place.bench("-m", *words, environment=environment)
    return Swept(place, done, starts_of(place), reported(place))
