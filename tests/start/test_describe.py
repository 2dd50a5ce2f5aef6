"""What describing a start makes of how it ended."""

import pytest

from bench.log.outcome import Ending
from bench.log.start_log import StartLog, read_start
from bench.start.describe import ending_of
from bench.start.execution import Execution, Stop, StopKind

FAILED = "(Worker_TP0 pid=7) ERROR 11-24 02:15:51 [multiproc_executor.py:953] ValueError: no such file"


def log_of(*texts: str) -> StartLog:
    return read_start(text.encode() for text in texts)


def stopped(kind: StopKind, text: str) -> Execution:
    return Execution(0.0, stop=Stop(kind, text))


def test_a_start_without_a_reason_was_ready():
    """bench has asked it. What its log says, of its end too, does not matter."""
    assert ending_of(Execution(0.0), log_of(FAILED)) == Ending("ready")
    assert ending_of(Execution(0.0), StartLog()) == Ending("ready")


def test_a_failed_start_has_the_class_of_its_reason_and_the_stage_that_its_log_ends_in():
    """Its time was over while it loaded."""
    found = ending_of(
        stopped(StopKind.TIMEOUT, "too late"),
        log_of("(Worker_TP0 pid=7) INFO 11-24 02:15:51 [gpu_model_runner.py:68] Starting to load model tiny..."),
    )

    assert found == Ending("failed", "too late", "timeout", "loading weights")


def test_a_start_that_failed_when_it_was_ready_has_no_stage():
    """It had come through all of them."""
    answered = stopped(StopKind.OTHER, "the completion ended without a token")
    found = ending_of(answered, log_of("INFO:     Application startup complete."))

    assert found == Ending("failed", "the completion ended without a token", "unknown", None)


@pytest.mark.parametrize(
    ("kind", "reason", "failure_class"),
    [
        (StopKind.VLLM_ENDED, "ValueError: no such file", "unknown"),
        (StopKind.OTHER, "what bench saw", "unknown"),
        (StopKind.INTERRUPTED, "what bench saw", "bench_ended"),
        (StopKind.TIMEOUT, "what bench saw", "timeout"),
    ],
)
def test_the_kind_of_a_stop_decides_whose_words_are_the_reason(kind, reason, failure_class):
    """Never its text: the log's where vLLM ended by itself."""
    found = ending_of(stopped(kind, "what bench saw"), log_of(FAILED))

    assert (found.reason, found.reason_class) == (reason, failure_class)
