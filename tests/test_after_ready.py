"""What follows the timed part of a start: the requests until the server is steady, and load."""

import json

import pytest

from conftest import Workplace
from whole_sweeps import MINE, with_a_model

ASKED = (*MINE, "serve_bench=true", "steady.requests=8", "steady.within=10")


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    return with_a_model(workplace)


def test_a_start_is_asked_on_when_it_is_timed(place):
    """The figures are metrics of its run, and the requests and the generator's result files of it."""
    done = place.bench(*ASKED)
    (run,) = place.runs()
    files, metrics = place.artifacts(run), run.data.metrics

    assert done.code == 0, done.err
    assert metrics["throughput/output_tokens_per_s"] == 128.0
    assert metrics["latency/tpot_p50_s"] == 0.0125
    assert metrics["ready_s"] <= metrics["phase/steady_s"]
    assert metrics["latency/first_request_s"] > 0
    assert [each["kind"] for each in json.loads(files["steady.json"])].count("long") == 4
    assert json.loads(files["serve_bench.json"])["completed"] == 32


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (("vllm.env.FAKE_LOAD=fail",), "serve_bench: vLLM's load generator ended with exit code 1"),
        (("vllm.env.FAKE_TASKS=embed",), "serve_bench: this model completes no texts"),
    ],
)
def test_load_that_fails_is_said_and_fails_no_start(place, words, warning):
    """The start was over."""
    done = place.bench(*ASKED, *words)
    (run,) = place.runs()

    assert done.code == 0, done.err
    assert run.info.status == "FINISHED"
    assert warning in run.data.tags["bench.warnings"]
    assert "throughput/output_tokens_per_s" not in run.data.metrics
