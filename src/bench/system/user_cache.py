"""The folder in which bench keeps what every folder of a user can share: checkpoints, compile caches, what a vLLM takes."""

import os
from pathlib import Path

VARIABLE = "BENCH_CACHE_DIR"  # another place for checkpoints and compile caches


def user_cache() -> Path:
    """$XDG_CACHE_HOME/bench, else ~/.cache/bench; in the current folder for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = os.path.expanduser("~/.cache")  # noqa: PTH111  # without a home it is no error
    root = given if given.startswith("/") else home if home.startswith("/") else ".cache"
    return Path(root) / "bench"


def default_cache_dir() -> Path:
    """The default of the setting `cache_dir`."""
    return Path(os.environ.get(VARIABLE) or user_cache())
