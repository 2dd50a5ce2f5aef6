"""What describing a start makes of how it ended."""

from bench.log.outcome import Ending
from bench.log.start_log import StartLog, read_start
from bench.start.describe import outcome_of

FAILED = "(Worker_TP0 pid=7) ERROR 11-24 02:15:51 [multiproc_executor.py:953] ValueError: no such file"


def log_of(*texts: str) -> StartLog:
    return read_start(text.encode() for text in texts)


def test_a_start_without_a_reason_was_ready():
    """bench has asked it. What its log says, of its end too, does not matter."""
    assert outcome_of(None, log_of(FAILED)) == Ending("ready")
    assert outcome_of(None, StartLog()) == Ending("ready")


def test_a_failed_start_has_the_class_of_its_reason_and_the_stage_that_its_log_ends_in():
    """Its time was over while it loaded."""
    found = outcome_of(
        "not ready within vllm.ready_timeout_s=600",
        log_of("(Worker_TP0 pid=7) INFO 11-24 02:15:51 [gpu_model_runner.py:68] Starting to load model tiny..."),
    )

    assert found == Ending("failed", "not ready within vllm.ready_timeout_s=600", "timeout", "loading weights")


def test_a_start_that_failed_when_it_was_ready_has_no_stage():
    """It had come through all of them."""
    found = outcome_of("the completion ended without a token", log_of("INFO:     Application startup complete."))

    assert found == Ending("failed", "the completion ended without a token", "unknown", None)
