"""Whether a start loaded what was verified: its files, and what its ranks were given, against the headers of the files.

Source: https://github.com/huggingface/safetensors#format: 8 bytes with the length of a JSON header, that header, then the
tensors' bytes.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.errors import CheckpointError
from bench.host.host import Host
from bench.vllm.probe_report import ProbeReport
from bench.weights.checkpoint import paths_read
from bench.weights.content import turned_in
from bench.weights.fingerprint import Delivered, Fingerprint, VerdictKind
from bench.weights.fingerprint_store import Files, change_in, changed_in, delivered_in, expected, files_of, kept

LONGEST_HEADER = 100 * 1024**2  # bytes, as the format allows
OF_A_RANK = re.compile(r"model-rank-(\d+)-part-\d+\.safetensors")
RANK = re.compile(r"TP(\d+)")


@dataclass(frozen=True)
class StartWeights:
    """The weights in one start's record. All None: it ended before they were loaded. `document` is what fingerprint.json holds."""

    read: str | None = None  # whole, part, unknown
    content: str | None = None  # a digest of the files
    kind: VerdictKind | None = None  # the verdict
    why: str | None = None
    baseline: str | None = None  # the point that the verdict is about
    held: dict[str, Delivered] | None = None  # tensors and bytes that the files hold for each rank, by their headers
    exchanged: tuple[str, ...] = ()  # how the files are not those that were verified
    other_delivery: tuple[str, ...] = ()  # how a rank was given other than its verification start was
    document: dict[str, Any] | None = None


def weights_of(settings: Settings, host: Host, files: Files | None, report: ProbeReport) -> StartWeights:
    """Whether a start that came to its end read the files, and was given the tensors, that were verified."""
    delivered = delivered_in(report)
    held = _indexed(settings, delivered)
    whole = read_whole(delivered, held)
    known = StartWeights(
        read={True: "whole", False: "part", None: "unknown"}[whole], content=files.digest if files else None, held=held
    )
    found = expected(settings, host, files)
    exchanged = _exchanged_meanwhile(settings, files)
    if found is None:
        why = "verify=false" if settings.verify is False else "no verification start was made for it"
        return replace(known, kind=VerdictKind.UNVERIFIED, why=why, exchanged=tuple(exchanged))
    if found.files and files and (change := change_in(found.files, files, settings.checkpoint_path)):
        exchanged.append(f"{change}: this start did not read the checkpoint that the others read")
    own = kept(settings.caches_dir, found.key, found.files) if found.key else None
    other = _other_delivery(own, delivered)
    kind, why = found.kind, found.why
    if kind is VerdictKind.DUMMY and delivered:
        kind, why = VerdictKind.UNVERIFIED, "it is said to read no files, and its ranks were given weights"
    if (
        found.key
        and kind in {VerdictKind.BITWISE, VerdictKind.OUTPUTS}
        and (unknown := _unlike_verified(own, delivered))
    ):
        kind, why = VerdictKind.UNVERIFIED, f"{unknown}; in the verification starts: {why}"
    if kind is VerdictKind.SAME_FILES and whole is not True:
        kind, why = VerdictKind.UNVERIFIED, f"{_part(whole=whole)}: only that its files are the baseline's is known"
    verdict = {"kind": kind, "why": why, "baseline": found.baseline, "differing": found.differing}
    files_tree = found.files and asdict(replace(found.files, ways={}))
    document = {"verdict": verdict, "files": files_tree, "fingerprint": own.as_json() if own else None}
    known = replace(known, exchanged=tuple(exchanged), other_delivery=tuple(other), document=document)
    return replace(known, kind=kind, why=why, baseline=found.baseline)


def _exchanged_meanwhile(settings: Settings, files: Files | None) -> list[str]:
    """Files that are no longer as they were before exec: which of the two this start read is not known."""
    now = files_of(settings)
    if files == now:
        turned = turned_in(files.ways, now.ways) if files and now else []
        return (
            [f"{', '.join(turned)} led elsewhere, or was elsewhere, while this start ran: what it read is not known"]
            if turned
            else []
        )
    if files is None:
        return [f"{settings.checkpoint_path} came to this host while this start ran: its time holds a download"]
    if now is None:
        return [f"{settings.checkpoint_path} could not be read after this start any more"]
    if now.path != files.path:
        return [f"{settings.checkpoint_path} led to {files.path} before this start and leads to {now.path} after it"]
    names = ", ".join(changed_in(files, now)[:3]) or "a file"
    return [f"{names} in {settings.checkpoint_path} changed while this start ran: what it read is not known"]


def _indexed(settings: Settings, ranks: Iterable[str]) -> dict[str, Delivered] | None:
    try:
        return indexed(paths_read(settings), ranks)
    except (CheckpointError, OSError):  # the files are gone since
        return None


def _part(*, whole: bool | None) -> str:
    return "not every rank was given all that the files hold" if whole is False else "what they were given is not known"


def _other_delivery(own: Fingerprint | None, delivered: dict[str, Delivered]) -> list[str]:
    """A rank that was given other than its verification start was."""
    if own is None:
        return []
    return [
        f"rank {rank} was given {mine[0]} tensors of {mine[1]} bytes together, in its verification start "
        f"{theirs[0]} of {theirs[1]}: it did not load what was verified"
        for rank, theirs in own.delivered.items()
        if (mine := delivered.get(rank)) is not None and tuple(mine) != tuple(theirs)
    ]


def _unlike_verified(own: Fingerprint | None, delivered: dict[str, Delivered]) -> str | None:
    """Why the verdict on the verification start says nothing of this one; None: each rank was given what is known of that one."""
    if own is None:
        return "what was verified is not there any more"
    absent = [rank for rank in own.delivered if rank not in delivered]
    return f"what {', '.join(absent)} was given is not known" if absent else None


def counts_of(path: Path) -> Delivered | None:
    """Tensors and their bytes in a safetensors file. None: it is not one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            return None
        try:
            header = json.loads(file.read(length))
            spans = [each["data_offsets"] for name, each in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
    return len(spans), sum(end - begin for begin, end in spans)


def indexed(paths: Iterable[Path], ranks: Iterable[str]) -> dict[str, Delivered] | None:
    """What these files hold for each rank: all of them, or its own where they are cut by rank.

    None: unknown, for files of other kinds, and for ranks that are not numbered by tensor parallelism alone.
    """
    counted = {path.name: counts_of(path) for path in paths}
    if not counted or None in counted.values():
        return None
    owners = {name: OF_A_RANK.fullmatch(name) for name in counted}
    found: dict[str, Delivered] = {}
    for rank in ranks:
        number = RANK.fullmatch(rank)
        if any(owners.values()) and number is None:
            return None
        mine = [
            count
            for name, count in counted.items()
            if count and ((owner := owners[name]) is None or (number and int(owner[1]) == int(number[1])))
        ]
        found[rank] = (sum(tensors for tensors, _ in mine), sum(size for _, size in mine))
    return found


def read_whole(delivered: Mapping[str, Delivered], expected: Mapping[str, Delivered] | None) -> bool | None:
    """Whether every rank was given exactly what the files hold for it. None: not known."""
    if expected is None or not delivered:
        return None
    return dict(delivered) == dict(expected)
