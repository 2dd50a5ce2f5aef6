"""Which phases a log should tell of, and whether it does."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.log.coverage import Coverage, coverage, expected_phases, version_doubts
from bench.log.readings import Reading
from bench.log.server_info import ServerInfo
from read_lines import info_in, read_log, read_phases

LOGS = Path(__file__).parents[1] / "logs"

GPU = ServerInfo(version="0.26.0", engine="V1", load_format="auto", device="cuda", enforce_eager=False)
ALL = {"load_weights", "load_model", "torch_compile", "graph_capture", "init_engine", "kv_cache"}


def test_a_start_that_ends_early_lacks_what_comes_later():
    """The recorded one hangs in the engine's last phase."""
    with (LOGS / "h100-vllm0.26.0/dummy_TIMEOUT-in-jit-tp1-eager.stamped.log").open("rb") as log:
        lines = read_log(log)
    found = coverage(read_phases(lines), expected_phases(info_in(lines)))

    assert found == Coverage(
        found=("load_model", "kv_cache"),
        missing=("init_engine",),
        not_expected=("load_weights", "torch_compile", "graph_capture", "stream"),
    )
    assert found.share == pytest.approx(2 / 3)


def test_nothing_expected_is_no_share():
    """0 of 0 is not known, and not nothing."""
    assert coverage([], set()).share is None


def test_a_start_on_a_gpu_tells_everything():
    """The only kind that does."""
    assert expected_phases(GPU) == ALL


@pytest.mark.parametrize(
    ("told", "less"),
    [
        ({"load_format": "runai_streamer"}, {"load_weights"}),
        ({"load_format": "dummy"}, {"load_weights"}),
        ({"load_format": "sharded_state", "version": "0.11.2"}, {"load_weights"}),
        ({"load_format": "sharded_state", "version": "0.12.0"}, set()),
        ({"load_format": None}, {"load_weights"}),
        ({"device": "cpu"}, {"load_model", "torch_compile", "graph_capture"}),
        ({"device": "xpu"}, {"load_model", "torch_compile", "graph_capture"}),
        ({"device": "npu"}, {"load_model", "torch_compile", "graph_capture"}),
        ({"device": "neuron"}, ALL - {"init_engine"}),
        ({"device": "tpu"}, ALL - {"init_engine"}),
        ({"device": "hpu"}, ALL - {"init_engine"}),
        ({"device": None}, {"load_model", "torch_compile", "graph_capture"}),
        ({"enforce_eager": True}, {"torch_compile", "graph_capture"}),
        ({"enforce_eager": None}, {"torch_compile", "graph_capture"}),
        ({"compiles": False}, {"torch_compile"}),
        ({"captures": False}, {"graph_capture"}),
        ({"pools": True}, {"kv_cache"}),
        ({"version": "0.99.0"}, set()),
        ({"version": None}, set()),
        ({"version": None, "load_format": "sharded_state"}, set()),
    ],
)
def test_what_a_start_does_not_print_is_not_expected(told, less):
    """Nor what it may print or not, where the log leaves open which."""
    assert expected_phases(replace(GPU, **told)) == ALL - less


def test_compiling_that_is_told_together_with_the_first_run_is_told():
    """vLLM has one number for both where it loads its graph from the cache."""
    line = read_log([b"INFO"])[0]
    found = coverage([Reading("compile_and_profiling_run", None, line, {"duration_s": 1.0})], {"torch_compile"})

    assert found.found == ("torch_compile",)


@pytest.mark.parametrize("version", ["0.8.0", "0.11.0rc2.dev9+g1a2b", "0.33.0"])
def test_a_known_release_has_no_doubts(version):
    """Those whose texts the table was made from."""
    assert version_doubts(version) == []


@pytest.mark.parametrize("version", ["0.34.0", "1.0.0", "0.7.3", None, "dev"])
def test_another_release_is_read_with_a_warning(version):
    """It names the release, and says by which rules it was read."""
    (warning,) = version_doubts(version)

    assert (version or "unknown") in warning
    assert "newest" in warning
