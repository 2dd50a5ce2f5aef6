"""What tests share: the fake vLLM, and a place of its own for each whole run of bench."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.compose import compose_settings
from bench.masking import register

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Run

    from commands import Command, Preloaded

FAKE = Path(__file__).parent / "fake_vllm" / "python"
PATIENCE_S = 120.0  # for what takes a second or two; only a hopelessly slow host, or a bug, uses it up
# Of the environment that tests happen to run in.
FOREIGN = ("MLFLOW_", "VLLM_", "FAKE_", "BENCH_", "HYDRA_", "HF_", "OTEL_")
MARK = "BENCH_TEST_MARK"
CACHE = {"BENCH_CACHE_DIR": "."}  # checkpoints and compile caches of a test lie in its own folder
os.environ.update(CACHE)  # before tests are collected, since some compose settings in their parameters


def own_environment() -> dict[str, str]:
    """That of a command of bench, without what the test run happens to have."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | CACHE


def cut_name(*overrides: str) -> str:
    """The name of the checkpoint that is cut for these settings: a digest of what it is cut from is in it."""
    (settings,) = compose_settings(["load_format=sharded_state", *overrides])
    return Path(settings.checkpoint_path).name


@dataclass(frozen=True)
class Done:
    """A `python -m bench …` that is over."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Workplace:
    """A folder with an MLflow store in it, as a user would have it. `mark` tells this place's processes from all others."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def launch(
        self, *overrides: str, python: tuple[str, ...] = (), environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """`python -m bench …` with the fake vLLM, running: executed, with all its imports, and its figures rendered."""
        return subprocess.Popen(
            [sys.executable, *python, "-m", "bench", *overrides, *fake_for(overrides)],
            cwd=self.folder,
            env=own_environment() | {MARK: self.mark} | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *overrides: str, environment: dict[str, str] | None = None) -> "Command":
        """The same without its imports, forked from a process that has them."""
        from commands import command, shared

        return command(shared(), self, "bench", *overrides, *fake_for(overrides), environment=environment)

    def bench(self, *overrides: str, python: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> Done:
        """`python -m bench …` with the fake vLLM, to its end. Executed where Python is given flags, else without its imports."""
        if python:
            return ended(self.launch(*overrides, python=python, environment=environment))
        return self.start(*overrides, environment=environment).done()

    def living(self) -> list[int]:
        """Every process that was started from here and is still there, whatever became of its parents and its session."""
        return living(self.mark)

    def logs(self) -> list[Path]:
        """What vLLM has printed so far, of each start in which it has printed anything."""
        return [path for path in self.folder.glob("*/*/**/vllm.log") if path.stat().st_size]

    def runs(self, experiment: str = "bench") -> list["Run"]:
        """The store's runs, the oldest first."""
        with quiet():
            client = mlflow_client(self.folder)
            found = client.get_experiment_by_name(experiment)
            return client.search_runs([found.experiment_id], order_by=["start_time"]) if found else []

    def artifacts(self, run: "Run") -> dict[str, bytes]:
        """A run's files, by their path below its artifacts."""
        root = Path(run.info.artifact_uri.removeprefix("file://"))
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def fake_for(overrides: tuple[str, ...]) -> list[str]:
    """Behind the rest: Hydra wants all overrides in a row, behind its flags.

    The fake plays recorded logs, so it cannot fill a cache: what they say of compiling is left as it is. And whatever
    else this host does meanwhile, it is neither waited for nor a warning. A sweep's report costs seconds: tests of it ask for it.
    """
    given = {override.partition("=")[0] for override in overrides}
    defaults = {
        "vllm.python": str(FAKE),
        "compile_cache": "as_is",
        "bytecode": "as_is",
        "verify": "false",
        "report": "false",
        "storage_limit": "false",
        "rig.wait_s": "0",
        "rig.busy_cores_at_most": "1",
        "rig.others_io_at_most_gib_per_s": "1000",
        "rig.memory_pressure_at_most": "1",
    }
    return [f"{name}={value}" for name, value in defaults.items() if name not in given]


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, out, err)


def living(mark: str) -> list[int]:
    """Processes that have this mark in their environment, which every child inherits. Zombies have none any more."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # somebody else's, or it ended meanwhile
            if f"{MARK}={mark}".encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def until(condition: Callable[[], object]) -> None:
    """Wait for it, and fail where it does not come."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.05)


def mlflow_client(folder: Path):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


def quiet() -> warnings.catch_warnings:
    """MLflow's own warnings are not errors of ours."""
    return warnings.catch_warnings(action="ignore")


def end_all(mark: str) -> None:
    """What a failed test has left behind."""
    for process in living(mark):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def _signals_of_a_terminal() -> None:
    """A shell's background job, and what runs under nohup, ignores INT, QUIT and HUP, and passes that on to each command that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What bench keeps of a vLLM is kept in the user's cache; matplotlib's fonts stay where they are, since listing them takes seconds."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _activated() -> None:
    """In an environment that is activated `python` is its interpreter, and commands are printed so."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """The register of secrets is a process's, and tests share one."""
    yield
    register.forget_all()


@pytest.fixture
def fake() -> str:
    """The interpreter of an environment in which a fake vLLM is installed: `vllm.python`."""
    return str(FAKE)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and no experiment of ours. Creating one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("store")
    with quiet():
        mlflow_client(folder).search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def new_workplace(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Callable[[], Workplace]]:
    """Makes workplaces, for runs that several tests look at."""
    made: list[Workplace] = []

    def make() -> Workplace:
        made.append(Workplace(tmp_path_factory.mktemp("workplace")))
        shutil.copy(empty_store, made[-1].folder)
        return made[-1]

    yield make
    for each in made:
        end_all(each.mark)


@pytest.fixture
def workplace(new_workplace: Callable[[], Workplace], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace of one test, which runs in it."""
    place = new_workplace()
    monkeypatch.chdir(place.folder)
    return place


@pytest.fixture(scope="session")
def preloaded() -> "Preloaded":
    """A process that forks commands of bench."""
    from commands import shared

    return shared()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> "list[Figure]":
    """The figures of a comparison that are made while the test runs, in their order."""
    from bench.report import comparison_figures

    made: list[Figure] = []
    make = comparison_figures.figure
    monkeypatch.setattr(comparison_figures, "figure", lambda *size: made.append(make(*size)) or made[-1])
    return made
