"""What each process of vLLM really had, by its own report: arguments, environment, packages, share of the host, and what it decided. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict

from bench.vllm.span import EXACT

CHARACTERS_AT_MOST = 1 << 20  # of one report; it has some thousand


@dataclass(frozen=True)
class Surroundings:
    """At one moment, in seconds since exec. None, or absent from a dict: it could not be read. Secrets are masked by the probe."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    at_s: float
    arguments: tuple[str, ...]  # the module's path first
    environment: dict[str, str]  # of the variables that matter
    packages: dict[str, str]  # vllm -> 0.32.0 from /…/vllm/__init__.py
    cpus: str | None  # 0-3,8
    niceness: int | None
    scheduler: str | None
    cgroup: str  # the lines of /proc/PID/cgroup
    limits: dict[str, str]  # cpus, memory_bytes; max: none
    counters: dict[str, float]  # throttled, throttled_s, oom_kills


@dataclass(frozen=True)
class Ran:
    """`first`: when the probe's turn came in it; `last`: when it had loaded its model, or was ready. `decided`: dtype, model_class, …"""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT
    first: Surroundings
    last: Surroundings
    decided: dict[str, str]


def ran_of(events: Iterable[dict[str, Any]], exec_at_s: float) -> Ran | None:
    """By the events of one process; None: it reported nothing of the kind, as under an earlier bench.

    Raises:
        ValueError, TypeError, AttributeError: they are not the probe's.
    """
    found = [event for event in events if event["event"] == "ran"]
    if not found:
        return None
    decided: dict[str, str] = {}
    for event in found:
        decided |= event.get("effective") or {}
    return Ran(_surroundings(found[0], exec_at_s), _surroundings(found[-1], exec_at_s), decided)


def _surroundings(event: dict[str, Any], exec_at_s: float) -> Surroundings:
    if len(str(event)) > CHARACTERS_AT_MOST:
        raise ValueError("its surroundings are larger than any process's")
    cgroup = event.get("cgroup") or {}
    return Surroundings(
        at_s=event["t"] - exec_at_s,
        arguments=tuple(event.get("arguments", ())),
        environment=event.get("environment", {}),
        packages=event.get("packages", {}),
        cpus=event.get("cpus"),
        niceness=event.get("niceness"),
        scheduler=event.get("scheduler"),
        cgroup=cgroup.get("membership", ""),
        limits=cgroup.get("limits", {}),
        counters=cgroup.get("counters", {}),
    )
