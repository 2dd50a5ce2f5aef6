"""What MLflow is given of a run: params, metrics, tags and files, as it takes them."""

import hashlib
import math
import os
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from bench.masking import masked_tree
from bench.tracking.store import Store

T = TypeVar("T")

PARAM, TAG, KEY = 6000, 8000, 250  # the most characters that MLflow keeps; it cuts silently, or refuses
ODD = "not_a_number."  # of a tag's name: a metric's stands behind it
BATCH = 90  # MLflow takes 100 params or tags a call, and 1,000 metrics


def log(  # noqa: PLR0913  # what a run consists of
    store: Store,
    run_id: str,
    *,
    params: dict[str, str],
    metrics: dict[str, float],
    tags: dict[str, str],
    replaces: bool = False,
) -> None:
    """Everything at once, after measuring: a value at a time costs four milliseconds each. What is there already is left
    as it is, so that a call that broke off can be made again; with `replaces` a metric of another value is written again.
    """
    from mlflow.entities import Metric, Param, RunTag

    params, metrics, tags = as_taken(params, metrics, tags)
    now_ms = int(time.time() * 1000)
    there = store.client.get_run(run_id).data
    new_params = [Param(name, value) for name, value in params.items() if name not in there.params]
    new_metrics = [
        Metric(name, value, now_ms, 0)
        for name, value in metrics.items()
        if name not in there.metrics or (replaces and there.metrics[name] != value)
    ]
    for some_params in _batches(new_params):
        store.client.log_batch(run_id, params=some_params)
    for some_metrics in _batches(new_metrics):
        store.client.log_batch(run_id, metrics=some_metrics)
    for some_tags in _batches(RunTag(name, value) for name, value in tags.items()):
        store.client.log_batch(run_id, tags=some_tags)


def as_taken(
    params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]
) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
    """These values of a run as MLflow has them afterwards: masked and cut. A number that is none (NaN, infinite) is a tag, by its name."""
    params, metrics, tags = masked_tree((params, metrics, tags))
    odd = {f"{ODD}{name}": str(value) for name, value in metrics.items() if not math.isfinite(value)}
    return (
        dict(_taken(name, value, PARAM) for name, value in params.items()),
        {key_of(name): value for name, value in metrics.items() if math.isfinite(value)},
        dict(_taken(name, value, TAG) for name, value in (tags | odd).items()),
    )


def _taken(name: str, value: str, most: int) -> tuple[str, str]:
    return key_of(name), text_of(value, most)


def text_of(value: str, most: int = KEY) -> str:
    """As MLflow takes it; a cut one is marked as cut. The whole value is in the start's own files."""
    text = value.encode(errors="replace").decode()  # a name that is not UTF-8 is no text for a database
    note = f" … ({len(text)} characters, cut)"
    return text if len(text) <= most else text[: most - len(note)] + note


def key_of(text: str) -> str:
    """MLflow takes letters, digits and _ - . / : and blanks, and no part between slashes that is empty or a dot or two."""
    parts = re.sub(r"[^\w\-./: ]", ":", text.encode(errors="replace").decode()).split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})[:KEY] or "unnamed"


def _batches(items: Iterable[T]) -> Iterable[list[T]]:
    every = list(items)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def log_files(store: Store, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
    """Files as artifacts of a run, below `folder`; one whose name an address or a store cannot hold, under another name."""
    for path in paths:
        if (name := file_name(path.name)) == path.name:
            store.client.log_artifact(run_id, str(path), folder)
            continue
        with tempfile.TemporaryDirectory() as place:
            (renamed := Path(place) / name).symlink_to(path.absolute())
            store.client.log_artifact(run_id, str(renamed), folder)


def file_name(name: str) -> str:
    """The name itself if it is of letters, digits and _ - . and blanks, else one of those, different for each name."""
    plain = re.sub(r"[^\w\-. ]", "_", name.encode(errors="replace").decode(), flags=re.ASCII)[-KEY // 2 :]
    return name if plain == name else f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-{plain}"
