"""Sweeps of the real vLLM on this host's CPU, as a user would start them, and what is read of them."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.vllm.probe_events import read_events
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from conftest import Done, Workplace

PATIENCE_S = 1800.0


@dataclass(frozen=True)
class Swept:
    """A sweep that is over, and the processes that it left."""

    place: Workplace
    done: Done
    left: set[int]

    def runs(self, kind: str, status: str = "FINISHED"):
        return {
            run.data.params.get("load_format", kind): run
            for run in self.place.runs()
            if run.data.tags["bench.kind"] == kind and run.info.status == status
        }


def processes_in(folder: Path) -> set[int]:
    """By their working directory: vLLM's processes wipe their environment with the title that they give themselves."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink() == folder:
                found.add(int(path.parent.name))
    return found


def sweep(folder: Path, *overrides: str, **who: object) -> Swept:
    """`python -m bench -m …`, eager, since compiling takes most of a CPU start and says nothing about loading."""
    command = [
        sys.executable,
        "-m",
        "bench",
        "-m",
        "vllm.args.enforce_eager=true",
        "rig.wait_s=0",
        "report=false",
        *overrides,
    ]
    mine = who.pop("env", os.environ)
    environment = {name: value for name, value in mine.items() if not name.startswith("MLFLOW_")}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **who
    )
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    return Swept(Workplace(folder), done, processes_in(folder))


def probed(swept: Swept) -> dict[str, ProbeReport]:
    """What the probe wrote in each start that finished, by load format."""
    folders = {
        json.loads((folder / "settings.json").read_text())["load_format"]: folder / "probe"
        for folder in (path.parent for path in swept.place.folder.rglob("startup.json"))
        if json.loads((folder / "startup.json").read_text())["tags"]["bench.kind"] == "start"
    }
    return {name: read_events(folders[name], 0.0) for name in swept.runs("start")}


def bytes_of_tensors(path: Path) -> int:
    """A safetensors file without its header."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - int.from_bytes(file.read(8), "little")


def delivered(process: ProbeProcess) -> int:
    return sum(span.facts.delivered_bytes or 0 for span in process.spans)
