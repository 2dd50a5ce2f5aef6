"""The file of a SQLite store: made whole where there is none, checked before MLflow opens it, and never damaged.

MLflow makes its tables step by step, so that two processes which open a new file at once break it for good; and where one
of its tables is missing, it upgrades the file unrequested. So a new store is built elsewhere and copied into the file in
one transaction, under a lock, and a file with other tables than this MLflow's is refused before MLflow sees it.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.errors import LockError, StoreError, TrackingError
from bench.system.locks import locked

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

PREFIX = "sqlite:///"
BUSY_S = 20.0  # how long MLflow itself waits for another process that writes
SETTLED_S = 30.0  # no process is creating tables in a file that has not changed for so long
RETRY_S = 0.2
COLUMNS = "SELECT it.name, its.name FROM sqlite_master it, pragma_table_xinfo(it.name) its WHERE it.type = 'table'"
LEAST_FREE_MIB = 20
MIB = 1024**2
SHOWN = 3  # columns


def path_of(uri: str) -> Path | None:
    """The file of a SQLite store, absolute; None for any other address.

    Raises:
        StoreError: a store in memory, which ends with its process.
    """
    if not uri.startswith("sqlite:"):
        return None
    name = uri.removeprefix(PREFIX).partition("?")[0] if uri.startswith(PREFIX) else ""
    if name in {"", ":memory:"}:
        raise StoreError(f"tracking.uri={uri}: this names no file. Expected sqlite:///FILE, like sqlite:///mlflow.db.")
    return Path(name).absolute()


def ensure(path: Path, on_wait: Callable[[str], None]) -> None:
    """Afterwards there is a store of this MLflow's at `path`: the one that was there, unchanged, or a new one.

    Raises:
        StoreError: something else is there, or there can be no such file.
        TrackingError: another process has locked it for longer than MLflow waits.
    """
    if _is_ready(path):
        return
    try:
        with locked(path.with_name(f".{path.name}.lock"), on_wait):
            waits = False
            while not _is_ready(path):
                if _is_settled(path):
                    _fill(path)
                    continue
                if not waits:
                    on_wait(f"waiting for another process to finish the tables of {path}")
                waits = True
                time.sleep(RETRY_S)
    except LockError as error:
        raise StoreError(f"{path}: the store's folder cannot be written to: {error}") from error


def refuse_unwritable(path: Path) -> None:
    """Tries to write to the store, and takes it back.

    Raises:
        StoreError: its file or its file system is read-only, or has no space.
        TrackingError: locked by another process.
    """
    free_mib = shutil.disk_usage(path.parent).free / MIB
    if free_mib < LEAST_FREE_MIB:
        raise StoreError(f"{path}: {free_mib:.0f} MiB are free on its file system; expected {LEAST_FREE_MIB} MiB.")
    try:
        with closing(_open(path, "rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE alembic_version SET version_num = version_num")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise _in_words(path, error) from error


def _is_ready(path: Path) -> bool:
    """Whether it is a store of this MLflow's. False: it is empty or missing, or another process may just be creating its tables."""
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: expected the file of a SQLite store, found a folder or a device.")
    if not path.exists():
        return False
    try:
        found, has_tables = _version(path)
    except sqlite3.Error as error:
        raise _in_words(path, error) from error
    if found == newest_schema():
        _refuse_incomplete(path)
        return True
    if has_tables and (_is_settled(path) or _is_never_ours(path, found)):
        raise StoreError(_other_schema(path, found))
    return False


def _refuse_incomplete(path: Path) -> None:
    """Before MLflow sees it, which would add a missing table as it was in its first release.

    Raises:
        StoreError: a table or a column is missing.
    """
    with closing(_open(path, "ro")) as connection:
        there = set(connection.execute(COLUMNS))
    if missing := [".".join(each) for each in sorted(_columns() - there)]:
        shown = ", ".join(missing[:SHOWN]) + (", …" if missing[SHOWN:] else "")
        raise StoreError(
            f"{path}: this store is damaged: it lacks columns of its schema version, {newest_schema()}: {shown}. Restore it from a "
            "backup, or choose another tracking.uri."
        )


@cache
def _columns() -> frozenset[tuple[str, str]]:
    """Table and column of all that the installed MLflow writes."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # which knows all tables
    from mlflow.store.db.base_sql_model import Base

    tables = Base.metadata.tables.values()
    return frozenset((table.name, column.name) for table in tables for column in table.columns)


def _is_never_ours(path: Path, found: str | None) -> bool:
    """Whether no other process can just be making it into one of this MLflow's: the version is one that this MLflow does not lead to, or
    the tables are not MLflow's, which makes its own before it writes a version.
    """
    if found is not None:
        return found not in known_schemas()
    with closing(_open(path, "ro")) as connection:
        row = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone()
    return row is None


def _version(path: Path) -> tuple[str | None, bool]:
    """The schema's version, as Alembic wrote it, and whether there are tables at all."""
    with closing(_open(path, "ro")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = connection.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
        version = next((str(number) for (number,) in rows), None)
    return version, any(not name.startswith("alembic_") for name in tables)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """Never makes a file. What a killed writer left half-done is undone where that is allowed."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
    if mode == "rw":
        return connection
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)
    return connection


def _in_words(path: Path, error: sqlite3.Error) -> TrackingError:
    """A TrackingError where a later attempt may succeed, else a StoreError."""
    words = str(error)
    if "locked" in words:
        return TrackingError(f"{path}: another process has kept this store locked for more than {BUSY_S:g} s.")
    if "readonly" in words:
        return StoreError(f"{path}: this store is read-only. Give write access to it, or choose another tracking.uri.")
    if "not a database" in words:
        return StoreError(f"{path}: this file is no SQLite database. Choose another tracking.uri.")
    if "full" in words:
        return StoreError(f"{path}: no space is left for this store.")
    return StoreError(f"{path}: this store cannot be opened: {words}.")


def _other_schema(path: Path, found: str | None) -> str:
    from mlflow import __version__

    required = f"MLflow {__version__} needs version {newest_schema()}"
    if found is None:
        return f"{path}: this database was not made by MLflow, or never finished: it has tables, but no schema version; {required}. Choose another tracking.uri."
    if found in known_schemas():
        return (
            f"{path}: this store was made by an older MLflow (schema version {found}); {required}. bench never upgrades a store. "
            f"After a backup:  mlflow db upgrade {PREFIX}{path}"
        )
    return f"{path}: this store was made by a newer MLflow (schema version {found}, unknown here); {required}. Install that MLflow, or choose another tracking.uri."


@cache
def newest_schema() -> str:
    """The version of the tables that the installed MLflow makes."""
    return str(_migrations().get_current_head())


@cache
def known_schemas() -> frozenset[str]:
    """That version and all before it."""
    return frozenset(each.revision for each in _migrations().walk_revisions())


def _migrations() -> "ScriptDirectory":
    import mlflow.store
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.store.__path__[0]) / "db_migrations"))


def _is_settled(path: Path) -> bool:
    """Whether no process is writing to it: neither the file nor its journal has changed lately. True for a missing file."""
    changed_s = []
    for each in (path, path.with_name(f"{path.name}-journal"), path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            changed_s.append(each.stat().st_mtime)
    return not path.exists() or not 0 <= time.time() - max(changed_s) < SETTLED_S


def _fill(path: Path) -> None:
    """A whole new store into a file that is missing or has no tables; no effect where another process was faster."""
    statements = _new_store()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                for statement in statements:
                    connection.execute(statement)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _in_words(path, error) from error


@cache
def _new_store() -> tuple[str, ...]:
    """The statements that make an empty store, as MLflow makes it in a private temporary file."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "new.db"
        MlflowClient(tracking_uri=f"{PREFIX}{file}").search_experiments(max_results=1)
        with closing(sqlite3.connect(file)) as connection:
            return tuple(line for line in connection.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"})
