"""One start from settings to a Startup, with the fake vLLM."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.start.files import LOG, SETTINGS
from bench.start.record import Startup
from bench.start.run import measure
from bench.start.steps import Steps


@pytest.fixture
def started(fake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Startup, Steps]]:
    """One start of the fake with these words, in the folder `start`."""
    monkeypatch.chdir(tmp_path)
    usual = ("rig.wait_s=0", "compile_cache=as_is", "page_cache=as_is")

    def started(*words: str) -> tuple[Startup, Steps]:
        (settings,) = compose_settings([f"vllm.python={fake}", *usual, *words])
        folder, steps = tmp_path / "start", Steps()
        folder.mkdir(exist_ok=True)
        return measure(settings, folder, lambda *_: None, steps), steps

    return started


def test_a_failed_start_is_described_with_all_that_it_left(started, tmp_path):
    """Nothing is raised; its settings and its log are in its folder, and its command in its params."""
    startup, steps = started("vllm.env.FAKE_MODE=exit")

    assert startup.failed
    assert steps.failures == []
    assert startup.exec_at_s is not None
    assert "api_server" in startup.params["vllm_command"]
    assert (tmp_path / "start" / SETTINGS).exists()
    assert (tmp_path / "start" / LOG).stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "endpoint", "warned"),
    [
        (("vllm.args.runner=pooling",), "/v1/embeddings", None),
        (("vllm.args.runner=pooling", "vllm.env.FAKE_MODE=refuse_completion"), None, "has no first answer"),
        (("completion=null",), None, None),
        (("completion=null", "vllm.env.FAKE_MODE=refuse_completion"), None, None),
        (("completion=null", "verify=true", "sweep.kind=prime"), None, None),
    ],
)
def test_a_start_without_a_token_counts(started, words, endpoint, warned):
    """It has no first token, and its waterfall ends where it was ready."""
    startup, steps = started(*words)
    waterfall = sum(value for name, value in startup.metrics.items() if name.startswith("waterfall/"))

    assert steps.failures == []
    assert not startup.failed
    assert startup.problems == []
    assert (startup.first_token_s, "first_token_s" in startup.metrics) == (None, False)
    assert startup.tags.get("bench.endpoint") == endpoint
    assert ("first_answer_s" in startup.metrics) is bool(endpoint)
    assert "bench.tokens" not in startup.tags
    assert waterfall == pytest.approx(startup.ready_s)
    assert [each.text for each in startup.warnings if warned and warned in each.text] or not warned


def test_a_model_is_asked_by_the_name_that_it_is_served_under(started):
    """Which is vLLM's to set; what stands behind it is this checkpoint."""
    startup, _ = started("vllm.args.served_model_name=mine")

    assert not startup.failed
    assert startup.first_token_s is not None

    startup, _ = started("vllm.args.served_model_name=[mine,too]", "vllm.env.FAKE_ROOT=/data/other")

    assert startup.reason.startswith("/v1/models has '/data/other' behind 'mine', expected ")


def test_a_refused_completion_says_how_to_leave_it_out(started):
    """As where a chat model has no room for the prompt."""
    startup, _ = started("vllm.env.FAKE_MODE=refuse_completion")

    assert startup.reason.startswith("the completion was refused with 400: ")
    assert startup.reason.endswith("; completion=null makes a start without it")
