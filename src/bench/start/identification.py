"""What identifies a start in MLflow, and what it ran on: its name, its params, its tags."""

import hashlib
import json

from bench.config import AS_IS, Settings, blocks_at_most
from bench.host.device import describe_host, describe_source
from bench.host.host import Host, identity
from bench.host.storage import describe_storage
from bench.host.storage_facts import NAME
from bench.start import tags as t
from bench.start.execution import Execution
from bench.vllm.command import Command
from bench.vllm.completion import Answer
from bench.weights.checkpoint import place_of


def params_of(settings: Settings, host: Host, command: Command) -> dict[str, str]:
    """Every setting, with what this host decided where the settings left it open, and the command as it was executed."""
    decided = {f"vllm.args.{name}": value for name, value in host.needs.arguments.items()}
    decided |= {f"vllm.env.{name}": value for name, value in host.needs.environment.items()}
    decided["gpu_memory_utilization"] = decided.pop("vllm.args.gpu_memory_utilization")
    decided["vllm.python"] = host.python
    chosen = settings.flat()
    resolved = {name: str(value) for name, value in decided.items() if chosen.get(name, "None") == "None"}
    return chosen | resolved | {"vllm_command": command.shown()}


def name_of(settings: Settings) -> str:
    """What differs comes first: MLflow cuts names at about 20 characters."""
    storage = f" storage={settings.storage.name}" if settings.storage.is_emulated else ""
    point = settings.sweep.point or settings.load_format.name + storage
    return f"{point} #{settings.sweep.repeat + 1}" if blocks_at_most(settings) > 1 else point


def tags_of(settings: Settings, host: Host, execution: Execution) -> dict[str, str]:
    """What identifies a start and what it ran on."""
    answer, other = execution.answer, execution.other_answer
    return (
        t.place_tags(settings)
        | t.IDENTITY.of(identity(settings, host))
        | t.ENTRYPOINT.of(host.entrypoint)
        | t.TOKENS.of(_digest(answer) if answer else None)
        | t.ENDPOINT.of(other.endpoint if other else None)
        | t.host_tags(host.versions, describe_host(host.device), describe_source())
        | t.STORAGE.of(_storage_facts(settings, execution))
    )


def _storage_facts(settings: Settings, execution: Execution) -> dict[str, str]:
    """Of the storage that the weights were read from. Only an emulated one has a name besides as_is."""
    if execution.storage and execution.storage.is_emulated:
        return execution.storage.facts
    place = place_of(settings) if settings.load_format.checkpoint != "config_only" else None
    return ({NAME.name: AS_IS} | describe_storage(place)) if place else {}


def _digest(answer: Answer) -> str:
    """A short name for the greedy tokens: equal weights and settings give equal ones."""
    return hashlib.sha256(json.dumps(answer.token_ids or answer.text).encode()).hexdigest()[:12]
