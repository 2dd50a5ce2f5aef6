"""What MLflow has of each start, held against the start's own startup.json: what differs is refused, what cannot be compared is a doubt.

Whoever changes startup.json and MLflow alike is believed.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.analysis.must_agree import MUST_AGREE
from bench.analysis.records import Doubt
from bench.errors import BenchError, EvidenceError
from bench.masking import masked_tree
from bench.masking.names import MASK
from bench.start import tags as t
from bench.start.files import STARTUP
from bench.start.metrics import find
from bench.start.record import BYTES_AT_MOST, load_startup
from bench.start.tag_types import Tag
from bench.start.warning import WarningKind, from_line
from bench.system.threads import side_by_side
from bench.tracking.artifacts import fetch_file, files_of
from bench.tracking.executions import (
    Held,
    contradictions,
    contradictions_within,
    each_executed_once,
    overlaps,
    renamed,
    repeated,
)
from bench.tracking.log_run import ODD, TAG
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.runs import is_complete
from bench.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, Run

FETCH_S = 60.0  # for the files of all starts together
SHOWN = 20  # differences in a message
LENGTH = 80  # characters of a value in a message
TAGS = {tag.name for tag in vars(t).values() if isinstance(tag, Tag) and not tag.name.startswith("mlflow.")}
OURS = TAGS | MUST_AGREE.keys()  # and whatever a sweep's starts recorded
OF_THE_UPLOAD = {t.KEY.name, t.UPLOADED.name}  # tags that startup.json has not


def held(store: Store, sweep_id: str, runs: "Sequence[Run]") -> tuple[list[Held], list[Doubt]]:
    """The runs of a sweep's starts with their own records, each start once, and what is doubtful about them.

    Raises:
        EvidenceError: MLflow has other values than the starts themselves; both are in the message.
    """
    found = fetched(store, runs)
    kept, twice = each_executed_once(found)
    ours = OURS.union(*(each.recorded_names for each in found))
    different = [f"{each.name}: {text}" for each in found for text in differences(each, sweep_id, ours)]
    different += [text for one, other in twice for text in contradictions(one, other)]
    different += overlaps(kept)
    if different:
        raise EvidenceError(_refusal(sweep_id, different))
    unchecked = [Doubt(each.name, f"unchecked: {each.unchecked}") for each in kept if each.unchecked]
    again = [
        Doubt(other.name, f"it is {one.name}, uploaded twice: it counts once")
        for one, other in twice
        if is_complete(other.run)  # else an upload that broke off and was made again elsewhere
    ]
    return kept, [*unchecked, *again, *renamed(kept), *repeated(kept)]


def _refusal(sweep_id: str, different: Sequence[str]) -> str:
    more = [f"and {len(different) - SHOWN} more"] if len(different) > SHOWN else []
    lines = [
        f"sweep {sweep_id}: MLflow and the starts' own {STARTUP} differ, so nothing is compared:",
        *different[:SHOWN],
        *more,
    ]
    restore = (
        "Restore what was changed; or delete these runs and bring their starts in again:  python -m bench.replay FOLDER"
    )
    return "\n  ".join(lines) + f"\n{restore}"


# What differs.


def differences(each: Held, sweep_id: str, ours: Collection[str] = OURS) -> Iterator[str]:
    """Every value that MLflow and startup.json do not share, with both; and those in startup.json that cannot be true together. An upload
    that broke off has failed already. `ours`: what bench writes; what MLflow has besides is the user's.
    """
    if each.unreadable:
        yield each.unreadable
    if each.startup is None or not is_complete(each.run):
        return
    data, startup = each.run.data, each.startup
    params, metrics, tags = each.taken
    recorded_in = t.SWEEP.in_(startup.tags) or sweep_id
    status = "FAILED" if startup.failed else "FINISHED"
    yield from _differing("the sweep", {"": sweep_id}, {"": recorded_in}, {""})
    yield from _differing("status", {"": str(each.run.info.status)}, {"": status}, {""})
    yield from _differing("param", masked_tree(dict(data.params)), params, ours)
    yield from _differing("metric", dict(data.metrics), metrics, [*filter(find, data.metrics)])
    odd = [name for name in data.tags if name.startswith(ODD)]
    yield from _differing("tag", masked_tree(dict(data.tags)), tags, {*ours, *odd} - OF_THE_UPLOAD)
    yield from contradictions_within(startup)


def _differing(
    what: str, stored: Mapping[str, object], recorded: Mapping[str, object], ours: Collection[str]
) -> Iterator[str]:
    """`ours`: names of bench's, also where only MLflow has them; what users add besides is theirs."""
    for name in sorted({*(name for name in stored if name in ours), *recorded}):
        there, here = stored.get(name), recorded.get(name)
        same = _same_warnings if name == t.WARNINGS.name else _same
        if not same(there, here):
            yield f"{' '.join(filter(None, (what, name)))}: MLflow has {_shown(there)}, {STARTUP} {_shown(here)}"


def _same(stored: object, recorded: object) -> bool:
    """Whoever uploaded it may have known a secret that whoever wrote it down did not. An empty text and none are alike to some stores."""
    if not isinstance(stored, str) or not isinstance(recorded, str):
        return (stored or None) == (recorded or None) if isinstance(stored or recorded, str) else stored == recorded
    pattern = ".*".join(map(re.escape, stored.split(MASK)))
    return stored == recorded or (MASK in stored and re.fullmatch(pattern, recorded, re.DOTALL) is not None)


def _same_warnings(stored: object, recorded: object) -> bool:
    """By their texts: earlier releases wrote no kinds. That MLflow took no trace is known to MLflow alone."""
    there, here = (str(each or "").splitlines() for each in (stored, recorded))
    kept = [warning.text for warning in map(from_line, there) if warning.kind is not WarningKind.TRACE]
    if max(len(str(stored)), len(str(recorded))) >= TAG:  # cut, perhaps in the middle of one
        kept, here = kept[:-1], here[: max(0, len(kept) - 1)]
    return kept == [from_line(line).text for line in here]


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return repr(text if len(text) <= LENGTH else f"{text[:LENGTH]}…") if isinstance(value, str) else text


# Fetching.


def fetched(store: Store, runs: "Sequence[Run]") -> list[Held]:
    """The startup.json of each run, in no more than FETCH_S for all of them, several at once."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        found = side_by_side(lambda run: _fetch(store, run, Path(place) / run.info.run_id), runs, within_s=FETCH_S)
    late = f"its {STARTUP} did not come within {FETCH_S:g} s"
    return [held or Held(run, unchecked=late) for run, held in zip(runs, found, strict=True)]


def _fetch(store: Store, run: "Run", folder: Path) -> Held:
    try:
        with errors_translated(store.uri):
            repository, files = files_of(store, str(run.info.artifact_uri))
            if why := _why_not(files):
                return Held(run, unchecked=why)
            folder.mkdir()
            fetch_file(repository, STARTUP, folder)
        return Held(run, load_startup(folder))
    except EvidenceError as error:
        return Held(run, unreadable=f"its {STARTUP} cannot be read: {str(error).replace(str(folder), 'MLflow')}")
    except (BenchError, OSError, NotImplementedError) as error:
        return Held(run, unchecked=f"its {STARTUP} could not be fetched: {error}")


def _why_not(files: Mapping[str, "FileInfo"]) -> str | None:
    """Why startup.json is not fetched. None: it is there, and no larger than it may be."""
    if STARTUP not in files:
        return f"its run has no {STARTUP}"
    size = files[STARTUP].file_size or 0
    return (
        f"its {STARTUP} has {size} bytes, and no more than {BYTES_AT_MOST} are read" if size > BYTES_AT_MOST else None
    )
