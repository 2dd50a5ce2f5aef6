"""Where the files of a checkpoint lie: in a folder or a file, in an object store, or, for a hub id, in a snapshot of the hub's cache on this
host. Nothing is downloaded.

A cache holds `models--ORGANISATION--NAME/refs/REVISION`, a file with a commit, and `snapshots/COMMIT/`, links into `blobs/`.
Source: huggingface_hub, constants.py and _snapshot_download.py; vLLM 0.32: download_weights_from_hf in
model_executor/model_loader/weight_utils.py, and get_model_path in transformers_utils/repo_utils.py, which an offline vLLM calls first.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from bench.config import Settings
from bench.vllm.command import as_environment

# Of a repository's GGUF files, as vLLM takes it: a type of GGUF's, also behind what its maker wrote before a dash, UD-Q4_K_XL. Types have
# capitals and a digit; which there are depends on the release.
QUANTISED = r"(?:[A-Za-z0-9_+-]+-)?[A-Z]{1,6}\d[A-Za-z0-9_]*"
# `./folder` is no hub id.
HUB_ID = re.compile(rf"(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(:(?P<quantised>{QUANTISED}))?")
OBJECT_STORE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # s3://, gs://, az://
MAIN = "main"  # the revision where none is set
YES = {"1", "ON", "YES", "TRUE"}


def could_be_hub_id(path: str) -> bool:
    """`name` or `organisation/name`, with `:Q4_K_M` for one of its GGUF files, and not a file or folder here: vLLM looks for those first."""
    return HUB_ID.fullmatch(path) is not None and not os.path.lexists(path)


def is_remote(path: str) -> bool:
    """Whether vLLM reads it from an object store: nothing of it is on this host."""
    return OBJECT_STORE.match(path) is not None


def quantisation_of(path: str) -> str | None:
    """Which GGUF files of a repository a hub id names. None: it names no quantisation."""
    found = HUB_ID.fullmatch(path)
    return found["quantised"] if found else None


def reads_hub(settings: Settings) -> bool:
    """Whether this load format reads its weights from a hub's cache."""
    is_original = settings.load_format.checkpoint == "original" and settings.model.random is None
    return is_original and could_be_hub_id(settings.model.path)


def checkpoint_folder(settings: Settings) -> Path | None:
    """The folder, or single file, that this load format reads; need not exist. None: it is a hub's, and not on this host yet, or its place is
    unknown, or an object store's.
    """
    if is_remote(settings.checkpoint_path):
        return None
    return snapshot_of(settings) if reads_hub(settings) else Path(settings.checkpoint_path)


def snapshot_of(settings: Settings) -> Path | None:
    """The snapshot of the hub id `model.path` that vLLM will load with these settings. None: no cache has it, or vLLM uses another hub."""
    if _is_set(environment_of(settings), "VLLM_USE_MODELSCOPE"):
        return None
    revision = str(settings.arguments.get("revision") or MAIN)
    return next(filter(None, (_snapshot(folder, revision) for folder in folders_in_caches(settings))), None)


def folders_in_caches(settings: Settings) -> list[Path]:
    """Where the hub id `model.path` lies, or will lie; the first that has it counts."""
    name = f"models--{settings.model.path.partition(':')[0].replace('/', '--')}"
    return [cache / name for cache in _caches(settings, environment_of(settings))]


def environment_of(settings: Settings) -> dict[str, str]:
    """vLLM's, as far as settings and this process decide it."""
    return os.environ | as_environment(settings.load_format.env) | as_environment(settings.vllm.env)


def may_download(settings: Settings) -> bool:
    """Whether vLLM may bring a missing checkpoint into one of `folders_in_caches`."""
    environment = environment_of(settings)
    return not (_is_offline(environment) or _is_set(environment, "VLLM_USE_MODELSCOPE"))


def _is_offline(environment: Mapping[str, str]) -> bool:
    return any(_is_set(environment, name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def _caches(settings: Settings, environment: Mapping[str, str]) -> Iterator[Path]:
    """In which vLLM looks. Offline it resolves the id in the hub's own cache before it considers download_dir."""
    own = settings.arguments.get("download_dir")
    if own and not _is_offline(environment):
        yield Path(str(own))
        return
    yield hub_cache(environment)
    if own:
        yield Path(str(own))


def hub_cache(environment: Mapping[str, str]) -> Path:
    """The folder of huggingface_hub's cache for a process with this environment."""
    get = environment.get
    home = get("HF_HOME", f"{get('XDG_CACHE_HOME', '~/.cache')}/huggingface")
    cache = get("HF_HUB_CACHE", get("HUGGINGFACE_HUB_CACHE", f"{home}/hub"))
    expanded = Template(cache).safe_substitute(environment)
    return Path(re.sub(r"^~(?=/|$)", lambda _: get("HOME") or os.path.expanduser("~"), expanded))  # noqa: PTH111  # of another environment


def _snapshot(folder: Path, revision: str) -> Path | None:
    """A commit is the name of its snapshot; a branch or a tag is the name of a file that holds the commit."""
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = revision
    place = folder / "snapshots" / commit
    return place if commit and place.is_dir() else None


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").upper() in YES
