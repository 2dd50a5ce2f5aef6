"""Which points of a sweep must be verified, what was found, and whether their checkpoints stay what they were.

A point is verified by an untimed start of its load format, where the sweep has something to compare it with: another load
format at otherwise equal settings. Points that differ in more than that read the same files or do not, which every timed
start shows by itself.
"""

import json
from collections.abc import Mapping, Sequence

from bench.analysis.baselines import AUTO, DERIVED
from bench.analysis.records import RunRecord
from bench.config import Settings
from bench.host.host import look_at_host
from bench.start.tags import CONTENT
from bench.sweep.plan import Point
from bench.weights.fingerprint import Fingerprint, VerdictKind, judge
from bench.weights.fingerprint_store import Expected, Files, can_be_verified, change_in, files_of, fingerprint_key, kept

OF_THE_FORMAT = ("load_format",)  # settings that may differ between points whose weights are compared
MADE_UP = "its weights are made up: the floor that no load format can be faster than"


def groups_of(points: Sequence[Point]) -> list[tuple[Point, list[Point]]]:
    """Points that differ in their load format alone, with the baseline that their verdicts are about: load_format=auto where it is
    there, else the first.
    """
    groups: dict[str, list[Point]] = {}
    for point in points:
        flat = point.settings.flat()
        others = {name: flat[name] for name in flat if not name.startswith(OF_THE_FORMAT) and name not in DERIVED}
        groups.setdefault(json.dumps(others, sort_keys=True), []).append(point)
    return [(_baseline(members), members) for members in groups.values()]


def _baseline(members: Sequence[Point]) -> Point:
    return next((point for point in members if point.settings.load_format.name == AUTO), members[0])


def unverified(points: Sequence[Point]) -> list[Settings]:
    """One of each kind of start whose fingerprint is needed and not stored, those that must be made anyway to fill caches first."""
    found: dict[str, Settings] = {}
    for _, members in groups_of(points):
        if not _needs_verification(members):
            continue
        for settings in (point.settings for point in members if can_be_verified(point.settings)):
            files = files_of(settings)
            key = fingerprint_key(settings, look_at_host(settings), files)
            if kept(settings.caches_dir, key, files) is None:
                found.setdefault(key, settings)
    return list(found.values())


def _needs_verification(members: Sequence[Point]) -> bool:
    """Whether these points have others to be compared with, or verify=true is set."""
    able = [point.settings for point in members if can_be_verified(point.settings)]
    formats = {json.dumps(settings.load_format.model_dump(), sort_keys=True, default=str) for settings in able}
    return len(formats) > 1 or any(settings.verify for settings in able)


def found_of(points: Sequence[Point]) -> dict[str, Expected]:
    """The verdict on each point's weights, by its label."""
    groups = groups_of(points)
    reference, _ = groups[0]
    return {
        point.label: _found(point, base, reference, compared=_needs_verification(members))
        for base, members in groups
        for point in members
    }


def _found(point: Point, base: Point, reference: Point, *, compared: bool) -> Expected:
    settings, host = point.settings, look_at_host(point.settings)
    files = files_of(settings)
    if settings.load_format.checkpoint == "config_only":
        return Expected(files, None, VerdictKind.DUMMY, MADE_UP, base.label)
    key = fingerprint_key(settings, host, files)
    own = kept(settings.caches_dir, key, files)
    if own is None or not compared:
        return Expected(files, key if own else None, *_without(point, base, reference, compared=compared))
    if point is base:
        return Expected(files, key, VerdictKind.BITWISE, f"it is the baseline: {_loads(own)}", base.label)
    if point.settings.flat() == base.settings.flat():
        # Not bitwise: one verification start stands for both.
        return Expected(files, key, *_by_files(point, base), base.label)
    theirs = _fingerprint(base.settings)
    if theirs is None:
        return Expected(files, key, VerdictKind.UNVERIFIED, f"{base.label} could not be verified", base.label)
    verdict = judge(theirs, own)
    return Expected(files, key, verdict.kind, verdict.why, base.label, verdict.differing)


def _loads(own: Fingerprint) -> str:
    """What the baseline's own loads have shown."""
    if own.loads == 1:
        return "the others are compared with it"
    if own.unstable:
        return f"{len(own.unstable)} tensors differ between {own.loads} loads of it"
    return f"{own.loads} loads of it agree"


def _fingerprint(settings: Settings) -> Fingerprint | None:
    files = files_of(settings)
    return kept(settings.caches_dir, fingerprint_key(settings, look_at_host(settings), files), files)


def _without(point: Point, base: Point, reference: Point, *, compared: bool) -> tuple[VerdictKind, str, str]:
    """Verdict, why, and the point that it is about, where there is no fingerprint to compare."""
    settings, other = point.settings, reference if point is base else base
    if settings.load_format == other.settings.load_format and not compared:
        return *_by_files(point, other), other.label
    for name, value in (("verify", settings.verify), ("probe", settings.probe)):
        if value is False:
            return VerdictKind.UNVERIFIED, f"{name}=false", other.label
    if not compared:
        return VerdictKind.UNVERIFIED, "the sweep has no other load format at otherwise equal settings", other.label
    return VerdictKind.UNVERIFIED, "its verification start failed", other.label


def _by_files(point: Point, other: Point) -> tuple[VerdictKind, str]:
    """Verdict and why, by what the files hold. Those cut for another number of ranks are other files, whatever they were cut from."""
    mine, theirs = files_of(point.settings), files_of(other.settings)
    if mine is None or theirs is None:
        return VerdictKind.UNVERIFIED, "whether the same files were read is not known"
    if mine.digest != theirs.digest:
        return (
            VerdictKind.UNVERIFIED,
            _OTHER_CUT if point.settings.load_format.checkpoint == "sharded" else _OTHER_FILES,
        )
    same = "the same files were read whole"
    alike = point.settings.flat() == other.settings.flat()
    return (
        VerdictKind.SAME_FILES,
        same if alike else f"{same}; settings other than the load format differ, so bits and tokens may",
    )


_OTHER_FILES = "files of other contents were read"
_OTHER_CUT = "each read a cut checkpoint of its own, and neither was compared with what it was cut from: add load_format=auto to the sweep"


def to_load_again(points: Sequence[Point], found: dict[str, Expected]) -> list[Settings]:
    """Baselines from which a candidate differs, and that were loaded once: a second load shows whether what differs is only padding."""
    bases: dict[str, Settings] = {}
    for base, members in groups_of(points):
        own = _fingerprint(base.settings)
        if own and own.loads == 1 and any(found[point.label].differing for point in members):
            bases.setdefault(own.key, base.settings)
    return list(bases.values())


# The checkpoints of a sweep: resolved once, when all are there; one that becomes another ends it.


def resolved(points: Sequence[Point]) -> dict[str, Files]:
    """Path and content of each point's files, by its label; without those that read none, or that are not known."""
    return {point.label: files for point in points if (files := files_of(point.settings))}


def changed(points: Sequence[Point], was: Mapping[str, Files]) -> str | None:
    """The first checkpoint that is no longer what it was, in a sentence; None: there is none."""
    known = [point for point in points if point.label in was]
    changes = (change_in(was[each.label], files_of(each.settings), each.settings.checkpoint_path) for each in known)
    return next(filter(None, changes), None)


def read_by_others(starts: Sequence[RunRecord], now: Mapping[str, Files]) -> str | None:
    """The first start of a resumed sweep whose checkpoint had other contents; None: there is none."""
    for start in starts:
        content, files = CONTENT.in_(start.tags), now.get(start.point)
        if content and files and content != files.digest:
            return f"{start.name}, made before, read a checkpoint of other contents than {files.path} has now"
    return None
