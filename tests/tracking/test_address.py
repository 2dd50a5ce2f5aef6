"""What a printed command needs to find the store."""

import pytest

from bench.config import Tracking
from bench.tracking.address import words_for


@pytest.mark.parametrize(
    ("uri", "environment", "words"),
    [
        ("sqlite:///mlflow.db", {}, []),
        ("sqlite:////data/mlflow.db", {}, ["tracking.uri=sqlite:////data/mlflow.db"]),
        ("http://mlflow:5000", {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}, []),
        ("sqlite:///mlflow.db", {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}, ["tracking.uri=sqlite:///mlflow.db"]),
        (
            "http://mlflow:5000",
            {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "BENCH_BELOW_MLFLOW_RUN": "1"},
            ["tracking.uri=http://mlflow:5000"],
        ),
    ],
)
def test_a_store_that_is_found_without_is_not_named(monkeypatch, uri, environment, words):
    """Below `mlflow run` the variables that name it are gone when the command is pasted."""
    for name in ("MLFLOW_TRACKING_URI", "BENCH_BELOW_MLFLOW_RUN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert words_for(Tracking(uri=uri, experiment="bench")) == words
