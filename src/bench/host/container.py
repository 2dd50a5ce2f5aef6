"""The command that vLLM is started behind where it lives in a container, as `docker run … IMAGE`: a template.

bench stays on the host. What a container does not share with it (files, the port, variables) is handed over by the template's own words,
which have placeholders for it.
"""

import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

from bench.errors import SettingError

HOST = "127.0.0.1"  # where bench asks
EVERYWHERE = "0.0.0.0"  # noqa: S104  # where a server must listen whose port is published: it has another loopback
PYTHON = "python3"
PLACEHOLDERS = {
    "port": "of vLLM's server, on the host and in the container",
    "model": "the checkpoint's folder",
    "folder": "of this start: the probe writes there",
    "caches": "the folder of compile and JIT caches",
    "probe": "the folder of bench's plugin, read by Python in the container",
    "env_file": "a file with a line NAME=value for each variable of vLLM, readable by you alone",
    "name": "of a variable: its word is repeated for each of them, with an -e or --env before it",
    "value": "of that variable",
}
OPTIONS = {"-e", "--env"}  # whose value, a variable, may be the next word
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def refuse_template(template: str) -> None:
    """Refuse what cannot be a template, whatever it starts.

    Raises:
        SettingError: quotes that are not closed, or a placeholder that there is not.
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise SettingError(f"vllm.command={template!r}: it cannot be split into words: {error}.") from error
    unknown = {name for word in words for name in PLACEHOLDER.findall(word)} - PLACEHOLDERS.keys()
    if unknown:
        raise SettingError(
            f"vllm.command: there is no placeholder {{{min(unknown)}}}. Those that there are: {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}."
        )
    if any("{value}" in word and "{name}" not in word for word in words):
        raise SettingError("vllm.command: {value} needs {name} in the same word, as in --env={name}={value}.")


def words_of(template: str, places: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """The template's words with their placeholders filled in; what is not in `places` stays as it is. That of a variable comes once for each,
    and so does its option.
    """
    filled: list[str] = []
    words = shlex.split(template)
    for before, word in zip(["", *words], words, strict=False):
        option = [before] if before in OPTIONS and "{name}" in word else []
        del filled[len(filled) - len(option) :]  # it comes again, before each
        for name, value in environment.items() if "{name}" in word else [("", "")]:
            filled += [*option, _filled(word, {**places, "name": name, "value": value})]
    return filled


def _filled(word: str, known: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), word)


def listens_at(template: str) -> str:
    """The address that vLLM's server must listen at."""
    return EVERYWHERE if "{port}" in template else HOST


@contextmanager
def env_file(template: str, environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """The place of a file with these variables, where the template has one, as long as the block runs: a secret is in it.

    Raises:
        SettingError: a variable has a line's end in it, which such a file cannot hold.
    """
    if "{env_file}" not in template:
        yield {}
        return
    for name, value in environment.items():
        if "\n" in value:
            raise SettingError(f"vllm.env.{name}: it has a line's end in it, which a file of variables cannot hold.")
    descriptor, made = mkstemp(prefix="environment-", dir=folder.resolve())  # new, and for this user's eyes
    os.close(descriptor)
    path = Path(made)
    try:
        path.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), encoding="utf-8")
        yield {"env_file": str(path)}
    finally:
        path.unlink(missing_ok=True)


def free_port() -> int:
    """A TCP port without a listener at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
