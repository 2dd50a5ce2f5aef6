"""What MLproject's entry points execute: the parameters of `mlflow run` become a command of bench.

    python -m bench.mlproject bench --load_format auto,dummy --overrides "repeats=3 completion.prompt='two words'" --max_model_len 128

MLflow appends parameters that MLproject does not name as `--NAME VALUE`. Imports nothing but Python's own library: `--env-manager local`
takes whichever `python` is on the PATH, and this is where it is noticed that bench's packages are missing there.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from bench.errors import SettingError
from bench.system.program import BELOW_MLFLOW_RUN

NEEDED = ("hydra", "mlflow", "numpy", "pydantic", "safetensors", "scipy")
FLAGS = {"bench": ["-m"]}
# Where they are empty, their default in MLproject: what an experiment sets counts.
OMITTED = {"load_format", "tensor_parallel_size", "gpu_memory_utilization", "max_model_len"}
DIVIDED = {"overrides", "logs"}  # several words each
OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""


def main() -> None:
    """Executes the command in this process's place, with this interpreter."""
    module, *given = sys.argv[1:]
    try:
        refuse_empty_environment()
        words = words_of(given)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    os.environ[BELOW_MLFLOW_RUN] = "1"
    os.execv(sys.executable, [sys.executable, "-m", module, *FLAGS.get(module, []), *words])  # noqa: S606  # no shell


def refuse_empty_environment() -> None:
    """
    Raises:
        SettingError: packages that bench needs are missing here.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise SettingError(
            f"{sys.executable} has no {', '.join(missing)}, which bench needs. Activate bench's own environment for"
            " --env-manager local, or let mlflow run make one: --env-manager uv."
        )


def words_of(given: Sequence[str]) -> list[str]:
    """`--NAME VALUE` pairs -> words of a command of bench.

    Raises:
        SettingError: a quote in `overrides` or `logs` is not closed.
    """
    words = list[str]()
    for flag, value in zip(given[::2], given[1::2], strict=True):
        name = flag.removeprefix("--")
        if name in DIVIDED:
            words += divided(name, value)
        elif name in {"config-dir", "config_dir"}:
            words.append(f"--config-dir={value}")
        elif value or name not in OMITTED:
            words.append(f"{name}={value}")
    return words


def divided(name: str, text: str) -> list[str]:
    """Divided at blanks outside of quotes and brackets, which stay: they belong to Hydra's grammar. A word that is in quotes as a whole
    loses them.

    Raises:
        SettingError: a quote is not closed.
    """
    words, quote, depth, is_escaped = [""], "", 0, False
    for letter in text:
        if letter.isspace() and not quote and depth <= 0:
            words.append("")
            continue
        words[-1] += letter
        if is_escaped or letter == "\\":
            is_escaped = not is_escaped
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        else:
            depth += (letter in OPENING) - (letter in CLOSING)
    if quote:
        raise SettingError(f"-P {name}: a quote ({quote}) in it is not closed.")
    return [_unquoted(word) for word in words if word]


def _unquoted(word: str) -> str:
    is_quoted = len(word) > 1 and word[0] in QUOTES and word[-1] == word[0] and word[0] not in word[1:-1]
    return word[1:-1] if is_quoted else word


if __name__ == "__main__":
    main()
