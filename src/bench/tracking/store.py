"""A connection to MLflow: one store, one experiment, and what is found there. No other package imports mlflow."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bench.config import Tracking
from bench.errors import StoreError
from bench.host.output_folders import why_unwritable
from bench.masking import masked
from bench.system.output import print_message
from bench.tracking import sqlite_file
from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.views import write_views

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.entities import PagedList

T = TypeVar("T")

PAGE = 1000
ALL_OF_A_RUN = "metrics.m > 0 AND params.p = '' AND tags.t = ''"  # a condition that reads all that runs have
ENVIRONMENT = {  # a user's own values win
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would send while vLLM is being measured
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # its own 7 are four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds; its own 120, eight times, for each call to a server that hangs
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # a kept connection would write into a file that was removed
}


@dataclass(frozen=True)
class Store:
    """A client, and where it leads."""

    client: "MlflowClient"
    uri: str
    artifact_uris: dict[str, str] = field(default_factory=dict)  # of runs that were found so far: they never change


def absolute(uri: str) -> str:
    """The same store from any current directory."""
    if not (uri.startswith("sqlite:") and uri.startswith(sqlite_file.PREFIX)):
        return uri
    name, question, options = uri.removeprefix(sqlite_file.PREFIX).partition("?")
    return f"{sqlite_file.PREFIX}{Path(name).absolute()}{question}{options}"


def connect(uri: str) -> Store:
    """The store at `uri`, made if it is a file that is not there (any more).

    Raises:
        StoreError: no store, or one that this MLflow cannot use.
        TrackingError: nothing answers there now.
    """
    if not uri.strip():
        raise StoreError("tracking.uri is empty. Expected sqlite:///FILE or http://SERVER:PORT.")
    _refuse_address(uri)
    path = sqlite_file.path_of(uri)
    _quiet()
    with errors_translated(uri):
        if path:
            sqlite_file.ensure(path, print_message)
        return _connected(uri)


def _refuse_address(uri: str) -> None:
    """A server needs a name, and a port, if any, that is a number: no waiting mends that. Nor is a file's name alone an address.

    Raises:
        StoreError: the address cannot be that of a server.
    """
    if re.fullmatch(r"[\w.-]+:\d+(?:/.*)?", uri):
        raise StoreError(
            f"tracking.uri={masked(uri)}: a server's address begins with http:// or https://. Expected http://{masked(uri)}."
        )
    if ":" not in uri and uri != "databricks" and "MLFLOW_ALLOW_FILE_STORE" not in os.environ:
        file = "FILE" if Path(uri).is_dir() else masked(uri)
        raise StoreError(
            f"tracking.uri={masked(uri)}: a path alone is a folder of MLflow's old kind. Expected sqlite:///{file} or http://SERVER:PORT."
        )
    if not uri.lower().startswith(("http:", "https:")):
        return
    try:
        parts = urlsplit(uri)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise StoreError(f"tracking.uri={masked(uri)}: this is no server's address. Expected http://SERVER:PORT.")


def _quiet() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401  # sets the level of its log itself

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised, and reported once, by bench


@cache
def _connected(uri: str) -> Store:
    """A server is checked once a process."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return Store(client, uri)


def check(tracking: Tracking) -> None:
    """Before the first start: whether the starts can be written where they are to go.

    Raises:
        StoreError: not now and not later: the address, credentials, the store's schema, the right to write, an experiment in the trash,
            a place for artifacts that cannot be written.
        TrackingError: not now, but perhaps later: a server that is away, a file that is locked.
    """
    store = connect(tracking.uri)
    if path := sqlite_file.path_of(tracking.uri):
        sqlite_file.refuse_unwritable(path)
    with errors_translated(tracking.uri):
        _refuse_other_experiment(store, tracking)
        experiment = experiment_id(store, tracking.experiment)
        next(search(store, ALL_OF_A_RUN, [experiment]), None)  # a server's database that lacks a table fails here
        _refuse_artifacts(store, experiment, f"tracking.experiment={tracking.experiment}, artifact_location")


def given_by_mlflow() -> str | None:
    """The run of MLFLOW_RUN_ID, which is taken out of the environment: no start must write to it. Its own experiment counts then."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is not None:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    return run_id


def _refuse_other_experiment(store: Store, tracking: Tracking) -> None:
    """bench knows experiments by their names; one that the environment gives by its id must be the same.

    Raises:
        StoreError: it is another one.
    """
    if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        name = str(store.client.get_experiment(number).name)
        if name != tracking.experiment:
            raise StoreError(
                f"MLFLOW_EXPERIMENT_ID={number} is the experiment {name!r}, and tracking.experiment={tracking.experiment}."
                f" Type tracking.experiment={name}, or unset MLFLOW_EXPERIMENT_ID."
            )


def _refuse_artifacts(store: Store, experiment: str, setting: str) -> None:
    """Asks the place for an experiment's artifacts for something that is not there. What is missing (credentials, a package, the place
    itself) is an error.

    Raises:
        StoreError: it is a folder that cannot be written.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    location = str(store.client.get_experiment(experiment).artifact_location)
    path = url2pathname(location.removeprefix("file://"))
    if path.startswith("/") and (why := why_unwritable(setting, Path(path))):
        raise StoreError(why)
    get_artifact_repository(location, tracking_uri=store.uri).list_artifacts("bench-check")


def experiment_id(store: Store, name: str) -> str:
    """The experiment of this name, with our saved views, created if missing, also with several processes at once.

    Raises:
        StoreError: it lies in MLflow's trash. Like MLflow itself, bench does not take it out unasked.
    """
    from mlflow.exceptions import MlflowException

    found = store.client.get_experiment_by_name(name)
    if found is None:
        try:
            made = str(store.client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = store.client.get_experiment_by_name(name)
            assert found is not None
        else:
            write_views(store.client, made, {})
            return made
    if found.lifecycle_stage == "deleted":
        raise StoreError(
            f"tracking.experiment={name}: this experiment is in MLflow's trash. Choose another name, or restore it:  "
            f"MLFLOW_TRACKING_URI={masked(store.uri)} mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    write_views(store.client, str(found.experiment_id), found.tags)
    return str(found.experiment_id)


def search(store: Store, condition: str, experiments: list[str] | None = None, *, page: int = PAGE) -> Iterator["Run"]:
    """The active runs for which `condition` holds, of all experiments or of these: newest first, a page at a time: MLflow needs two milliseconds for each run that it returns."""
    search_experiments = store.client.search_experiments
    places = experiments or [
        str(each.experiment_id) for each in _pages(lambda token: search_experiments(max_results=PAGE, page_token=token))
    ]
    newest_first = ["attributes.start_time DESC"]
    for run in _pages(
        lambda token: store.client.search_runs(
            places, condition, max_results=page, order_by=newest_first, page_token=token
        )
    ):
        store.artifact_uris[run.info.run_id] = str(run.info.artifact_uri)
        yield run


def _pages(page: "Callable[[str | None], PagedList[T]]") -> Iterator[T]:
    """All results, page by page."""
    token = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return
