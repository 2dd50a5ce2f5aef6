"""The limit of a checkpoint's storage, measured over its own files by a child process, while no vLLM runs; and where it is kept for the starts.

A sweep's profiles lie in `caches_dir/storage_limits/<sweep>.json`, which each of its starts reads: a job may run in another process than the sweep.
"""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.config import Settings, Storage
from bench.errors import CheckpointError, StartError
from bench.host.emulation.emulate import storage_in_use
from bench.host.page_cache import residency, unique_files
from bench.host.short_command import ShortCommandError, script_answer
from bench.host.storage import describe_storage
from bench.host.storage_facts import BDI_READ_AHEAD, LIMIT, NO_LIMIT, READ_AHEAD
from bench.host.storage_profile import COUNTED, GIB, StorageProfile, from_text, to_text
from bench.system.whole_files import write_whole

SCRIPT = Path(__file__).with_name("storage_probe.py")
COPY_SCRIPT, GPU_SCRIPT = (Path(__file__).with_name(f"{name}.py") for name in ("copy_probe", "gpu_copy_probe"))
SECONDS, AT_MOST_S = 8.0, 30.0  # that are searched; after which a child is given up: a read may hang
COPY_AT_MOST_S = 120.0  # to import torch on a cold disk
ANSWER_AT_MOST = 64 << 10
FILES_AT_MOST = 256  # that are read: their names are words of a command
KEPT = 14  # profiles: they are a tag too
ROUNDS = 4  # how often a small checkpoint is read altogether
FOLDER = "storage_limits"
IN_MEMORY = {"tmpfs", "ramfs"}  # their files have no storage below them
CACHED_BELOW = {"zfs"}  # takes O_DIRECT, and answers from a cache of its own all the same
MINCORE = "mincore"
NO_GPU: Mapping[str, float] = {}


def place_of_files(asked: Storage, paths: Sequence[Path]) -> str:
    """The name of the storage that holds these files, as far as its limit depends on it: an emulated one's, else the device or the server, the
    file system and the cgroup's limit. Empty: there is none, as of files in memory.
    """
    facts = describe_storage(paths[0]) if paths else {}
    if facts and asked.is_emulated:
        return f"storage={asked.name} ({asked.described()})"
    if not facts or facts["filesystem"] in IN_MEMORY:
        return ""
    limit = facts.get(LIMIT.name, NO_LIMIT)
    named = (facts.get("device") or facts.get("source"), facts["filesystem"], "" if limit == NO_LIMIT else limit)
    return " ".join(filter(None, named))


def measure_storage(
    paths: Sequence[Path], place: str, *, may_evict: bool, join: Sequence[Path] = ()
) -> tuple[StorageProfile | None, str | None]:
    """The profile of the storage of these files; None, and why: it could not be measured.

    The page cache stays as it was. `may_evict`: the files may be evicted, which takes measuring through the page cache where O_DIRECT is refused.
    `join`: cgroups whose limits are to be part of it.
    """
    try:
        files = unique_files(paths)
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        return None, str(error)
    if not files or not place:
        return None, "there are no files on a storage"
    facts, before = describe_storage(files[0]), residency(files, MINCORE)
    asked = {
        "paths": [str(path) for path in files[:FILES_AT_MOST]],
        "seconds": SECONDS,
        "bytes_at_most": ROUNDS * size,
        "may_be_buffered": may_evict or before == 0,
        "join": [str(each) for each in join],
    }
    words = [sys.executable, "-I", "-S", str(SCRIPT), json.dumps(asked)]
    found, why = _answer(words, AT_MOST_S, f"  measuring how fast {place} can be read")
    if found is None or (why := found.get("error")):
        return None, why
    if not found["read_bytes_per_s"]:
        return None, f"nothing was read within {SECONDS:g} s"
    copied, _ = _answer(
        [sys.executable, "-I", "-S", str(COPY_SCRIPT), str(size)], AT_MOST_S, "  measuring copies from the page cache"
    )
    after = residency(files, MINCORE)
    through_cache = before is not None and after is not None and after > before + (1 - COUNTED) * (1 - before)
    is_direct = found["is_direct"] and not through_cache and facts["filesystem"] not in CACHED_BELOW
    share = found["read_share"]
    if share is not None and share < COUNTED and facts.get("device"):
        is_direct = False
    return _profile(found | (copied or {}), facts, place, is_direct=is_direct), None


def _answer(words: list[str], timeout_s: float, doing: str) -> tuple[dict[str, Any] | None, str | None]:
    """What a script printed; None, and why."""
    try:
        text = script_answer(words, timeout_s=timeout_s, bytes_at_most=ANSWER_AT_MOST, doing=doing)
        found = json.loads(text)
    except (OSError, ShortCommandError) as error:
        return None, str(error)
    except ValueError:
        return None, f"it printed {text[-100:]!r}"
    return (found, None) if isinstance(found, dict) else (None, "it printed no object")


def _profile(found: dict[str, Any], facts: dict[str, str], place: str, *, is_direct: bool) -> StorageProfile:
    read_ahead = facts.get(READ_AHEAD.name) or facts.get(BDI_READ_AHEAD.name)
    return StorageProfile(
        place=place,
        measured_at=time.time(),
        read_gib_per_s=found["read_bytes_per_s"] / GIB,
        sustained_gib_per_s=found["sustained_bytes_per_s"] / GIB,
        threads=found["threads"],
        block_kib=found["block_bytes"] // 1024,
        seconds=found["seconds"],
        read_gib=found["read_bytes"] / GIB,
        reads_per_s_4_kib=found["reads_per_s"]["4096"],
        reads_per_s_128_kib=found["reads_per_s"]["131072"],
        latency_s=found["latency_s"],
        read_ahead_kib=int(read_ahead) if read_ahead else None,
        is_direct=is_direct,
        is_steady=found["is_steady"],
        copy_gib_per_s=found["copy_bytes_per_s"] / GIB if "copy_bytes_per_s" in found else None,
        copy_one_gib_per_s=found["copy_one_bytes_per_s"] / GIB if "copy_one_bytes_per_s" in found else None,
    )


def copied_to_gpu(python: str) -> dict[str, float]:
    """`pinned_gib_per_s` and `pageable_gib_per_s`, from host memory to the first GPU that the measured interpreter's torch sees. Empty: not measured."""
    found, _ = _answer(
        [python, "-c", GPU_SCRIPT.read_text(encoding="utf-8")],
        COPY_AT_MOST_S,
        "  measuring how fast a GPU can be copied to",
    )
    known = {"pinned_gib_per_s", "pageable_gib_per_s"}
    values = {name: value for name, value in (found or {}).items() if name in known and isinstance(value, float)}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def measure_and_keep(
    settings: Settings,
    paths: Sequence[Path],
    checkpoint: Path | None,
    folder: Path | None = None,
    gpu: Mapping[str, float] = NO_GPU,
) -> tuple[StorageProfile | None, str | None]:
    """Measures the storage of these files and keeps its profile. `checkpoint`: their folder, of which an emulated storage may need a copy;
    `gpu`: what `copied_to_gpu` has found. Returns it; None, and why: it could not be measured.

    While no vLLM of bench's runs: the caller sees to that.
    """
    if not paths:
        return None, "it reads no files"
    place = place_of_files(settings.storage, paths)
    try:
        with storage_in_use(settings.storage, paths[0], checkpoint, Path(settings.caches_dir)) as storage:
            join = [storage.cgroup] if storage.cgroup else []
            profile, why = measure_storage(paths, place, may_evict=settings.page_cache == "cold", join=join)
        if profile:
            pinned, pageable = gpu.get("pinned_gib_per_s"), gpu.get("pageable_gib_per_s")
            profile = replace(profile, pinned_gib_per_s=pinned, pageable_gib_per_s=pageable)
            keep_profile(settings, folder, profile)
    except (StartError, CheckpointError, OSError) as error:  # its starts will fail for it, or the disk is full
        return None, str(error)
    return profile, why


def kept_profiles(settings: Settings, folder: Path | None = None) -> tuple[StorageProfile, ...]:
    """All that were measured for this sweep so far; for a single start those in its own folder."""
    try:
        return from_text(_path(settings, folder).read_text(encoding="utf-8"))
    except OSError:
        return ()


def keep_profile(settings: Settings, folder: Path | None, profile: StorageProfile) -> None:
    """Adds it to them. Of very many the first and the latest are kept."""
    first, *others = (*kept_profiles(settings, folder), profile)
    write_whole(_path(settings, folder), to_text([first, *others[-KEPT:]]))


def _path(settings: Settings, folder: Path | None) -> Path:
    sweep = settings.sweep.id
    return Path(settings.caches_dir) / FOLDER / f"{sweep}.json" if sweep else (folder or Path()) / f"{FOLDER}.json"
