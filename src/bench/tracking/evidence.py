"""What MLflow has of each start, held against the start's own startup.json: what differs is refused, what cannot be compared is a doubt.

Whoever changes startup.json and MLflow alike is believed.
"""

import queue
import re
import threading
import time
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
from bench.start.warning import WarningKind, from_line
from bench.tracking.executions import (
    Held,
    contradictions,
    contradictions_within,
    each_executed_once,
    overlaps,
    renamed,
    repeated,
)
from bench.tracking.log_run import ODD, TAG, as_taken
from bench.tracking.runs import is_complete
from bench.tracking.store import Store, errors_translated

if TYPE_CHECKING:
    from mlflow.entities import Run

FETCH_S = 60.0  # for the files of all starts together
AT_ONCE = 8  # files; a server's answer takes longer than its file
SHOWN = 20  # differences in a message
LENGTH = 80  # characters of a value in a message
TAGS = {tag.name for tag in vars(t).values() if isinstance(tag, t.Tag) and not tag.name.startswith("mlflow.")}
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
    params, metrics, tags = as_taken(startup.params, startup.metrics, startup.run_tags)
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
    waiting = queue.SimpleQueue["Run"]()
    for run in runs:
        waiting.put(run)
    found: dict[str, Held] = {}
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        threads = [
            threading.Thread(target=_fetch_all, args=(store, waiting, Path(place), found), daemon=True)
            for _ in runs[:AT_ONCE]
        ]
        for thread in threads:
            thread.start()
        deadline_s = time.monotonic() + FETCH_S
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        late = f"its {STARTUP} did not come within {FETCH_S:g} s"
        return [found.get(run.info.run_id) or Held(run, unchecked=late) for run in runs]


def _fetch_all(store: Store, waiting: "queue.SimpleQueue[Run]", place: Path, found: dict[str, Held]) -> None:
    while True:
        try:
            run = waiting.get_nowait()
        except queue.Empty:
            return
        found[run.info.run_id] = _fetch(store, run, place / run.info.run_id)


def _fetch(store: Store, run: "Run", folder: Path) -> Held:
    try:
        with errors_translated(store.uri):
            if why := _download(store, str(run.info.artifact_uri), folder):
                return Held(run, unchecked=why)
        return Held(run, load_startup(folder))
    except EvidenceError as error:
        return Held(run, unreadable=f"its {STARTUP} cannot be read: {str(error).replace(str(folder), 'MLflow')}")
    except (BenchError, OSError, NotImplementedError) as error:
        return Held(run, unchecked=f"its {STARTUP} could not be fetched: {error}")


def _download(store: Store, artifact_uri: str, folder: Path) -> str | None:
    """Returns why not; None: it is in `folder`. By the repository itself: MLflow's client asks for the run and its files twice besides."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(artifact_uri, tracking_uri=store.uri)
    listed = next((each for each in repository.list_artifacts() if each.path == STARTUP and not each.is_dir), None)
    if listed is None:
        return f"its run has no {STARTUP}"
    if (listed.file_size or 0) > BYTES_AT_MOST:
        return f"its {STARTUP} has {listed.file_size} bytes, and no more than {BYTES_AT_MOST} are read"
    folder.mkdir()
    repository._download_file(STARTUP, str(folder / STARTUP))  # type: ignore[no-untyped-call]  # noqa: SLF001  # `download_artifacts` does it in threads that outlive a deadline
    return None
