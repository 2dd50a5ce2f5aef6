"""The checkpoints of a sweep, resolved once, when all are there: one that becomes another ends the sweep."""

from collections.abc import Mapping, Sequence

from bench.analysis.records import RunRecord
from bench.start.tags import CONTENT
from bench.sweep.plan import Point
from bench.weights.fingerprint_store import Files, change_in, files_of


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
