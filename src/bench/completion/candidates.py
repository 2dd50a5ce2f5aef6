"""The words that can stand where the cursor is."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.system.program import MODULES

if TYPE_CHECKING:
    from bench.host.vllm_arguments import Argument

SHELLS = ("bash", "zsh", "fish")
FLAGS = {"run": ("-m", "--config-dir=", "--cfg", "--help", "--version"), "replay": ("--explain", "--help", "--version")}
EVERY = ("--config-dir=", "--help", "--version")
OFFERED_SWEEPS = 20
PLACEHOLDER = "NAME"  # the user's own, behind a dot


def candidates(words: Sequence[str]) -> list[str]:
    """`words` behind `bench`, the last of which is the one that is typed, empty where none is begun."""
    *before, word = words
    if not before:
        return _beginning(word, [*MODULES, "completion", "--help", "--version"])
    command = before[0]
    if command == "completion":
        return _beginning(word, SHELLS) if len(before) == 1 else []
    if command not in MODULES:
        return []
    if word.startswith("-"):
        return _beginning(word, FLAGS.get(command, EVERY))
    name, equals, value = word.partition("=")
    if not equals:
        return _by_level(word, _names(command, word))
    *listed, last = value.split(",")
    head = f"{name}={''.join(f'{each},' for each in listed)}"
    return [head + each for each in _beginning(last, _values(command, name, before)) if each not in listed]


def left_of_break(word: str) -> str:
    """What of a word stands left of bash's last break in it."""
    found = re.match(r".*[=:]", word)
    return found[0] if found else ""


def _beginning(word: str, every: Sequence[str]) -> list[str]:
    return [each for each in every if each.startswith(word)]


def _by_level(word: str, names: Iterator[str]) -> list[str]:
    """Names up to their next dot, so that a section is one word until it is entered; whole ones end in =."""
    level = word.count(".") + 1
    found = (".".join(name.split(".")[:level]) + ("." if name.count(".") >= level else "=") for name in names)
    return sorted({each for each in found if each.startswith(word) and not each.endswith(f"{PLACEHOLDER}=")})


def _names(command: str, word: str) -> Iterator[str]:
    from bench.cli import TAKES
    from bench.overrides.setting_names import FREE, GROUPS, names, sections

    own = _own(command)
    yield from own
    is_start = command in {"run", "prepare"}
    taken = (*TAKES, *{"compare": ("cost",), "predict": ("storage",)}.get(command, ()))
    for name in dict.fromkeys((*names(), *GROUPS)):
        part_of = name.partition(".")[0]
        if name not in sections() and part_of != "sweep" and (is_start or part_of in taken):
            yield name
    if is_start:
        yield from (f"{free}.{PLACEHOLDER}" for free in FREE)
        yield from (f"vllm.args.{name}" for name in (_vllm() if word.startswith("vllm.args.") else ()))


def _own(command: str) -> tuple[str, ...]:
    """The command's own settings."""
    if command == "compare":
        from bench.compare import OWN

        return (*OWN, f"where.{PLACEHOLDER}")
    if command == "predict":
        return ("sweep", "measured", "latency_ms")
    return {"prepare": ("remake",), "replay": ("start", f"point.{PLACEHOLDER}")}.get(command, ())


def _values(command: str, name: str, before: Sequence[str]) -> Sequence[str]:
    """Those that are known; none for a text or a number."""
    from bench.overrides.setting_names import GROUPS, allowed, choices

    if name in GROUPS:
        return choices(name, _config_dir(before))
    if (command, name) in {("compare", "sweep"), ("predict", "sweep"), ("predict", "measured")}:
        return _sweeps(before)
    if command == "compare" and name == "gate_metric":
        from bench.start.metrics import CATALOGUE

        return [each.name for each in CATALOGUE if each.speedup]
    if name == "remake":
        return ("true", "false")
    if name.startswith("vllm.args."):
        argument = _vllm().get(name.removeprefix("vllm.args.").replace("-", "_"))
        return () if argument is None else argument.choices or (("true", "false") if argument.form != "value" else ())
    return allowed(name)


def _config_dir(before: Sequence[str]) -> Path | None:
    folders = [word.partition("=")[2] for word in before if word.startswith("--config-dir=")]
    return Path(folders[-1]) if folders else None


def _sweeps(before: Sequence[str]) -> list[str]:
    """Of a SQLite store, read without MLflow, whose import takes seconds; a server is not asked."""
    from bench.tracking.address import default_uri
    from bench.tracking.recent import recent_sweeps

    typed = [word.partition("=")[2] for word in before if word.startswith("tracking.uri=")]
    return ["latest", "previous", *recent_sweeps(typed[-1] if typed else default_uri(), OFFERED_SWEEPS)]


def _vllm() -> "dict[str, Argument]":
    """The arguments of the vLLM that was asked last, by the names that they have in vllm.args."""
    from bench.host.vllm_arguments import last_answer

    taken = last_answer()
    return {} if taken is None else {name: found for name in taken.names() if (found := taken.argument(name))}
