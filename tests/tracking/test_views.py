"""The saved views of an experiment: written once, made of what runs have, and never the reason of a failure."""

import base64
import json
import zlib
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from bench.start.metrics import find
from bench.tracking.store import connect, experiment_id
from bench.tracking.views import PREFIX, VIEWS, WRITTEN, page_of, write_views
from conftest import quiet


@pytest.fixture
def store(tmp_path: Path, empty_store: Path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_store.read_bytes())
    with quiet():
        yield connect(f"sqlite:///{path}")


def state_in(tag: str) -> dict:
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_an_experiment_is_made_with_our_views(store):
    made = experiment_id(store, "mine")
    tags = store.client.get_experiment(made).tags

    assert {name.removeprefix(PREFIX) for name in tags if name.startswith(PREFIX)} == {view.key for view in VIEWS}
    starts = state_in(tags[f"{PREFIX}bench-starts"])
    assert (starts["searchFilter"], starts["orderByKey"], starts["orderByAsc"]) == (
        "tags.`bench.kind` != 'sweep'", "metrics.`ready_s`", True,
    )  # fmt: skip
    assert page_of(made).endswith("&viewStateShareKey=bench-starts")


def test_an_experiment_of_an_earlier_bench_gets_them(store):
    there = store.client.create_experiment("old")

    assert experiment_id(store, "old") == there
    assert WRITTEN in store.client.get_experiment(there).tags


def test_a_view_that_a_user_removed_stays_removed_and_a_description_of_theirs_stays(store):
    there = store.client.create_experiment("old", tags={"mlflow.note.content": "ours, since 2024"})
    experiment_id(store, "old")
    store.client.delete_experiment_tag(there, f"{PREFIX}bench-sweeps")
    experiment_id(store, "old")

    tags = store.client.get_experiment(there).tags
    assert f"{PREFIX}bench-sweeps" not in tags
    assert tags["mlflow.note.content"] == "ours, since 2024"


def test_a_user_who_may_not_write_the_experiments_tags_can_write_runs_all_the_same():
    class Refusing:
        def set_experiment_tag(self, *_: str) -> None:
            raise MlflowException("403")

    write_views(Refusing(), "1", {})


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
def test_a_view_shows_metrics_that_the_catalogue_has(view):
    metrics = [column.split("`")[1] for column in view.columns if column.startswith("metrics.")]

    assert [name for name in (*metrics, *view.charts) if find(name) is None] == []
