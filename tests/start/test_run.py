"""One start from settings to a folder on disk, with the fake vLLM: its own OpenTelemetry spans are taken in where they can come."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.start.record import Startup
from bench.start.run import measure
from bench.start.steps import Steps
from otel_messages import Sent, message

Measure = Callable[..., Startup]


@pytest.fixture
def measured(fake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Starts a fake vLLM, which plays a failed start and sends one span, if it is told where to; what is known of it then."""
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "VLLM_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    body = tmp_path / "body"
    body.write_bytes(message(7, Sent("Capture model", 1.0, 2.0), exec_at=time.time()))
    monkeypatch.setenv("FAKE_SPANS", str(body))
    python = (
        tmp_path / "python"
    )  # bench asks each interpreter once for its versions, and others may have asked the fake's
    python.symlink_to(fake)

    def measured(*overrides: str) -> Startup:
        words = (f"vllm.python={python}", "vllm.env.FAKE_MODE=exit", "rig.wait_s=0", "compile_cache=as_is", *overrides)
        (settings,) = compose_settings([*words, "page_cache=as_is"])
        (tmp_path / "start").mkdir()
        return measure(settings, tmp_path / "start", lambda *_: None, Steps())

    return measured


def test_a_failed_start_has_the_spans_that_came(measured, tmp_path):
    """In its folder, and so in MLflow; the command says what made vLLM send them."""
    startup = measured()
    (span,) = json.loads((tmp_path / "start" / "otel_spans.json").read_text())

    assert startup.failed
    assert (span["name"], span["pid"]) == ("Capture model", 7)
    assert -3600 < span["started_s"] < 1  # the body was made before exec, with a second added
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:" in startup.params["vllm_command"]
    assert not [warning for warning in startup.warnings if "spans" in warning]


@pytest.mark.parametrize(("otel", "warned"), [("null", False), ("true", True)])
def test_a_start_without_spans_says_so_only_if_asked_for_them(measured, tmp_path, otel, warned):
    """Here they go where the user wants them, and bench does not interfere."""
    startup = measured("vllm.args.otlp_traces_endpoint=http://collector:4318/v1/traces", f"vllm.otel={otel}")

    assert any("otlp_traces_endpoint" in warning for warning in startup.warnings) is warned
    assert "OTEL_" not in startup.params["vllm_command"]
    assert not (tmp_path / "start" / "otel_spans.json").exists()
