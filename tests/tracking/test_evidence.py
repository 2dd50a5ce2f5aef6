"""MLflow held against what each start wrote down itself: a sweep in a real store, and what somebody changed in it."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.analysis.records import SweepRecord
from bench.config import Tracking
from bench.errors import EvidenceError
from bench.start.record import Startup, load_startup
from bench.tracking import evidence, runs
from bench.tracking.executions import contradictions_within
from bench.tracking.runs import log_start
from bench.tracking.selection import selected
from bench.tracking.store import connect
from bench.tracking.sweeps import PARENT, SweepRun, open_sweep
from bench.vllm.probe_report import ProbeReport
from conftest import quiet
from made_starts import LOADED, STARTED_AT, process, startup
from recorded_evidence import folders

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore")


def start(name: str, at_s: float, **known: object) -> Startup:
    point = name.partition(" ")[0]
    tags = {"bench.sweep": "S", "bench.kind": "start", "bench.point": point, "host.host": "one", "bench.valid": "true"}
    made = startup(name=name, params={"load_format": point, "empty": ""}, metrics={"ready_s": 29.0}, tags=tags, **known)
    return replace(made, started_at=STARTED_AT + at_s, ended_at=STARTED_AT + at_s + 30, exec_at_s=at_s)


STARTS = (start("auto #1", 1.0), start("fast #1", 41.0), start("fast #2", 81.0, reason="no device"))


@dataclass(frozen=True)
class Place:
    """A store with one sweep. `runs`: by the start's name."""

    tracking: Tracking
    parent: str
    runs: dict[str, str]
    file: Path

    @property
    def client(self) -> "MlflowClient":
        return connect(self.tracking.uri).client

    def artifact(self, name: str) -> Path:
        return Path(self.client.get_run(self.runs[name]).info.artifact_uri.removeprefix("file://")) / "startup.json"

    def upload(self, made: Startup, folder: Path) -> str:
        folder.mkdir(parents=True)
        made.save(folder)
        return log_start(self.tracking, made, folder)

    def found(self) -> SweepRecord:
        with quiet():
            return selected(self.tracking, "latest")[0][0].sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Place:
    """Three starts, of which one failed."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.chdir(folder)
        tracking = Tracking(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="bench")
        parent = open_sweep(tracking, SweepRun("S", STARTED_AT, {}, {}))
        place = Place(tracking, parent, {}, folder / "mlflow.db")
        for number, each in enumerate(STARTS):
            made = replace(each, parent_run_id=parent)
            place.runs[each.name] = place.upload(made, folder / "starts" / str(number))
    return place


@pytest.fixture
def place(swept: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A copy of it, whose artifacts are the same files."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(swept.file, tmp_path / "mlflow.db")
    tracking = Tracking(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="bench")
    with quiet():
        yield replace(swept, tracking=tracking, file=tmp_path / "mlflow.db")


def execute(place: Place, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(place.file)) as connection:
        connection.execute(statement, values)
        connection.commit()


def auto(call: str, *values: object) -> Callable[[Place], object]:
    """What a user of MLflow does to the first start."""
    return lambda place: getattr(place.client, call)(place.runs["auto #1"], *values)


CHANGED = {
    "a metric": (auto("log_metric", "ready_s", 1.5), "auto #1: metric ready_s: MLflow has 1.5, startup.json 29.0"),
    "a metric more": (
        auto("log_metric", "phase/load_weights_s", 2.0),
        "auto #1: metric phase/load_weights_s: MLflow has 2.0, startup.json nothing",
    ),
    "a tag": (
        auto("set_tag", "bench.point", "fast"),
        "auto #1: tag bench.point: MLflow has 'fast', startup.json 'auto'",
    ),
    "a tag more": (
        auto("set_tag", "bench.weights", "bitwise"),
        "auto #1: tag bench.weights: MLflow has 'bitwise', startup.json nothing",
    ),
    "a tag fewer": (auto("delete_tag", "bench.valid"), "tag bench.valid: MLflow has nothing, startup.json 'true'"),
    "a warning": (auto("set_tag", "bench.warnings", "noise: loud"), "tag bench.warnings: MLflow has 'noise: loud'"),
    "the sweep": (auto("set_tag", "bench.sweep", "T"), "tag bench.sweep: MLflow has 'T', startup.json 'S'"),
    "a param": (
        lambda place: execute(place, "UPDATE params SET value = 'x' WHERE key = 'load_format'"),
        "fast #1: param load_format: MLflow has 'x', startup.json 'fast'",
    ),
    "a param more": (auto("log_param", "model", "other"), "param model: MLflow has 'other', startup.json nothing"),
    "a failed start": (
        lambda place: place.client.set_terminated(place.runs["fast #2"], "FINISHED"),
        "fast #2: status: MLflow has 'FINISHED', startup.json 'FAILED'",
    ),
    "a finished start": (auto("set_terminated", "FAILED"), "status: MLflow has 'FAILED', startup.json 'FINISHED'"),
    "all starts of a sweep": (
        lambda place: place.client.set_tag(place.parent, "bench.sweep", "T"),
        "auto #1: the sweep: MLflow has 'T', startup.json 'S'",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_in_mlflow_is_refused_with_both_values(place, what):
    """By hand, in its interface, by a script, or in its database."""
    change, words = CHANGED[what]
    change(place)

    with pytest.raises(EvidenceError) as refused:
        place.found()
    assert words in str(refused.value)


def test_what_a_user_adds_of_their_own_is_no_change(place):
    """A note, a tag, a metric that is none of bench's; nor is a trace that MLflow did not take."""
    auto("set_tag", "mlflow.note.content", "fine")(place)
    auto("set_tag", "team", "blue")(place)
    auto("set_tag", "host.rack", "r12")(place)
    auto("set_tag", "source.ticket", "77")(place)
    auto("log_param", "operator", "ann")(place)
    auto("log_metric", "system/cpu", 1.0)(place)
    auto("set_tag", "bench.warnings", "trace: not kept")(place)
    found = place.found()

    assert [each.name for each in found.starts] == ["auto #1", "fast #1", "fast #2"]
    assert found.doubts == ()
    assert all("operator" not in each.params for each in found.starts)


def test_a_run_that_was_renamed_keeps_the_name_that_its_start_recorded(place):
    """So that no log and no warning is another start's; and the report has a word on it."""
    for name, other in (("auto #1", "fast #1"), ("fast #1", "auto #1")):
        place.client.update_run(place.runs[name], name=other)
    found = place.found()

    assert [each.name for each in found.starts] == ["auto #1", "fast #1", "fast #2"]
    assert [(each.start, each.text.partition(":")[0]) for each in found.doubts] == [
        ("auto #1", "MLflow calls its run 'fast #1'"),
        ("fast #1", "MLflow calls its run 'auto #1'"),
    ]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"ready_s": 5.0, "metrics": {"ready_s": 29.0}}, "ready_s is 5.0000, metric ready_s 29.0000"),
        ({"metrics": {"first_token_s": 3.0}}, "first_token_s is 30.0000, metric first_token_s 3.0000"),
        (
            {
                "metrics": {
                    "ready_s": 29.0,
                    "waterfall/01_api_server_imports_s": 12.0,
                    "waterfall/99_unattributed_s": 1.0,
                }
            },
            "first_token_s is 30.0000, the sum of its waterfall 13.0000",
        ),
        (
            {"metrics": {"rank/TP0/probe/load_weights_s": 0.2}},
            "TP0's load_weights is 2.0000, metric rank/TP0/probe/load_weights_s 0.2000",
        ),
        ({"ended_at": STARTED_AT + 20}, "ready_s is 29.0000, and the start ended 20.0000 s after exec"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(known, words):
    """Somebody changed a part of it, in the start's folder and in MLflow alike."""
    report = ProbeReport((process(7, 1, "worker", LOADED, rank="TP0"),))

    assert f"startup.json contradicts itself: {words}" in list(contradictions_within(startup(report, **known)))
    assert list(contradictions_within(startup(report, metrics={"ready_s": 29.0}))) == []


@pytest.mark.parametrize("name", [name for name, path in folders().items() if (path / "startup.json").is_file()])
def test_an_honest_record_does_not_contradict_itself(name):
    assert list(contradictions_within(load_startup(folders()[name]))) == []


def test_a_value_that_the_upload_masked_is_the_same(monkeypatch):
    """Another process may have brought the start in, and known a secret more."""
    same = evidence._same  # noqa: SLF001

    assert same("--token *** --eager", "--token abc --eager")
    assert not same("--token *** --eager", "--token abc --lazy")
    assert same(None, "")
    assert not same(None, 0.0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing", "its run has no startup.json"),
        ("too long", "no more than 10 are read"),
        ("late", "did not come within"),
    ],
)
def test_a_start_without_its_own_record_is_unchecked(place, monkeypatch, fault, words):
    """It counts, and that nothing was held against it is a doubt."""
    if fault == "late":
        monkeypatch.setattr(evidence, "FETCH_S", 0.01)
        monkeypatch.setattr(evidence, "_fetch", lambda *_: threading.Event().wait(1))
    elif fault == "too long":
        monkeypatch.setattr(evidence, "BYTES_AT_MOST", 10)
    else:
        monkeypatch.setattr(evidence, "STARTUP", "other.json")
        words = words.replace("startup.json", "other.json")
    found = place.found()

    assert len(found.starts) == 3
    assert [doubt.start for doubt in found.doubts] == ["auto #1", "fast #1", "fast #2"]
    assert all(doubt.text.startswith("unchecked: ") and words in doubt.text for doubt in found.doubts)


def test_a_damaged_record_is_refused(place):
    """It was whole when bench wrote it."""
    path = place.artifact("auto #1")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        with pytest.raises(EvidenceError, match=r"auto #1: its startup\.json cannot be read"):
            place.found()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("checked", [True, False])
def test_a_start_that_was_uploaded_twice_counts_once(place, tmp_path, monkeypatch, checked):
    """Under another name, and so with another key: host and time of exec are the same."""
    place.upload(replace(STARTS[0], name="auto #2", parent_run_id=place.parent), tmp_path / "copy")
    if not checked:
        monkeypatch.setattr(evidence, "STARTUP", "other.json")
    found = place.found()

    assert [each.point for each in found.starts] == ["auto", "fast", "fast"]
    assert [each.text for each in found.doubts if "twice" in each.text] == [
        f"it is {found.starts[0].name}, uploaded twice: it counts once"
    ]


@pytest.mark.parametrize("at_s", [1.0, 5.0])
def test_a_start_that_was_uploaded_again_with_other_times_is_refused(place, tmp_path, monkeypatch, at_s):
    """Each run is as its own record says, and only one of the two can be true: by host and time of exec, or by the start's key."""
    monkeypatch.setattr(runs, "run_of", lambda *_: None)
    key = place.client.get_run(place.runs["auto #1"]).data.tags["bench.start_key"]
    faster = replace(start("auto #2", at_s), metrics={"ready_s": 3.0}, parent_run_id=place.parent)
    place.upload(
        faster if at_s == 1.0 else replace(faster, tags=faster.tags | {"bench.start_key": key}), tmp_path / "copy"
    )

    with pytest.raises(
        EvidenceError, match=r"are one start by its key, or .*: ready_s is (29\.0 and 3\.0|3\.0 and 29\.0)"
    ):
        place.found()


def test_a_copy_of_a_start_with_other_times_ran_beside_another(place, tmp_path):
    """A sweep makes one start after the other, so one that ran while another did is made up."""
    place.upload(replace(start("fast #3", 43.0), parent_run_id=place.parent), tmp_path / "copy")

    with pytest.raises(EvidenceError, match=r"fast #1 and fast #3 ran at the same time for 28\.0 s on one host"):
        place.found()


def test_a_second_start_of_a_point_in_one_block_is_named(place, tmp_path):
    """As where one that waited to be uploaded was made again by resume=true."""
    place.upload(replace(start("auto #2", 121.0), parent_run_id=place.parent), tmp_path / "copy")

    (doubt,) = [each for each in place.found().doubts if "second start" in each.text]
    assert (doubt.start, "beside auto #1" in doubt.text) == ("auto #2", True)


def test_a_start_of_another_sweep_that_was_moved_here_is_refused(place, tmp_path):
    """Its record names the sweep that it was made in."""
    other = start("auto #9", 9.0)
    other = replace(other, tags=other.tags | {"bench.sweep": "T"})
    run_id = place.upload(other, tmp_path / "T" / "start")
    place.client.set_tag(run_id, PARENT, place.parent)
    execute(place, "UPDATE runs SET experiment_id = (SELECT experiment_id FROM runs WHERE run_uuid = ?)", place.parent)
    with pytest.raises(EvidenceError, match=r"auto #9: the sweep: MLflow has 'S', startup\.json 'T'"):
        selected(place.tracking, "S")
