"""Settings -> the exact command and environment of one start of vLLM, with the probe in it. Pure, but for the probe's folder."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.host.container import HOST, listens_at, words_of
from bench.host.host import Host
from bench.host.rehearsal import PROBE as PROBE_FOLDER
from bench.masking import masked_json, masked_value

CHECKSUMS = "BENCH_PROBE_CHECKSUMS"  # as in bench_probe/checksums.py
OF_JSON = {"allowed_origins", "allowed_methods", "allowed_headers"}  # lists that are one word
REPEATED = {"middleware"}  # a list of which each value has the option before it
# How each entry point of vLLM's server is executed: the module behind `python -m`, and the words behind that.
ENTRYPOINTS = {"serve": ("vllm.entrypoints.cli.main", "serve"), "module": ("vllm.entrypoints.openai.api_server",)}
PROBE = "probe"  # in the start's folder: what the probe wrote


@dataclass(frozen=True)
class Command:
    """What is executed. `environment` holds only what is set on top of the driver's own. `behind`: the template of the command that it is
    started behind, `places` the values of its placeholders.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    port: int
    behind: str | None = None
    places: dict[str, str] = field(default_factory=dict)

    def words(self, environment: Mapping[str, str]) -> list[str]:
        """All that is executed, with the words of a template that it is started behind, which may pass these variables."""
        return [*(words_of(self.behind, self.places, environment) if self.behind else ()), *self.arguments]

    def shown(self) -> str:
        """The command as a shell would take it, for output and params: variables, secrets masked, and arguments."""
        variables = [f"{name}={masked_value(name, value)}" for name, value in sorted(self.environment.items())]
        masked = {name: masked_value(name, value) for name, value in self.environment.items()}
        return " ".join(map(_quoted, [*variables, *masked_words(self.words(masked))]))


def masked_words(options: Sequence[str]) -> Iterator[str]:
    """Each argument, `***` where it is a value of a secret's option, which may have several."""
    name = ""
    for word in options:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            yield f"--{name}={_shown(name, value)}" if equals else word
        else:
            yield _shown(name, word)


def _shown(name: str, word: str) -> str:
    try:
        tree = json.loads(word) if word[:1] in {"{", "["} else None
    except (ValueError, RecursionError):  # a text that begins like JSON, as a chat template does
        tree = None
    return masked_value(name, word) if tree is None else json.dumps(masked_json(tree, name))


def _quoted(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name}={shlex.quote(value)}" if equals and name.isupper() else shlex.quote(word)


def command_for(settings: Settings, host: Host, port: int, variables: Mapping[str, str] | None = None) -> Command:
    """vLLM's server with these settings on this host. Where several decide something, the settings win.

    `variables` are those that move vLLM's compile and JIT caches.
    """
    model = settings.checkpoint_path
    options: dict[str, Any] = {
        "host": listens_at(settings.vllm.command) if settings.vllm.command else HOST,
        "port": port,
        "load_format": settings.load_format.name,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "max_model_len": settings.max_model_len,
        "model_loader_extra_config": {
            name: value for name, value in settings.load_format.extra.items() if value is not None
        },
        **host.needs.arguments,
        **settings.arguments,
    }
    environment = {"VLLM_NO_USAGE_STATS": "1", **host.needs.environment, **(variables or {})}
    environment |= as_environment(settings.load_format.env) | as_environment(settings.vllm.env)
    named = ["--model", model] if host.entrypoint == "module" else [model]
    arguments = (host.python, "-m", *ENTRYPOINTS[host.entrypoint], *named, *as_arguments(options))
    places = {
        "port": str(port),
        "model": model,
        "caches": str(Path(settings.caches_dir).absolute()),
        "probe": str(PROBE_FOLDER),
    }
    return Command(arguments, environment, port, settings.vllm.command, places)


def served_name(settings: Settings) -> str:
    """The name by which requests call the model: the first of `--served-model-name`, else the checkpoint's path."""
    given = settings.arguments.get("served_model_name")
    first = next(iter(given), None) if isinstance(given, list) else given
    return settings.checkpoint_path if first is None else str(first)


def as_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """`enforce_eager: True` becomes `--enforce-eager`, False its `--no-` form, None nothing, a dict JSON, a list several words, each dict
    and list in it JSON.
    """
    options: list[str] = []
    for name, value in arguments.items():
        if value is None or value == {}:
            continue
        above, dot, below = name.partition(".")  # as vLLM takes a key of JSON: --hf-overrides.rope_theta
        flag = f"{above.replace('_', '-')}{dot}{below}"
        match value:
            case True:
                options.append(f"--{flag}")
            case False:
                options.append(f"--no-{flag}")
            case dict():
                options += [f"--{flag}", json.dumps(value)]
            case list() if above in OF_JSON:
                options += [f"--{flag}", json.dumps(value)]
            case list() if above in REPEATED:
                options += [word for each in value for word in (f"--{flag}", _word(each))]
            case list():
                options += [f"--{flag}", *map(_word, value)]
            case _:
                options += [f"--{flag}", str(value)]
    return options


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def as_environment(values: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables as text. True and False become 1 and 0, as vLLM reads them; None is left out."""
    return {
        name: str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if value is not None
    }


def with_probe(command: Command, folder: Path, *, checksums: bool = False) -> Command:
    """The same command, whose environment loads the probe into every process of vLLM; nothing is installed. Each process writes what it
    measures to a file of its own in `folder`, which is made; with `checksums`, each rank those of all that it has loaded.
    """
    folder.mkdir(exist_ok=True)
    inherited = command.environment if command.behind else os.environ | command.environment
    environment = {
        "BENCH_PROBE": "1",
        "BENCH_PROBE_DIR": str(folder.resolve()),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROBE_FOLDER), inherited.get("PYTHONPATH")])),
    }
    if plugins := inherited.get("VLLM_PLUGINS"):  # an allow-list
        environment["VLLM_PLUGINS"] = f"{plugins},bench_probe"
    environment |= {CHECKSUMS: "1"} if checksums else {}
    return replace(command, environment=command.environment | environment)
