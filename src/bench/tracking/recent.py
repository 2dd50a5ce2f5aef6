"""The latest sweeps of a store that is a SQLite file, read without MLflow, whose import takes seconds: for the tab key alone."""

import sqlite3
from contextlib import closing

from bench.start import tags as t
from bench.tracking import sqlite_file

QUERY = """
SELECT named.value FROM runs
JOIN tags AS named ON named.run_uuid = runs.run_uuid AND named.key = ?
JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = ? AND kind.value = ?
WHERE runs.lifecycle_stage = 'active' ORDER BY runs.start_time DESC LIMIT ?
"""
WAIT_S = 0.2  # for a writer's lock


def recent_sweeps(uri: str, at_most: int) -> list[str]:
    """Their ids, the latest first. Empty for any other store.

    Raises:
        sqlite3.Error: the file cannot be read, or is none of MLflow's.
    """
    path = sqlite_file.path_of(uri)
    if path is None or not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as store:
        rows = store.execute(QUERY, (t.SWEEP.name, t.KIND.name, t.Kind.SWEEP.value, at_most))
        return [str(name) for (name,) in rows]
