"""A connection to MLflow: one store, one experiment. No other room imports mlflow."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

BATCH = 90  # MLflow takes 100 params or tags a call, and 1,000 metrics


@dataclass(frozen=True)
class Store:
    client: "MlflowClient"
    uri: str


@cache
def connect(uri: str) -> Store:
    """The store at `uri`, created if it is a file that is not there yet.

    Raises:
        TrackingError: nothing answers there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would send while vLLM is being measured
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise TrackingError(f"tracking.uri={uri}: MLflow cannot be reached: {str(error).splitlines()[0]}") from error
    return Store(client, uri)


def experiment_id(store: Store, name: str) -> str:
    """The experiment of this name, created if missing: by the driver, before any job, since two processes that create
    it at once break it."""
    from mlflow.exceptions import MlflowException

    if found := store.client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(store.client.create_experiment(name))
    except MlflowException as error:  # somebody was faster
        if found := store.client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise TrackingError(f"tracking.experiment={name}: {error}") from error


def log(store: Store, run_id: str, *, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]) -> None:
    """Everything at once, after measuring: a value at a time costs four milliseconds each."""
    import time

    from mlflow.entities import Metric, Param, RunTag

    now_ms = int(time.time() * 1000)
    for some in _batches(Param(name, value) for name, value in params.items()):
        store.client.log_batch(run_id, params=some)
    for some in _batches(Metric(name, value, now_ms, 0) for name, value in metrics.items()):
        store.client.log_batch(run_id, metrics=some)
    for some in _batches(RunTag(name, value) for name, value in tags.items()):
        store.client.log_batch(run_id, tags=some)


def _batches(items: Iterable[T]) -> Iterable[list[T]]:
    every = list(items)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def log_files(store: Store, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
    for path in paths:
        store.client.log_artifact(run_id, str(path), folder)
