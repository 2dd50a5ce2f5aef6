"""How long `bench.compare` of one sweep takes in a store of 10,000 starts. The aims, beside MLflow's own import: 2 s on SQLite, 4 s over HTTP and
PostgreSQL.

    python benchmarks/large_store.py [FOLDER] [URI]

Makes the store in FOLDER, `mlflow.db`, or in the database that URI names, where it is empty: one sweep of 50 starts, five points in ten
blocks, uploaded by bench itself from a published result, with all their files; and its rows 199 times more under other ids. Curves of memory
are copied for the first sweep alone. Then compares the first sweep, `TIMES` times, in a process of its own each time; where FOLDER has its
own store, also through an `mlflow server` on it.

The last line is JSON, in seconds: `import_s`, of MLflow with its store; `compare_s`, of the whole command behind it, the least and the median,
and the processor's of the quickest; `load`, of the host before. What was found so far: large_store.json.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import zstandard
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine.reflection import Inspector

from bench.config import Tracking
from bench.start import tags as t
from bench.start.record import load_startup
from bench.tracking.page import CURVES
from bench.tracking.runs import log_start
from bench.tracking.store import connect, experiment_id
from bench.tracking.sweeps import PARENT, SweepRun, close_sweep, open_sweep

RESULT = Path(__file__).parents[1] / "benchmark_results" / "h200-storage_as_is" / "starts.tar.zst"
SWEEP, EXPERIMENT = "20260101-000000-0000", "large"
POINTS, BLOCKS, SWEEPS = 5, 10, 200
APART_S = 3600.0  # between two starts
TIMES = 3
PORT = 5071
COPIED = (
    "runs",
    "params",
    "latest_metrics",
    "metrics",
    "tags",
)  # the tags last: they tell which runs are the first sweep's
CHILD = """
import sys, time
began_s = time.perf_counter()
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.tracking.rest_store, mlflow.tracking
imported_s, cpu_s = time.perf_counter(), time.process_time()
from bench.compare import main
try:
    main()
finally:
    print(imported_s - began_s, time.perf_counter() - imported_s, time.process_time() - cpu_s, file=sys.stderr)
"""


def main(folder: str = "large_store", uri: str | None = None) -> None:
    """Make what is missing, and time."""
    place = Path(folder).absolute()
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)  # where the artifacts of a store without a server lie
    database = uri or f"sqlite:///{place / 'mlflow.db'}"
    make(database)
    found: dict[str, object] = {"load": [round(each, 1) for each in os.getloadavg()], **rows(database)}
    found[database.partition(":")[0]] = timed(database)
    with served(database, place / "mlruns") as address:
        found[f"http, {database.partition(':')[0]}"] = timed(address)
    print(json.dumps(found))


def make(database: str) -> None:
    """The store, unless it has the sweep already."""
    tracking = Tracking(uri=database, experiment=EXPERIMENT)
    experiment_id(connect(database), EXPERIMENT)
    if rows(database)["runs"]:
        return
    parent = open_sweep(tracking, SweepRun(SWEEP, 1.7e9, {"points": str(POINTS)}, {}))
    with tempfile.TemporaryDirectory() as unpacked:
        with (
            RESULT.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as packed,
            tarfile.open(fileobj=packed, mode="r|") as archive,
        ):
            archive.extractall(unpacked, filter="data")
        templates = sorted(Path(unpacked, "starts").glob("runai_streamer*"))
        for order, folder in starts(templates, parent):
            log_start(tracking, load_startup(folder), folder)
            print(f"start {order} of {POINTS * BLOCKS} uploaded", file=sys.stderr)
    close_sweep(tracking, parent, failed=False, ended_by=None)
    with create_engine(database).begin() as connection:
        for number in range(1, SWEEPS):
            for statement in copies(inspect(connection), number):
                connection.execute(text(statement))


def starts(templates: list[Path], parent: str) -> Iterator[tuple[int, Path]]:
    """The folders of all starts, each ready to be uploaded."""
    for number in range(POINTS * BLOCKS):
        block, point = divmod(number, POINTS)
        label = f"runai_streamer concurrency={2**point}"
        folder = templates[number % len(templates)]
        template = load_startup(folder)
        place = t.SWEEP.of(SWEEP) | t.POINT.of(label) | t.REPEAT.of(block) | t.ORDER.of(number + 1)
        tags = {name: value for name, value in template.tags.items() if name != t.KEY.name} | place
        replace(
            template,
            name=f"{label} #{block + 1}",
            parent_run_id=parent,
            params=template.params | {"load_format.extra.concurrency": str(2**point)},
            tags=tags,
            started_at=1.7e9 + APART_S * number,
            ended_at=1.7e9 + APART_S * number + template.ended_at - template.started_at,
            exec_at_s=None if template.exec_at_s is None else APART_S * number,
        ).save(folder)
        yield number + 1, folder


def copies(tables: Inspector, number: int) -> Iterator[str]:
    """The statements that add the first sweep's rows once more, as another, earlier sweep."""
    prefix, earlier_ms = f"{number:08x}", int(number * POINTS * BLOCKS * APART_S * 1000)
    new = f"'{prefix}' || substr({{}}, {len(prefix) + 1})"
    changed = {
        ("runs", "start_time"): f"start_time - {earlier_ms}",
        ("runs", "end_time"): f"end_time - {earlier_ms}",
        ("tags", "value"): f"CASE key WHEN '{t.SWEEP.name}' THEN '{SWEEP[:-4]}{number:04d}'"
        f" WHEN '{PARENT}' THEN {new.format('value')} WHEN '{t.KEY.name}' THEN {new.format('value')} ELSE value END",
    }
    for table in COPIED:
        columns = [str(column["name"]) for column in tables.get_columns(table)]
        values = [
            new.format("run_uuid") if name == "run_uuid" else changed.get((table, name), name) for name in columns
        ]
        of_first = f"run_uuid IN (SELECT run_uuid FROM tags WHERE key = '{t.SWEEP.name}' AND value = '{SWEEP}')"  # noqa: S608  # of this file alone
        but = f" AND key NOT LIKE '{CURVES}%'" if "metrics" in table else ""
        yield f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} WHERE {of_first}{but}"  # noqa: S608  # of this file alone


def rows(database: str) -> dict[str, int]:
    """How large it is."""
    with create_engine(database).connect() as connection:
        return {
            name: int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())  # noqa: S608  # of this file alone
            for name in ("runs", "latest_metrics", "metrics", "params", "tags")
        }


def timed(uri: str) -> dict[str, float]:
    """`TIMES` commands."""
    words = [f"sweep={SWEEP}", f"tracking.uri={uri}", f"tracking.experiment={EXPERIMENT}"]
    found = []
    for _ in range(TIMES):
        done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append([float(each) for each in done.stderr.split()[-3:]])
    imports, compares, processor = zip(*found, strict=True)
    quickest = min(range(TIMES), key=lambda at: compares[at])
    values = {
        "import_s": min(imports),
        "compare_s": min(compares),
        "median_s": statistics.median(compares),
        "processor_s": processor[quickest],
    }
    return {name: round(value, 2) for name, value in values.items()}


@contextmanager
def served(database: str, artifacts: Path) -> Iterator[str]:
    """The address of a server on it, which has the artifacts too."""
    local, remote = str(artifacts), "mlflow-artifacts:"
    _move_artifacts(database, local, remote)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--workers",
        "1",
        "--port",
        str(PORT),
        "--backend-store-uri",
        database,
    ]
    process = subprocess.Popen(
        [*command, "--artifacts-destination", local],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # nine processes that this needs not
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        address = f"http://127.0.0.1:{PORT}"
        while not _answers(address):
            assert process.poll() is None, "the server has ended"
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        _move_artifacts(database, remote, local)


def _move_artifacts(database: str, old: str, new: str) -> None:
    with create_engine(database).begin() as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            connection.execute(text(f"UPDATE {table} SET {column} = replace({column}, '{old}', '{new}')"))  # noqa: S608  # of this file alone


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310  # our own
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
