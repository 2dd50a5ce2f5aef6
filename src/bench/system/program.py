"""How bench was called, so that the commands which it prints work when they are pasted; and which bench this is."""

import os
import re
import shlex
import shutil
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# A command -> the module that `python -m` executes for it.
MODULES = {
    "run": "bench",
    "compare": "bench.compare",
    "predict": "bench.predict",
    "prepare": "bench.prepare",
    "replay": "bench.replay",
}
COMMANDS = {module: command for command, module in MODULES.items()}
# A command as it is written in bench's texts.
WRITTEN = re.compile(r"(?<![\w/.-])python -m (bench(?:\.(?:compare|predict|prepare|replay))?)(?![\w.])")
BESIDE = {"Hydra": "hydra-core", "MLflow": "mlflow"}  # whose versions a bug report needs
BELOW_MLFLOW_RUN = "BENCH_BELOW_MLFLOW_RUN"  # set by bench.mlproject

_script: list[str] = []  # the console script, where bench was called by it


def called_by_script(path: str) -> None:
    """From now on commands are written as those of the console script at this path."""
    _script[:] = [path]


def as_typed(text: str) -> str:
    """A text with the commands in it as they work in this shell: `bench compare` for `python -m bench.compare` where the console script was
    called, and the interpreter's path where it is not the one that is called python.
    """
    return WRITTEN.sub(lambda found: _typed(found[1]), text)


def _typed(module: str) -> str:
    if is_below_mlflow_run():
        return f"{shlex.quote(sys.executable)} -m {module}"
    if _script:
        return f"{on_path(_script[0])} {COMMANDS[module]}"
    return f"{on_path(str(Path(sys.executable).with_name('python')), sys.executable)} -m {module}"


def is_below_mlflow_run() -> bool:
    """Whether the shell in which printed commands are pasted has neither this PATH nor these variables."""
    return BELOW_MLFLOW_RUN in os.environ


@cache
def on_path(program: str, otherwise: str = "") -> str:
    """How a shell in this folder executes this program: by its name, if that is the one which is found; else by its path, or `otherwise`'s."""
    path, found = Path(program), shutil.which(Path(program).name)
    if found and os.path.realpath(Path(found).parent) == os.path.realpath(path.parent):
        return path.name
    path = Path(otherwise or program).absolute()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def version_line(bench: str) -> str:
    """`bench` is its own version."""
    python = ".".join(map(str, sys.version_info[:3]))
    others = [f"{name} {found}" for name, package in BESIDE.items() if (found := _version(package))]
    return ", ".join([f"bench {bench}", f"Python {python}", *others])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
