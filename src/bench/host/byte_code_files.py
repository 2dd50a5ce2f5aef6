"""The byte code of the measured environment, made before the first start: by its own interpreter, where Python looks for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.config import Settings
from bench.errors import SettingError, StartError
from bench.host.host import Host, python_variables
from bench.host.short_command import ShortCommandError, script_answer
from bench.system.output import print_message

SCRIPT = Path(__file__).with_name("compile_byte_code.py")
LOOK_TIMEOUT_S = 300.0  # 35,000 files with a cold page cache
COMPILE_TIMEOUT_S = 3600.0
ANSWER_AT_MOST = 1 << 20  # bytes


@dataclass(frozen=True)
class Found:
    """What compile_byte_code.py has found. `lacking`: files without byte code that fits; `broken` of them are no Python of this version."""

    folders: tuple[str, ...]
    lacking: int
    broken: int
    unwritable: tuple[str, ...]  # the first of `unwritables`
    unwritables: int


ANSWER = TypeAdapter(Found)
Environment = tuple[str, tuple[tuple[str, str], ...]]  # the interpreter, and the variables that it gets


def refuse_unwritable(points: Iterable[tuple[Settings, Host]]) -> None:
    """Refuse bytecode=compiled where some is missing and cannot be written.

    Raises:
        SettingError: names the first file, and what can be done.
    """
    for environment in _environments(points):
        found = _look(environment)
        if found and found.unwritables:
            raise SettingError(
                f"bytecode=compiled: {found.unwritables:,} files below {' and '.join(found.folders)} have no byte code that fits, and it cannot be "
                f"written there, as of {found.unwritable[0]}. Have it written by whoever can (python -m compileall), let it be kept elsewhere with "
                "vllm.env.PYTHONPYCACHEPREFIX=FOLDER, or set bytecode=as_is."
            )


def compile_missing(settings: Settings, host: Host) -> None:
    """Makes what is missing for these settings; in one process of bench once for an environment.

    Raises:
        StartError: it could not be made.
    """
    for environment in _environments([(settings, host)]):
        found = _look(environment)
        if found and found.lacking:
            _compile(environment)


def _environments(points: Iterable[tuple[Settings, Host]]) -> list[Environment]:
    """Those whose byte code is to be compiled. What lives in a container is left as it is: another process of it has other files."""
    chosen = [each for each in points if each[0].bytecode == "compiled" and not each[0].vllm.command]
    return [*dict.fromkeys((host.python, python_variables(settings)) for settings, host in chosen)]


@cache
def _look(environment: Environment) -> Found | None:
    """None: it cannot be known, which is printed; each start's own processes report what they found."""
    try:
        return _answer(environment, "look", LOOK_TIMEOUT_S)
    except (OSError, ShortCommandError, ValidationError) as error:
        print_message(f"bytecode=compiled: {environment[0]} could not be asked which byte code it has: {error}")
        return None


@cache
def _compile(environment: Environment) -> None:
    try:
        left = _answer(environment, "compile", COMPILE_TIMEOUT_S)
    except (OSError, ShortCommandError, ValidationError) as error:
        raise StartError(f"bytecode=compiled: {environment[0]} could not compile its packages: {error}") from error
    if left.lacking > left.broken:
        raise StartError(
            f"bytecode=compiled: {left.lacking - left.broken:,} files below {' and '.join(left.folders)} still have no byte code that fits: is the disk full?"
        )


def _answer(environment: Environment, task: str, timeout_s: float) -> Found:
    """
    Raises:
        OSError, ShortCommandError, ValidationError: there is none.
    """
    python, variables = environment
    doing = {"look": "reads", "compile": "compiles"}[task]
    text = script_answer(
        [python, str(SCRIPT), task],
        timeout_s=timeout_s,
        bytes_at_most=ANSWER_AT_MOST,
        environment=dict(variables),
        doing=f"{python} {doing} the byte code of its packages",
    )
    return ANSWER.validate_json(text)
