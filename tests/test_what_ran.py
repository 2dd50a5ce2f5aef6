"""Whole sweeps of the fake vLLM in which other things ran than were asked for: honest points are compared, the others named."""

import json
from collections.abc import Callable

import pytest

from bench.start.tags import RAN_ENVIRONMENT
from conftest import Workplace
from whole_sweeps import MINE, Swept, section, swept, with_a_model

LIES = {
    "safetensors": {
        "worker": {"environment": {"OMP_NUM_THREADS": "1"}, "effective": {"dtype": "torch.float16"}},
        "engine_core": {"cpus": "0"},
        "api_server": {"packages": {"vllm": "0.32.0 from /other/vllm/__init__.py"}},
    },
    "dummy": {"api_server": {"arguments": ["/fake/api_server.py", "--enforce-eager"]}},
}


@pytest.fixture(scope="module")
def lied(new_workplace: Callable[[], Workplace]) -> Swept:
    """Two honest points, one whose processes have something else, and one that was started otherwise."""
    formats = "load_format=auto,runai_streamer,safetensors,dummy"
    return swept(with_a_model(new_workplace()), *MINE, formats, environment={"FAKE_RAN": json.dumps(LIES)})


def test_honest_points_agree(lied):
    """Whatever port, path and folder each start has."""
    auto, streamer = lied.start("auto").data.tags, lied.start("runai_streamer").data.tags

    assert auto["bench.ran"] == streamer["bench.ran"] == "recorded"
    assert {name for name in auto if name.startswith("ran.") and auto[name] != streamer[name]} == set()
    assert "PYTHONPATH" in RAN_ENVIRONMENT.in_(auto)
    assert "`runai_streamer`: no speedup" not in section(lied.report, "Speedups")
    assert "What ran is" not in lied.report


def test_every_difference_is_named_where_the_comparison_is_withheld(lied):
    """With the process that it is in."""
    (line,) = (line for line in lied.report.splitlines() if line.startswith("- `safetensors`: no speedup"))

    assert "the vLLM that ran differs (0.32.0 from /fake/vllm/__init__.py and api_server: 0.32.0 from /other" in line
    assert "the effective dtype differs (torch.bfloat16 and torch.float16)" in line
    assert "the environment variable OMP_NUM_THREADS differs (" in line
    assert "; worker: 1)" in line


def test_a_start_with_other_arguments_than_were_recorded_is_invalid(lied):
    """It entered no figure; what each process had is in its record."""
    reason = lied.start("dummy").data.tags["bench.invalid_reason"]
    ran = json.loads(lied.place.artifacts(lied.start("dummy"))["startup.json"])["ran"]

    assert reason.startswith(
        "vLLM ran with other arguments than it was started with: --enforce-eager was added, --model "
    )
    assert sorted(name.split()[0] for name in ran) == ["TP0", "api_server", "engine_core"]


def test_a_sweep_without_the_probe_says_so_at_the_top(new_workplace):
    """Beside the answer, before any table."""
    found = swept(with_a_model(new_workplace()), *MINE, "load_format=auto", "probe=false")

    assert "- What ran is unverified: probe=false (`auto`): " in found.report.partition("\n## ")[0]
