"""A connection to MLflow: one store, one experiment. No other room imports mlflow."""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import masking
from bench.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

LENGTH = 300
BATCH = 90  # MLflow takes 100 params or tags a call, and 1,000 metrics


@dataclass(frozen=True)
class Store:
    """A client, and where it leads."""

    client: "MlflowClient"
    uri: str


@contextmanager
def talking_to(uri: str) -> Iterator[None]:
    """Whatever MLflow raises in this block becomes a TrackingError, in one line."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        words = _shortened(masking.masked(" ".join(str(error).split())))
        raise TrackingError(f"tracking.uri={masked(uri)}: MLflow did not do as asked: {words}") from error


def _shortened(text: str) -> str:
    """Its beginning says what was tried, its end what went wrong."""
    return text if len(text) <= LENGTH else f"{text[: LENGTH // 3]} … {text[-2 * LENGTH // 3 :]}"


def masked(uri: str) -> str:
    """The address without the password that it may hold."""
    return masking.masked(uri)


@cache
def connect(uri: str) -> Store:
    """The store at `uri`, created if it is a file that is not there yet.

    Raises:
        TrackingError: nothing answers there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would send while vLLM is being measured
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own 7 are four minutes
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is no news
    with talking_to(uri):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return Store(client, uri)


def experiment_id(store: Store, name: str) -> str:
    """The experiment of this name, created if missing: by the driver, before any job, since two processes that create
    it at once break it.
    """
    found = store.client.get_experiment_by_name(name)
    return str(found.experiment_id if found else store.client.create_experiment(name))


def log(store: Store, run_id: str, *, params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]) -> None:
    """Everything at once, after measuring: a value at a time costs four milliseconds each."""
    from mlflow.entities import Metric, Param, RunTag

    params, metrics, tags = masking.masked_tree((params, metrics, tags))
    now_ms = int(time.time() * 1000)
    for some_params in _batches(Param(name, value) for name, value in params.items()):
        store.client.log_batch(run_id, params=some_params)
    for some_metrics in _batches(Metric(name, value, now_ms, 0) for name, value in metrics.items()):
        store.client.log_batch(run_id, metrics=some_metrics)
    for some_tags in _batches(RunTag(name, value) for name, value in tags.items()):
        store.client.log_batch(run_id, tags=some_tags)


def _batches(items: Iterable[T]) -> Iterable[list[T]]:
    every = list(items)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def log_files(store: Store, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
    """Files as artifacts of a run, below `folder`."""
    for path in paths:
        store.client.log_artifact(run_id, str(path), folder)
