"""How the plugin reaches vLLM's processes: by their environment alone."""

from pathlib import Path

from bench.vllm.command import Command
from bench.vllm.plugin import plugin_environment, with_plugin


def test_the_plugin_comes_in_front_of_what_pythonpath_says_already():
    """The user's own modules stay where they were."""
    probe, *others = plugin_environment({"PYTHONPATH": "/mine:/yours"}, Path("folder"))["PYTHONPATH"].split(":")

    assert (Path(probe) / "bench_probe" / "__init__.py").is_file()
    assert others == ["/mine", "/yours"]


def test_a_list_of_allowed_plugins_allows_ours_too():
    """vLLM loads every plugin where VLLM_PLUGINS is not set, and only those named where it is."""
    assert plugin_environment({"VLLM_PLUGINS": "mine"}, Path("folder"))["VLLM_PLUGINS"] == "mine,bench_probe"
    assert "VLLM_PLUGINS" not in plugin_environment({}, Path("folder"))


def test_the_probe_is_told_where_to_write(tmp_path, monkeypatch):
    """To a folder that is there before vLLM is, and of which a relative path would mislead its workers. The rest stays."""
    monkeypatch.chdir(tmp_path)
    asked = Command(("python", "-m", "vllm"), {"MINE": "1"}, 8000)
    command = with_plugin(asked, Path("probe"))

    assert (command.arguments, command.port) == (asked.arguments, asked.port)
    assert command.environment["BENCH_PROBE_DIR"] == str(tmp_path / "probe")
    assert command.environment["MINE"] == "1"
    assert (tmp_path / "probe").is_dir()
