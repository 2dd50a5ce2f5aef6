"""Starts on their way into a store: each once, whatever broke off, whoever uploads, and never at the cost of the next one."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings, Tracking
from bench.errors import TrackingError
from bench.start.files import RUN
from bench.start.tags import DRIVER, KEY
from bench.start.warning import ResultWarning, WarningKind
from bench.system.process_identity import this_process
from bench.tracking import outbox, runs, sweeps, uploads
from bench.tracking.bring_in import bring_in, tidy
from bench.tracking.query import INCOMPLETE
from bench.tracking.runs import end_abandoned, log_start
from bench.tracking.selection import selected
from bench.tracking.store import connect
from bench.tracking.sweeps import PARENT, SweepRun, open_sweep
from bench.tracking.uploads import begin_sweep, bring_in_rest, end_sweep, upload_start
from conftest import quiet
from made_starts import failed, startup

pytestmark = pytest.mark.filterwarnings("ignore")
SWEEP = {"bench.sweep": "S", "bench.kind": "start", "bench.point": "auto"}


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return compose_settings([f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"])[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A start of sweep S, on disk, among files that are none of bench's."""
    place = tmp_path / "multirun" / "start-0"
    place.mkdir(parents=True)
    startup(tags=SWEEP, exec_at_s=7.0).save(place)
    (place / "vllm.log").write_text("hello\n")
    (place / "thesis.txt").write_text("three years of work")
    return place


def starts_in(settings: Settings) -> list:
    """Every run of a start in the store."""
    with quiet():
        client = connect(settings.tracking.uri).client
        places = [each.experiment_id for each in client.search_experiments()]
        return [run for run in client.search_runs(places) if KEY.name in run.data.tags]


def broken(name: str, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """The store's client fails at this call, so often."""
    from mlflow import MlflowClient

    real, left = getattr(MlflowClient, name), [times]

    def failing(*arguments: object, **named: object) -> object:
        if left[0]:
            left[0] -= 1
            raise ConnectionError("connection reset")
        return real(*arguments, **named)

    monkeypatch.setattr(MlflowClient, name, failing)


@pytest.mark.parametrize(
    "call", ["create_run", "log_batch", "log_artifact", "set_terminated", "set_tag", "get_run", "search_runs"]
)
def test_an_upload_that_broke_off_goes_on_in_the_same_run(settings, folder, monkeypatch, call):
    """At whichever call; a third upload changes nothing, and the start counts once."""
    broken(call, monkeypatch)
    with pytest.raises(TrackingError, match="connection reset"):
        bring_in(settings.tracking, folder)
    first = bring_in(settings.tracking, folder)

    assert bring_in(settings.tracking, folder) == first
    (run,) = starts_in(settings)
    assert run.info.status == "FINISHED"
    assert len(selected(settings.tracking, "S")[0][0].sweep.starts) == 1


def test_a_half_uploaded_start_is_neither_running_nor_finished(settings, folder, monkeypatch):
    """Whoever reads it meanwhile is told what is missing, and does not count it."""
    broken("log_artifact", monkeypatch)
    with pytest.raises(TrackingError):
        bring_in(settings.tracking, folder)
    (start,) = selected(settings.tracking, "S")[0][0].sweep.starts

    assert (start.failed, start.reason) == (True, INCOMPLETE)
    assert starts_in(settings)[0].info.status == "KILLED"


def test_two_uploads_of_one_start_at_once_are_one_run(settings, folder):
    """The second waits, and finds it done."""
    threads = [threading.Thread(target=bring_in, args=(settings.tracking, folder)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(starts_in(settings)) == 1


def test_a_start_that_two_hosts_have_uploaded_counts_once_and_whole(settings, folder, monkeypatch):
    """Their locks do not see each other, so there may be two runs: readers take the complete one."""
    monkeypatch.setattr(runs, "run_of", lambda *_: None)
    whole = bring_in(settings.tracking, folder)
    broken("set_tag", monkeypatch)
    with pytest.raises(TrackingError):
        bring_in(settings.tracking, folder)

    assert len(starts_in(settings)) == 2
    assert [start.run_id for start in selected(settings.tracking, "S")[0][0].sweep.starts] == [whole]


def test_only_a_starts_own_files_become_artifacts(settings, folder):
    """Its folder may be one that a user shares with it."""
    run_id = bring_in(settings.tracking, folder)
    kept = {each.path for each in connect(settings.tracking.uri).client.list_artifacts(run_id)}

    assert kept == {"startup.json", "vllm.log"}


def test_a_start_finds_its_sweep_again_when_the_store_was_lost(settings, folder):
    """What the sweep wrote beside its starts makes its run once more."""
    sweep = SweepRun("S", 1000.0, {"seed": "1"}, {"bench.points": "auto"})
    assert begin_sweep(settings.tracking, sweep, folder.parent)
    Path("mlflow.db").unlink()
    end_sweep(settings.tracking, folder.parent, failed=False, ended_by="enough")
    bring_in(settings.tracking, folder)
    found = selected(settings.tracking, "S")[0][0].sweep

    assert (found.order, found.ended_by, found.started_at) == (("auto",), "enough", 1000.0)
    assert len(found.starts) == 1


def test_a_start_goes_where_its_sweep_is_though_the_experiment_was_renamed(settings, folder):
    """Children go by the sweep's run, not by a name."""
    parent = begin_sweep(settings.tracking, SweepRun("S", 1000.0, {}, {}), folder.parent)
    client = connect(settings.tracking.uri).client
    number = client.get_experiment_by_name("bench").experiment_id
    client.rename_experiment(number, "renamed")
    bring_in(settings.tracking, folder)
    (run,) = starts_in(settings)

    assert (run.info.experiment_id, run.data.tags[PARENT]) == (number, parent)


def test_a_start_waits_in_the_outbox_until_the_next_command(settings, folder, monkeypatch, capsys):
    """Its experiment lies in the trash; when somebody restores it, nothing was lost."""
    begin_sweep(settings.tracking, SweepRun("S", 1000.0, {}, {}), folder.parent)
    client = connect(settings.tracking.uri).client
    number = client.get_experiment_by_name("bench").experiment_id
    client.delete_experiment(number)

    assert upload_start(settings, folder) is None
    assert "Nothing is lost" in capsys.readouterr().err
    assert len([*outbox.waiting(Path("caches"), settings.tracking.uri)]) == 1

    client.restore_experiment(number)
    tidy(settings)

    assert "brought 1 starts into MLflow" in capsys.readouterr().err
    assert [*outbox.waiting(Path("caches"), settings.tracking.uri)] == []
    assert len(starts_in(settings)) == 1


def test_what_waits_in_the_folder_of_an_earlier_bench_is_brought_in(settings, folder, tmp_path, capsys):
    """Which kept its caches, and the outbox with them, in the current folder."""
    begin_sweep(settings.tracking, SweepRun("S", 1000.0, {}, {}), folder.parent)
    outbox.put(Path("caches"), settings.tracking, folder)
    tidy(settings.model_copy(update={"caches_dir": str(tmp_path / "elsewhere")}))

    assert "brought 1 starts into MLflow" in capsys.readouterr().err
    assert [*outbox.waiting(Path("caches"), settings.tracking.uri)] == []


@pytest.mark.parametrize("fault", ["its experiment is in the trash", "garbage"])
def test_a_start_that_cannot_be_brought_in_keeps_no_other_from_it(settings, folder, capsys, fault):
    """The first that waits is the one that cannot; the second is taken all the same, and no command ends for it."""
    elsewhere = settings.tracking.model_copy(update={"experiment": "trashed"})
    number = connect(settings.tracking.uri).client.create_experiment("trashed")
    connect(settings.tracking.uri).client.delete_experiment(number)
    broken = folder.with_name("broken")
    broken.mkdir()
    other = SWEEP | {"bench.sweep": "T"}  # a start of the same sweep would go where that is
    startup(tags=other, name="auto #3").save(broken)
    if fault == "garbage":
        (broken / "startup.json").write_text("[[[")
    outbox.put(Path("caches"), settings.tracking if fault == "garbage" else elsewhere, broken)
    outbox.put(Path("caches"), settings.tracking, folder)
    tidy(settings)

    assert "brought 1 starts into MLflow" in capsys.readouterr().err
    assert len(starts_in(settings)) == 1


@pytest.mark.parametrize("may_be_away", [True, False])
def test_a_store_whose_answer_never_ends_is_waited_for_no_longer_than_the_limit(
    settings, monkeypatch, capsys, may_be_away
):
    """A start is measured all the same, a sweep refused."""
    hangs = threading.Event()
    monkeypatch.setattr(uploads, "check", lambda _: hangs.wait(20))
    monkeypatch.setattr(uploads, "CHECK_S", 0.2)
    uploads._worker.cache_clear()  # noqa: SLF001
    words = "has not come to an end within 0.2 s"
    try:
        if may_be_away:
            uploads.open_store(settings, may_be_away=True)
            assert words in capsys.readouterr().err
        else:
            with pytest.raises(TrackingError, match=words):
                uploads.open_store(settings, may_be_away=False)
    finally:
        hangs.set()
        uploads._worker.cache_clear()  # noqa: SLF001


def test_the_outbox_recognises_a_store_without_its_password(tmp_path):
    """A new password is the same store; another host is not."""
    tracking = Tracking(uri="http://me:old-password@mlflow:5000", experiment="bench")
    pointer = outbox.put(tmp_path, tracking, tmp_path)

    assert "old-password" not in pointer.read_text()
    pointer.write_text(pointer.read_text().replace(this_process().as_text(), ""))
    assert [*outbox.waiting(tmp_path, tracking.uri)]
    assert [*outbox.waiting(tmp_path, "http://me:new-password@mlflow:5000")]
    assert not [*outbox.waiting(tmp_path, "http://me:old-password@other:5000")]


def test_a_store_that_hangs_keeps_no_start_waiting_for_long(settings, folder, monkeypatch, capsys):
    """The second does not wait at all; the end of the sweep waits a little, and says what is left and how to bring it in."""
    hangs = threading.Event()
    monkeypatch.setattr("bench.tracking.bring_in.log_start", lambda *_: hangs.wait(20) or "never")
    monkeypatch.setattr(uploads, "WAIT_S", 0.2)
    monkeypatch.setattr(uploads, "END_WAIT_S", 0.2)
    uploads._worker.cache_clear()  # noqa: SLF001
    worker = uploads._worker()  # noqa: SLF001
    try:
        assert upload_start(settings, folder) is None
        assert upload_start(settings, folder) is None
        assert bring_in_rest(settings, [folder]) == {}
        assert len([*outbox.waiting(Path("caches"), settings.tracking.uri)]) == 1
    finally:
        hangs.set()
        for upload in [*worker._unfinished]:  # noqa: SLF001  # none goes on in another test
            upload.exception(20)
        uploads._worker.cache_clear()  # noqa: SLF001

    assert "1 starts wait for MLflow. The next command brings them in, or:  python -m bench.replay multirun" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "text", ["", "[]", '{"sweep_id": "S"}', '{"sweep_id": "S", "started_at": "then", "params": {}, "tags": {}}']
)
def test_the_file_of_a_sweeps_run_is_read_as_written_or_not_at_all(text, tmp_path):
    """Cut, of another shape or of other types: none of it reaches MLflow."""
    sweep = SweepRun("S", 1000.5, {"a": "b"}, {}, run_id="r", ended_by="the last block")
    sweep.save(tmp_path)
    assert SweepRun.load(tmp_path) == sweep

    (tmp_path / sweeps.SWEEP_FILE).write_text(text)
    assert SweepRun.load(tmp_path) is None


def test_runs_whose_driver_is_gone_are_ended_and_no_others(settings):
    """Not those of a living process, of another host, or without a driver's name."""
    here = this_process()
    drivers = {
        "gone": replace(here, started_ticks="1").as_text(),
        "living": here.as_text(),
        "elsewhere": replace(here, host="elsewhere").as_text(),
        "unreadable": f"{here.host} and so on",
    }
    client = connect(settings.tracking.uri).client
    opened = {name: open_sweep(settings.tracking, SweepRun(name, 0.0, {}, {})) for name in drivers}
    for name, driver in drivers.items():
        client.set_tag(opened[name], DRIVER.name, driver)
    (sentence,) = end_abandoned(settings.tracking)

    assert "run gone is KILLED: its driver, pid" in sentence
    assert {name: client.get_run(run_id).info.status for name, run_id in opened.items()} == {
        "gone": "KILLED",
        "living": "RUNNING",
        "elsewhere": "RUNNING",
        "unreadable": "RUNNING",
    }


def test_a_start_of_an_earlier_bench_has_a_key_too(settings, folder):
    """It follows from what is written of the start, so that it is the same wherever the files are copied to."""
    copied = folder.parent.parent / "copied"
    shutil.copytree(folder, copied)

    assert bring_in(settings.tracking, folder) == bring_in(settings.tracking, copied)
    assert startup(tags=SWEEP).key != failed(tags=SWEEP, name="another").key
    assert json.loads((copied / RUN).read_text())["run_id"] == starts_in(settings)[0].info.run_id


def test_a_start_with_odd_names_and_numbers_is_not_lost(settings, folder):
    """In any place of it."""
    odd = "a#b%c?'\"\n\udcff" + "x" * 9000
    start = startup(
        name=odd[:200],
        tags=SWEEP | {"odd": odd},
        params={"odd": odd},
        metrics={"nan": float("nan")},
        warnings=[ResultWarning(WarningKind.OTHER, odd)],
    )
    run_id = log_start(settings.tracking, start, folder)

    assert connect(settings.tracking.uri).client.get_run(run_id).info.status == "FINISHED"
