"""`mlflow run`: the project's own run becomes the sweep's, and every parameter arrives as it was given."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from bench.mlproject import words_of
from command_line import opened, uri
from conftest import FAKE, Done, Workplace, ended

if TYPE_CHECKING:
    from mlflow.entities import Run

CHECKOUT = Path(__file__).parents[1]
EXPERIMENT = "projects"
PARENT = "mlflow.parentRunId"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["--load_format", "auto,dummy", "--overrides", "seed=1 aa=true"],
            ["load_format=auto,dummy", "seed=1", "aa=true"],
        ),
        (["--load_format", "", "--overrides", "", "--experiment", "mine"], ["experiment=mine"]),
        (["--overrides", "completion.prompt='two words' seed=1"], ["completion.prompt='two words'", "seed=1"]),
        (["--overrides", "'completion.prompt=two words'"], ["completion.prompt=two words"]),
        (["--overrides", "vllm.args={a: 1, b: [2, 3]} x=1"], ["vllm.args={a: 1, b: [2, 3]}", "x=1"]),
        (["--overrides", r"completion.prompt='it\'s so'"], [r"completion.prompt='it\'s so'"]),
        (
            ["--logs", "a.log 'more/*.log' point.x='b c.log'", "--overrides", ""],
            ["a.log", "more/*.log", "point.x='b c.log'"],
        ),
        (
            ["--tensor_parallel_size", "2", "--gpu_memory_utilization", "", "--max_model_len", ""],
            ["tensor_parallel_size=2"],
        ),
        (["--config-dir", "/mine", "--tensor_parallel_size", "-1"], ["--config-dir=/mine", "tensor_parallel_size=-1"]),
    ],
)
def test_parameters_become_words_of_a_command(given, words):
    """Each one a setting; those in `overrides` divided at blanks, but not in quotes and brackets, which are Hydra's."""
    assert words_of(given) == words


def test_every_parameter_of_an_entry_point_is_in_its_command():
    """MLflow hands over what the command names, and appends the rest; the environment that it makes has all that bench needs."""
    project = yaml.safe_load((CHECKOUT / "MLproject").read_text())
    environment = yaml.safe_load((CHECKOUT / project["python_env"]).read_text())

    for name, entry in project["entry_points"].items():
        assert f"-m bench.mlproject bench{'' if name == 'main' else f'.{name}'} " in entry["command"]
        assert re.findall(r"--(\w+) \{\1\}", entry["command"]) == list(entry["parameters"])
    assert environment["dependencies"] == ["."]


def test_an_environment_without_bench_s_packages_is_refused_in_a_sentence():
    """Whichever is active, for --env-manager local."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "bench.mlproject", "bench", "--load_format", "auto"],
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "has no hydra, mlflow, numpy, pydantic, safetensors, scipy, which bench needs." in done.stderr
    assert "let mlflow run make one: --env-manager uv." in done.stderr
    assert len(done.stderr.splitlines()) == 1


@dataclass(frozen=True)
class Ran:
    """A project that was run, and what MLflow held then."""

    place: Workplace
    project: Path
    done: Done
    runs: "list[Run]"

    @property
    def sweep(self) -> "Run":
        (sweep,) = (run for run in self.runs if run.data.tags.get("bench.kind") == "sweep")
        return sweep


def mlflow_run(place: Workplace, project: Path, *words: str) -> Done:
    command = ("mlflow", "run", ".", "--env-manager", "local", "--experiment-name", EXPERIMENT, *words)
    return ended(opened(place, *command, folder=project, environment={"MLFLOW_TRACKING_URI": uri(place)}))


@pytest.fixture(scope="module")
def main(new_workplace: Callable[[], Workplace]) -> Ran:
    """Two load formats, and overrides with a star that a shell must not touch."""
    place = new_workplace()
    project = place.folder / "project"
    for name in ("conf", "src"):
        shutil.copytree(CHECKOUT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("MLproject", "python_env.yaml"):
        shutil.copy(CHECKOUT / name, project)
    as_is = "page_cache=as_is compile_cache=as_is"  # the recorded logs that the fake plays were made in another state
    overrides = f"vllm.python={FAKE} {as_is} rig.wait_s=0 vllm.args.chat_template=* completion.prompt='two words'"
    settings = ("-P", "load_format=auto,safetensors", "-P", "max_model_len=1024")
    done = mlflow_run(place, project, *settings, "-P", f"overrides={overrides}")
    return Ran(place, project, done, place.runs(EXPERIMENT))


@pytest.fixture(scope="module")
def compared(main: Ran) -> Ran:
    """The project's second entry point, on what the first has left."""
    done = mlflow_run(main.place, main.project, "--entry-point", "compare")
    return Ran(main.place, main.project, done, main.place.runs(EXPERIMENT))


def test_the_run_of_the_project_is_the_sweep(main):
    """One run, FINISHED, opened by MLflow and adopted by bench: a second one beside it would be empty."""
    assert main.done.code == 0, main.done.err
    (project,) = (run for run in main.runs if run.data.tags.get("mlflow.source.type") == "PROJECT")

    assert project.info.run_id == main.sweep.info.run_id
    assert project.info.status == "FINISHED"
    assert [run for run in main.runs if PARENT not in run.data.tags] == [project]


def test_the_starts_are_below_the_run_of_the_project(main):
    """In its experiment, whatever tracking.experiment says: MLflow shows no child of another experiment."""
    starts = [run for run in main.runs if run.data.tags.get("bench.kind") == "start"]

    assert [run.data.tags[PARENT] for run in starts] == [main.sweep.info.run_id] * 2
    assert {run.info.status for run in starts} == {"FINISHED"}
    assert main.place.runs("bench") == []


def test_the_parameters_arrive_as_they_were_given(main):
    """Commas are values, blanks divide overrides outside of quotes, a star is a star, and any setting is a parameter."""
    starts = [run for run in main.runs if PARENT in run.data.tags]

    assert {run.data.params["load_format"] for run in starts} == {"auto", "safetensors"}
    assert {run.data.params["max_model_len"] for run in starts} == {"1024"}
    assert {run.data.params["vllm.args.chat_template"] for run in starts} == {"*"}
    assert {run.data.params["completion.prompt"] for run in starts} == {"two words"}


def test_the_project_keeps_its_own_parameters(main):
    """Those that MLflow wrote for `mlflow run`, beside those of the sweep."""
    params = main.sweep.data.params

    assert params["load_format"] == "auto,safetensors"
    assert params["points"] == "2"
    assert params["repeats"] == "1"


def test_the_entry_point_compare_reports_the_latest_sweep(compared):
    """Into the project's folder and into the sweep's run."""
    assert compared.done.code == 0, compared.done.err
    (folder,) = (compared.project / "benchmark_results").iterdir()

    assert folder.name == compared.sweep.data.tags["bench.sweep"]
    assert "| Metric | auto | safetensors |" in (folder / "report.md").read_text()
    assert "report/report.md" in compared.place.artifacts(compared.sweep)
    assert compared.sweep.data.metrics["speedup ready_s/safetensors"] > 0


def test_the_report_leaves_the_sweep_as_it_was(compared, main):
    """The run that MLflow opens for the entry point is another one, and no sweep."""
    assert compared.sweep.info.run_id == main.sweep.info.run_id
    assert compared.sweep.info.status == "FINISHED"
    assert len([run for run in compared.runs if PARENT in run.data.tags]) == 2
