"""What the measured vLLM takes: its arguments and loaders, by its own parser.

Its interpreter is asked, which imports vLLM and takes some seconds; the answer is kept in the user's cache, under a name for that vLLM: its
place, a digest of the files that decide, its plugins. So the next command, of any folder, takes a tenth of a second.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from bench.host.short_command import ShortCommandError, script_answer
from bench.system.output import print_message
from bench.system.user_cache import user_cache
from bench.system.whole_files import write_whole

SCRIPT = Path(__file__).with_name("print_arguments.py")
# Environment variables on which the list depends.
DECIDE = ("VLLM_PLUGINS", "VLLM_TARGET_DEVICE", "VLLM_USE_V1", "PYTHONPATH", "PYTHONHOME")
STATE_TIMEOUT_S = 60.0
LIST_TIMEOUT_S = 180.0  # with a cold page cache
ANSWER_AT_MOST = 1 << 23  # bytes; vLLM 0.32's has 60,000


@dataclass(frozen=True)
class Argument:
    """An argument of vLLM's server. `name`: where its value goes; aliases share it."""

    options: tuple[str, ...]
    name: str
    form: Literal["switch", "flag", "value"]  # with a --no- form; without a value; with one or several
    nargs: str | None = None  # argparse's; None: one value
    repeats: bool = False  # may come several times, each with a value
    takes: tuple[str, ...] = ()  # of print_arguments.SAMPLES those that its type takes
    choices: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None  # of its JSON; None: any


@dataclass(frozen=True)
class Taken:
    """`loaders`: load format -> words in its loader's code; empty: not known."""

    arguments: tuple[Argument, ...]
    loaders: dict[str, tuple[str, ...]]

    def argument(self, name: str) -> Argument | None:
        """The argument with this long option, its dashes as underscores."""
        return self._by_name().get(name.replace("-", "_"))

    def names(self) -> list[str]:
        """Of all long options, with underscores."""
        return list(self._by_name())

    def short(self, name: str) -> Argument | None:
        """The argument of which this is a short option, as tp of --tensor-parallel-size."""
        return next((each for each in self.arguments if f"-{name}" in each.options), None)

    def _by_name(self) -> dict[str, Argument]:
        long = [(option, each) for each in self.arguments for option in each.options if option.startswith("--")]
        return {option[2:].replace("-", "_"): each for option, each in long}


ANSWER = TypeAdapter(Taken)


def what_vllm_takes(python: str, environment: Mapping[str, str]) -> Taken | None:
    """By the vLLM of this interpreter. None: it cannot be read, which is printed once.

    `environment`: of vLLM's processes.
    """
    return _what_vllm_takes(python, tuple((name, environment.get(name)) for name in DECIDE))


@cache
def _what_vllm_takes(python: str, decides: tuple[tuple[str, str | None], ...]) -> Taken | None:
    environment = os.environ | {name: value for name, value in decides if value is not None}
    try:
        state = _answer(python, "state", environment, STATE_TIMEOUT_S)
        place = _place(f"{python}\n{state}\n{decides}\n{SCRIPT.read_text(encoding='utf-8')}")
        if (found := _read(place)) is not None:
            return found
        text = _answer(python, "arguments", environment, LIST_TIMEOUT_S)
        found = ANSWER.validate_json(text)
    except (OSError, ShortCommandError, ValidationError) as error:
        why = "its answer is no list" if isinstance(error, ValidationError) else error
        print_message(
            f"vllm.python={python}: what this vLLM takes could not be read ({why}). Its arguments are checked by itself, when it starts."
        )
        return None
    with suppress(OSError):  # the next command asks again
        write_whole(place, text)
    return found


def _answer(python: str, question: str, environment: Mapping[str, str], timeout_s: float) -> str:
    """
    Raises:
        OSError, ShortCommandError: there is none.
    """
    return script_answer(
        [python, str(SCRIPT), question],
        timeout_s=timeout_s,
        bytes_at_most=ANSWER_AT_MOST,
        environment=environment,
        doing=f"{python} imports its vLLM, to list what it takes: once for this vLLM",
    )


def _folder() -> Path:
    return user_cache() / "vllm_arguments"


def _place(identity: str) -> Path:
    """In the user's cache: it is the same for every folder in which bench is used."""
    return _folder() / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"


def last_answer() -> Taken | None:
    """What the vLLM takes that was asked last, by whichever command: of the tab key, which cannot wait for an interpreter. None: none was."""
    places = sorted(_folder().glob("*.json"), key=lambda place: place.stat().st_mtime)
    return _read(places[-1]) if places else None


def _read(place: Path) -> Taken | None:
    """None: there is none, or it is damaged."""
    try:
        return ANSWER.validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None
