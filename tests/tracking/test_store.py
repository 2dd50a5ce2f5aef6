"""The store before anything is written to it: made where there is none, refused where it cannot be used, never harmed."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.config import Tracking
from bench.errors import StoreError, TrackingError
from bench.tracking import sqlite_file
from bench.tracking.log_run import file_name, key_of, log, log_files
from bench.tracking.store import check, connect, experiment_id
from conftest import mlflow_client, quiet

FIRST_USE = """
import sys, warnings
warnings.simplefilter("ignore")
from bench.config import Tracking
from bench.tracking.store import check, connect, experiment_id
check(Tracking(uri=sys.argv[1], experiment="shared"))
store = connect(sys.argv[1])
print(store.client.create_run(experiment_id(store, "shared")).info.experiment_id)
"""


@pytest.fixture
def store_file(tmp_path: Path, empty_store: Path) -> Path:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path / "mlflow.db"


def tracking(uri: object, experiment: str = "bench") -> Tracking:
    return Tracking(uri=f"sqlite:///{uri}" if isinstance(uri, Path) else str(uri), experiment=experiment)


def checked(uri: object, experiment: str = "bench") -> None:
    with quiet():
        check(tracking(uri, experiment))


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_several_processes_may_use_a_store_that_is_not_there_yet(tmp_path):
    """They get one whole store and one experiment, as does a process that does not know our lock (MLflow itself)."""
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    others = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_USE, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    done = [(process.communicate(), process.returncode) for process in others]

    assert [code for _, code in done] == [0] * 3, done
    assert len({out for (out, _), _ in done}) == 1
    with quiet():
        client = mlflow_client(tmp_path / "new")
        assert sorted(each.name for each in client.search_experiments()) == ["Default", "shared"]


def test_an_empty_file_is_filled(tmp_path):
    """A process that was killed when it had just made the file."""
    path = tmp_path / "mlflow.db"
    path.touch()
    os.utime(path, (1, 1))
    checked(path)

    assert sqlite_file._version(path) == (sqlite_file.newest_schema(), True)  # noqa: SLF001


def test_who_comes_while_another_process_makes_the_tables_waits_for_it(store_file, tmp_path):
    """A file that is changing is somebody's work; here it is whole after a while."""
    path, messages = tmp_path / "new.db", []
    path.touch()
    threading.Timer(0.5, shutil.copy, [store_file, path]).start()
    sqlite_file.ensure(path, messages.append)

    assert messages == [f"waiting for another process to finish the tables of {path}"]


VERSION = "UPDATE alembic_version SET version_num = "


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"{VERSION}'c48cb773bb87'", "made by an older MLflow"),
        (f"{VERSION}'badc0ffee000'", "made by a newer MLflow"),
        ("DROP TABLE alembic_version", "was not made by MLflow"),
        ("DROP TABLE metrics", "is damaged: .*: metrics.is_nan, metrics.key, metrics.run_uuid, …"),
        ("ALTER TABLE runs DROP COLUMN name", "is damaged: .*: runs.name, trace_tags.key, "),
    ],
)
def test_a_store_of_another_schema_is_refused_and_not_changed(store_file, statement, words):
    """MLflow itself would upgrade one that lacks a table, unasked."""
    execute(store_file, "DROP TABLE trace_tags", statement)
    os.utime(store_file, (1, 1))
    before = store_file.read_bytes()

    with pytest.raises(StoreError, match=words):
        checked(store_file)
    assert store_file.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    ["UPDATE alembic_version SET version_num = 'badc0ffee000'", "DROP TABLE alembic_version; DROP TABLE experiments"],
    ids=["newer", "somebody else's"],
)
def test_what_no_process_can_be_making_into_a_store_is_not_waited_for(store_file, statement):
    """Though the file has just been changed."""
    execute(store_file, *statement.split("; "))
    messages = []
    with pytest.raises(StoreError, match=r"Choose another tracking\.uri|choose another tracking\.uri"):
        sqlite_file.ensure(store_file, messages.append)

    assert messages == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("foo://somewhere", "foo://somewhere"),
        ("databricks", "credential"),
        ("folder", "Expected sqlite:///FILE or http://SERVER:PORT"),
        ("thesis.txt", "Expected sqlite:///thesis.txt or http"),
        ("mlflow.example:5000", "Expected http://mlflow.example:5000"),
        ("sqlite://", "names no file"),
        ("sqlite:///folder", "found a folder"),
        ("sqlite:///thesis.txt", "no SQLite database"),
        ("sqlite:///thesis.txt/mlflow.db", "cannot be written to"),
        ("postgresql://me:secret@127.0.0.1:1/x", "psycopg"),
        ("http://[::1", "no server's address"),
    ],
)
def test_an_address_that_leads_to_no_store_is_refused_at_once(tmp_path, monkeypatch, uri, words):
    """In a sentence, without MLflow's 100 seconds of trying again; and what lies there stays as it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "thesis.txt").write_text("three years of work\n" * 100)
    began_s = time.monotonic()

    with pytest.raises(StoreError, match=words) as caught:
        checked(uri)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began_s < 30
    assert (tmp_path / "thesis.txt").read_text() == "three years of work\n" * 100


def test_a_store_that_is_read_only_is_refused_before_the_first_start(store_file, monkeypatch):
    """The write that is tried is taken back, and root's own permissions do not hide a read-only file system."""
    opened = sqlite_file._open  # noqa: SLF001
    monkeypatch.setattr(sqlite_file, "_open", lambda path, _mode: _read_only(opened(path, "ro")))

    with pytest.raises(StoreError, match="read-only"):
        checked(store_file)


def _read_only(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA query_only = ON")
    return connection


def test_a_store_that_another_process_keeps_locked_may_be_free_later(store_file, monkeypatch):
    """So the starts need not be refused for it."""
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.1)
    with closing(sqlite3.connect(store_file)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(TrackingError, match="locked for more than") as caught:
            checked(store_file)
        assert not isinstance(caught.value, StoreError)


def test_an_experiment_in_the_trash_is_refused_with_how_to_restore_it(store_file):
    """MLflow's own set_experiment refuses it too: what somebody has thrown away does not come back unasked."""
    with quiet():
        store = connect(f"sqlite:///{store_file}")
        number = experiment_id(store, "bench")
        store.client.delete_experiment(number)

    with pytest.raises(StoreError, match=f"restore --experiment-id {number}"):
        checked(store_file)


@pytest.mark.parametrize(
    ("location", "words"),
    [("thesis.txt/1", "is no folder"), ("foo://bucket/1", "foo")],
)
def test_artifacts_that_cannot_be_written_are_refused_before_the_first_start(store_file, tmp_path, location, words):
    """A run that cannot take its log is none."""
    (tmp_path / "thesis.txt").touch()
    location = location if "://" in location else str(tmp_path / location)
    with quiet():
        connect(f"sqlite:///{store_file}").client.create_experiment("bench", artifact_location=location)

    with pytest.raises(StoreError, match=words):
        checked(store_file)


def test_a_store_that_is_removed_meanwhile_is_made_again(store_file):
    """A kept connection would go on to write into the file that nobody sees any more."""
    uri = f"sqlite:///{store_file}"
    with quiet():
        experiment_id(connect(uri), "before")
        store_file.unlink()
        experiment_id(connect(uri), "after")

        assert [each.name for each in mlflow_client(store_file.parent).search_experiments()] == ["after", "Default"]


def test_a_server_that_is_away_is_no_mistake_of_the_user(monkeypatch):
    """It may come back while the first start is running."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(TrackingError) as caught:
        checked("http://127.0.0.1:9")
    assert not isinstance(caught.value, StoreError)


def test_values_that_mlflow_does_not_take_are_kept_in_another_way(store_file):
    """Numbers that are none become tags, long values say that they were cut, odd names are written with colons."""
    with quiet():
        store = connect(f"sqlite:///{store_file}")
        run_id = store.client.create_run("0").info.run_id
        for _ in range(2):  # a call that broke off is made again
            log(
                store,
                run_id,
                params={"long": "x" * 10_000, "odd#?%\n'": "a\udcffb", "": "no name"},
                metrics={"nan": float("nan"), "inf/": float("inf"), "speed%up": 2.0},
                tags={"bench.reason": "y" * 9_000, "quotes'\"": "\n"},
            )
        found = store.client.get_run(run_id).data

        assert len(store.client.get_metric_history(run_id, "speed:up")) == 1
    assert found.metrics == {"speed:up": 2.0}
    assert found.tags["not_a_number.nan"] == "nan"
    assert found.tags["not_a_number.inf"] == "inf"
    assert found.params["long"].endswith("(10000 characters, cut)")
    assert len(found.tags["bench.reason"]) == 8000
    assert found.params["odd:::::"] == "a?b"


def test_files_of_any_name_become_artifacts(store_file, tmp_path):
    """Under another name where theirs is none for an address; no two of them the same."""
    names = [b"vllm.log", b"a#b?c%20.log", b"a#b?c%21.log", b"quote'\"\n.txt", b"not-utf8-\xff.txt", b"\\back"]
    paths = [tmp_path / os.fsdecode(name) for name in names]
    for path in paths:
        path.write_bytes(os.fsencode(path.name))
    with quiet():
        store = connect(f"sqlite:///{store_file}")
        run_id = store.client.create_run("0").info.run_id
        log_files(store, run_id, paths)
        kept = {each.path for each in store.client.list_artifacts(run_id)}

    assert kept == {file_name(path.name) for path in paths}
    assert len(kept) == len(names)
    assert "vllm.log" in kept


def test_a_key_has_no_empty_part_and_no_dots_alone():
    """MLflow would take such a name for a path out of its folder."""
    assert key_of("/a//../b/.") == "a/b"
