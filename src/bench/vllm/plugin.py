"""Loads bench's plugin into every process of vLLM, by environment variables of this start only; nothing is installed."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.vllm.command import Command

CHECKSUMS = "BENCH_PROBE_CHECKSUMS"  # as in bench_probe/checksums.py
PROBE = "probe"  # in the start's folder: what the probe wrote


def with_plugin(command: Command, folder: Path, *, checksums: bool = False) -> Command:
    """The same command with the plugin: each process writes what it measures to a file of its own in `folder`; with
    `checksums`, each rank those of all that it has loaded.
    """
    folder.mkdir(exist_ok=True)
    inherited = os.environ | command.environment
    environment = plugin_environment(inherited, folder.resolve())
    environment |= {CHECKSUMS: "1"} if checksums else {}
    return replace(command, environment=command.environment | environment)


def plugin_environment(environment: Mapping[str, str], probe_folder: Path) -> dict[str, str]:
    """The variables that load bench's plugin into every process of vLLM; existing values of PYTHONPATH and VLLM_PLUGINS are kept.

    Each process writes what it measures to a file of its own in `probe_folder`.
    """
    plugin = str(Path(__file__).parent / "probe")
    found = {
        "BENCH_PROBE": "1",
        "BENCH_PROBE_DIR": str(probe_folder),
        "PYTHONPATH": os.pathsep.join(filter(None, [plugin, environment.get("PYTHONPATH")])),
    }
    if plugins := environment.get("VLLM_PLUGINS"):  # an allow-list
        found["VLLM_PLUGINS"] = f"{plugins},bench_probe"
    return found
