"""The files and folders of one start, by name: everything that it writes into its folder."""

import os
from pathlib import Path

from bench.errors import OwnershipError
from bench.vllm import command, load, memory, steady
from bench.weights import fingerprint_store, sharded

STARTUP = "startup.json"  # the Startup; a folder with this file is that of a start that is over
BEGUN = "begun.json"  # in its place until then
UNMASKED = "unmasked"  # the folder of what vLLM's processes wrote in a start whose bench was killed
SETTINGS = "settings.json"
LOG = "vllm.log"
EXCERPTS = "vllm_excerpts.log"
ERRORS = "error.txt"
PRIME = "prime"  # the folder of the start that fills the caches for a start on its own: made before it
TRACE = "trace.json"
WATERFALL_FIGURE, PHASES_FIGURE, MEMORY_FIGURE = "waterfall.png", "phases.png", "memory.png"
RUN = "mlflow_run.json"  # which run of which store has this start
MEMORY, PROBE = memory.FILE, command.PROBE
SERVE_BENCH, STEADY = load.FILE, steady.FILE
FINGERPRINT, PREPARE_LOG = fingerprint_store.FILE, sharded.LOG

# Nothing else in a start's folder is bench's.
OUTPUTS = frozenset({
    STARTUP, BEGUN, UNMASKED, SETTINGS, LOG, EXCERPTS, ERRORS, PRIME, TRACE, WATERFALL_FIGURE, PHASES_FIGURE, MEMORY_FIGURE, RUN,
    MEMORY, PROBE, FINGERPRINT, PREPARE_LOG, SERVE_BENCH, STEADY,
})  # fmt: skip


def refuse_taken(folder: Path, setting: str, but: frozenset[str] = frozenset()) -> None:
    """Refuse a folder in which a start's files would be written over others of the same name. `but`: names that this process may have
    made there already.

    Raises:
        OwnershipError: names one of them, and the setting that names the folder.
    """
    if taken := sorted(name for name in OUTPUTS - but if os.path.lexists(folder / name)):
        raise OwnershipError(
            f"{setting}={folder}: {taken[0]!r} is there already, and a start writes a file of this name. Choose another folder."
        )
