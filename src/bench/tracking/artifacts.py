"""Reading: the files of runs, by the repository that they lie in: MLflow's client asks for the run, all of it, two or three times a file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tracking.mlflow_errors import errors_translated
from bench.tracking.store import Store, connect

if TYPE_CHECKING:
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

Files = tuple["ArtifactRepository", dict[str, "FileInfo"]]  # of a run, those of its folders apart


def files_of(store: Store, artifact_uri: str) -> Files:
    """Where the files of a run lie, and which there are."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(artifact_uri, tracking_uri=store.uri)
    return repository, {each.path: each for each in repository.list_artifacts() if not each.is_dir}


def fetch_file(repository: "ArtifactRepository", name: str, folder: Path) -> Path:
    """Into this folder. Not by `download_artifacts`, which does it in threads that outlive a deadline."""
    path = folder / name
    repository._download_file(name, str(path))  # type: ignore[no-untyped-call]  # noqa: SLF001  # see above
    return path


def fetcher(uri: str) -> Callable[[str, str, Path], Path | None]:
    """A function that brings an artifact of a run into a folder; None if the run has no such file. It asks once which files a run has, and
    may be called in several threads.
    """
    store, known = connect(uri), dict[str, Files]()

    def fetch(run_id: str, name: str, folder: Path) -> Path | None:
        with errors_translated(uri):
            if run_id not in known:
                place = store.artifact_uris.get(run_id) or str(store.client.get_run(run_id).info.artifact_uri)
                known[run_id] = files_of(store, place)
            repository, files = known[run_id]
            return fetch_file(repository, name, folder) if name in files else None

    return fetch


def download(uri: str, run_id: str, name: str, folder: Path) -> Path | None:
    """One of a run's artifacts, or None if it has no such file."""
    return fetcher(uri)(run_id, name, folder)


def download_all(uri: str, run_id: str, folder: Path) -> None:
    """All of a run's artifacts, with their folders."""
    store = connect(uri)
    with errors_translated(uri):
        store.client.download_artifacts(run_id, "", str(folder))
