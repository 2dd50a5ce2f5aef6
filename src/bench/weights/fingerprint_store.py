"""Fingerprints on disk: what each holds for, where it is kept, and what a timed start is checked against.

Fingerprints lie beside the caches: `caches_dir/fingerprints/<key>.json`. The verdicts on a sweep's points are in
`fingerprints/sweeps/<sweep>.json`, which each of its starts reads: a job may run in another process than the sweep.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.config import Settings
from bench.host.host import Host
from bench.system.whole_files import write_whole
from bench.vllm.greedy import Round
from bench.vllm.probe.bench_probe import surroundings
from bench.vllm.probe_report import ProbeReport
from bench.weights.checkpoint import is_here, paths_read
from bench.weights.content import content_digest, content_files, digest_of_files, file_stamps, stamps_of, ways_to
from bench.weights.fingerprint import Delivered, Fingerprint, TensorKeys, VerdictKind, from_json, merged
from bench.weights.hub import checkpoint_folder, reads_hub

FILE = "fingerprint.json"
FOLDER = "fingerprints"
# PYTHONPATH has the probe's place.
OF_ONE_PROCESS = re.compile(r".*_(PORT|IDENT|INSTANCE_ID|LOG|LOGGING_LEVEL)|PYTHON.*")

# Arguments of vLLM that decide only what is done with weights once they are loaded. Any other may decide what is loaded.
NOT_OF_THE_WEIGHTS = re.compile(
    r"enforce_eager|compilation_config|optimization_level|O|max_num_.*|max_model_len|gpu_memory_utilization|kv_cache_memory_bytes|"
    r"enable_chunked_prefill|enable_prefix_caching|.*cudagraph.*|served_model_name|seed|.*log.*|.*metrics.*|.*traces.*|api_server_count|"
    r"allowed_.*|chat_template.*|tool_.*|reasoning_.*|uvicorn_.*|block_size|attention_backend|scheduling_policy|async_scheduling"
)


@dataclass(frozen=True)
class Files:
    """A checkpoint's files as they are at a moment. `stamps`: of each, by the file system."""

    path: str  # every link followed; of several files outside the checkpoint's folder the first one's
    digest: str
    stamps: dict[str, list[int]]
    # Links and folder that lead to them, for the length of a start.
    ways: dict[str, list[int]] = field(default_factory=dict, compare=False)


def files_of(settings: Settings) -> Files | None:
    """None: this load format reads no weights, they are not on this host, or cannot be read."""
    folder = checkpoint_folder(settings)
    try:
        if settings.load_format.checkpoint == "serialized":
            return _files(paths_read(settings))
        if settings.load_format.checkpoint == "config_only" or folder is None:
            return None
        if not folder.is_dir():  # a file of GGUF, or nothing
            return _files(paths_read(settings))
        if reads_hub(settings) and not is_here(settings):
            return None
        return Files(str(folder.resolve()), content_digest(folder), file_stamps(folder), ways_to(folder))
    except OSError:
        return None


def _files(paths: Sequence[Path]) -> Files | None:
    return Files(str(paths[0].resolve()), digest_of_files(paths), stamps_of(paths)) if paths else None


def change_in(was: Files, now: Files | None, path: str) -> str | None:
    """How the files are no longer those that they were when the sweep began, in a sentence; None: they are."""
    if was == now:
        return None
    if now is None:
        return f"{path} led to {was.path} when the sweep began and cannot be read now"
    if was.path != now.path:
        return f"{path} led to {was.path} when the sweep began and leads to {now.path} now"
    names = ", ".join(changed_in(was, now)[:3]) or "a file"
    return f"{names} in {path} changed since the sweep began"


def changed_in(was: Files, now: Files) -> list[str]:
    """Files that were written, exchanged, added or removed."""
    names = was.stamps.keys() | now.stamps.keys()
    return sorted(name for name in names if was.stamps.get(name) != now.stamps.get(name))


def fingerprint_key(settings: Settings, host: Host, files: Files | None) -> str:
    """A name for all that decides what is loaded: starts with one name share a fingerprint."""
    return _digest(made_from(settings, host, files))


def made_from(settings: Settings, host: Host, files: Files | None) -> dict[str, Any]:
    """What a fingerprint holds for: all that may decide what is loaded. What is not known to have no part in that is among it."""
    arguments = settings.arguments.items()
    return {
        "checkpoint": files.digest if files else settings.checkpoint_path,
        "load_format": settings.load_format.model_dump(),
        "tensor_parallel_size": settings.tensor_parallel_size,
        "arguments": {name: value for name, value in arguments if not NOT_OF_THE_WEIGHTS.fullmatch(name)},
        "environment": inherited_variables() | settings.vllm.env,
        "versions": host.versions,
        "device": [host.device.kind, *host.device.names],
    } | ({} if settings.completion else {"completion": None})  # a fingerprint without answers


def inherited_variables() -> dict[str, str]:
    """What each start gets from this process of the environment that a loader may read; without what is another one each time."""
    return {name: value for name, value in surroundings.environment().items() if not OF_ONE_PROCESS.fullmatch(name)}


def outputs_from(settings: Settings, host: Host) -> str:
    """A name for all that greedy tokens depend on besides the weights."""
    arguments = {**host.needs.arguments, **settings.vllm.args}
    ignored = {"gpu_memory_utilization"}
    return _digest(
        {
            "arguments": {name: value for name, value in arguments.items() if name not in ignored},
            "environment": settings.vllm.env,
            "max_model_len": settings.max_model_len,
        }
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def verifies(settings: Settings) -> bool:
    """Whether this start is a verification start."""
    return settings.sweep.kind == "prime" and settings.verify is True


def can_be_verified(settings: Settings) -> bool:
    """Whether a verification start of this kind would find anything."""
    return settings.verify is not False and settings.probe and settings.load_format.checkpoint != "config_only"


def delivered_in(report: ProbeReport) -> dict[str, Delivered]:
    """Tensors and bytes that each rank was given; a rank without a record of the probe is absent."""
    found: dict[str, Delivered] = {}
    for rank, process in sorted(report.ranks.items()):
        spans = [span for span in process.spans if span.facts.delivered_bytes is not None]
        if spans:
            found[rank] = (
                sum(span.facts.delivered_tensors or 0 for span in spans),
                sum(span.facts.delivered_bytes or 0 for span in spans),
            )
    return found


def fingerprint_of(
    settings: Settings,
    host: Host,
    files: Files | None,
    report: ProbeReport,
    rounds: tuple[Round, Round],
) -> Fingerprint:
    """The fingerprint from a completed verification start."""
    return Fingerprint(
        key=fingerprint_key(settings, host, files),
        made_from=made_from(settings, host, files),
        outputs_from=outputs_from(settings, host),
        ranks={rank: process.sums for rank, process in sorted(report.ranks.items()) if process.sums},
        unsummed=tuple(rank for rank, process in sorted(report.ranks.items()) if not process.sums),
        answers=rounds[0],
        again=rounds[1],
        delivered=delivered_in(report),
        content=whole_digest(files),
    )


def whole_digest(files: Files | None) -> str | None:
    """Of every byte of the files: what the sample before each timed start stands for. At the disk's speed, in an untimed start."""
    if files is None:
        return None
    place = Path(files.path)
    paths = content_files(place) if place.is_dir() else [place.parent / name for name in files.stamps]
    try:
        return digest_of_files(paths, full=True)
    except OSError:
        return None


def keep(caches_dir: str, fingerprint: Fingerprint, files: Files | None) -> Fingerprint:
    """Stores it beside the caches, merged with that of an earlier load of the same files, if any. Returns what was stored."""
    earlier = kept(caches_dir, fingerprint.key, files)
    whole = merged(earlier, fingerprint) if earlier else fingerprint
    tree = {"files": files and asdict(files), "fingerprint": whole.as_json()}
    write_whole(_place(caches_dir, fingerprint.key), json.dumps(tree))
    return whole


def kept(caches_dir: str, key: str, files: Files | None) -> Fingerprint | None:
    """The fingerprint of this name. None: there is none, it cannot be read, or the files have been written to since."""
    tree = _read(_place(caches_dir, key))
    try:
        same = tree is not None and tree["files"] == (files and asdict(files))
        return from_json(tree["fingerprint"]) if tree and same else None
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Expected:
    """The verdict on a point of a sweep before its first timed start."""

    files: Files | None
    key: str | None  # of its fingerprint; None: it was not verified
    kind: VerdictKind
    why: str
    baseline: str  # the point that it was compared with
    differing: TensorKeys = ()


def expect(caches_dir: str, sweep_id: str, points: dict[str, Expected]) -> None:
    """Writes the verdicts on all points, for the starts of this sweep."""
    write_whole(_sweep(caches_dir, sweep_id), json.dumps({label: asdict(each) for label, each in points.items()}))


def expected(settings: Settings, host: Host, files: Files | None) -> Expected | None:
    """The verdict that this start is checked against. A start on its own is checked against its verification alone; None: there is none."""
    place = settings.sweep
    if place.id and place.point:
        tree = (_read(_sweep(settings.caches_dir, place.id)) or {}).get(place.point)
        return TypeAdapter(Expected).validate_python(tree) if tree else None
    key = fingerprint_key(settings, host, files)
    if settings.verify and kept(settings.caches_dir, key, files):
        return Expected(
            files, key, VerdictKind.UNVERIFIED, "a start on its own has no baseline to be compared with", ""
        )
    return None


def _place(caches_dir: str, key: str) -> Path:
    return Path(caches_dir) / FOLDER / f"{key}.json"


def _sweep(caches_dir: str, sweep_id: str) -> Path:
    return Path(caches_dir) / FOLDER / "sweeps" / f"{sweep_id}.json"


def _read(path: Path) -> Any | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
