"""One start from settings to a Startup, with the fake vLLM."""

from bench.compose import compose_settings
from bench.start.files import LOG, SETTINGS
from bench.start.run import measure
from bench.start.steps import Steps


def test_a_failed_start_is_described_with_all_that_it_left(fake, tmp_path, monkeypatch):
    """Nothing is raised; its settings and its log are in its folder, and its command in its params."""
    monkeypatch.chdir(tmp_path)
    words = ("vllm.env.FAKE_MODE=exit", "rig.wait_s=0", "compile_cache=as_is", "page_cache=as_is")
    (settings,) = compose_settings([f"vllm.python={fake}", *words])
    folder = tmp_path / "start"
    folder.mkdir()
    steps = Steps()
    startup = measure(settings, folder, lambda *_: None, steps)

    assert startup.failed
    assert steps.failures == []
    assert startup.exec_at_s is not None
    assert "api_server" in startup.params["vllm_command"]
    assert (folder / SETTINGS).exists()
    assert (folder / LOG).stat().st_size > 0
