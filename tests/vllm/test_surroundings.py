"""What each process of vLLM really had: read inside it, bounded and masked, whatever vLLM is like."""

import json
import os

import pytest

from bench.vllm.probe.bench_probe import cgroup
from bench.vllm.probe_events import read_events
from fake_package import run_with_probe

LOAD = """
from types import SimpleNamespace as Some
from vllm.v1.worker.gpu_worker import Worker
register()
worker = Worker(0, 1)
"""
CONFIGURED = """
backend = type("Backend", (), {"get_name": staticmethod(lambda: "FLASH_ATTN")})
worker.vllm_config = Some(
    model_config=Some(dtype="torch.bfloat16", quantization=None, max_model_len=2048),
    load_config=Some(load_format="auto"),
    compilation_config=Some(level=3, static_forward_context={"a": Some(attn_backend=backend), "b": Some(attn_backend=backend)}),
)
worker.model_runner = Some(model=worker)
worker.load_model()
print("loaded")
"""


def test_a_process_reports_its_environment_as_it_is_when_its_model_is_loaded(tmp_path):
    """A variable that the worker sets itself is none that bench could have known of."""
    found = run_with_probe(tmp_path, f"{LOAD}import os\nos.environ['OMP_NUM_THREADS'] = '7'\nworker.load_model()")
    ran = found.process.ran

    assert ran.first.environment.get("OMP_NUM_THREADS") == os.environ.get("OMP_NUM_THREADS")
    assert ran.last.environment["OMP_NUM_THREADS"] == "7"
    assert ran.first.environment["PYTHONPATH"] == ran.last.environment["PYTHONPATH"]
    assert not [name for name in ran.last.environment if name.startswith(("BENCH_", "PATH"))]


def test_a_process_reports_its_arguments_packages_and_share_of_the_host(tmp_path):
    """Of the package the file too: another vLLM may lie before the measured one on PYTHONPATH."""
    script = "import os, sys\nsys.argv += ['--seed', '1']\nos.nice(3)\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    ran = run_with_probe(tmp_path, f"{script}{LOAD}").process.ran

    assert ran.last.arguments[1:] == ("--seed", "1")
    assert ran.last.packages["vllm"] == f"unknown from {tmp_path / 'vllm' / '__init__.py'}"
    assert (ran.last.cpus, ran.last.scheduler) == (str(min(os.sched_getaffinity(0))), "other")
    assert ran.last.niceness == os.getpriority(os.PRIO_PROCESS, 0) + 3


def test_no_secret_reaches_the_disk(tmp_path):
    """By bench's own rule of names, before anything is written; a long value that could hide one is a digest."""
    script = (
        "import os, sys\nos.environ |= {'HF_TOKEN': 'hush-1', 'VLLM_LONG': 'hush-2 ' * 999, 'HF_HOME': '/models'}\n"
        "sys.argv += ['--hf-token', 'hush-3', '--api-key=hush-4', '--max-model-len', '8']\n"
    )
    ran = run_with_probe(tmp_path, f"{script}register()").process.ran

    assert "hush" not in (tmp_path / "events").glob("*").__next__().read_text()
    assert (ran.last.environment["HF_TOKEN"], ran.last.environment["HF_HOME"]) == ("***", "/models")
    assert ran.last.environment["VLLM_LONG"].startswith("6993 characters, sha256 ")
    assert ran.last.arguments[1:] == ("--hf-token", "***", "--api-key=***", "--max-model-len", "8")


def test_a_worker_reports_what_vllm_decided(tmp_path):
    """With the names of vLLM's own configuration, wherever a release keeps them."""
    decided = run_with_probe(tmp_path, LOAD + CONFIGURED).process.ran.decided

    assert decided == {
        "dtype": "torch.bfloat16",
        "quantization": "None",
        "max_model_len": "2048",
        "load_format": "auto",
        "compilation": "3",
        "attention_backend": "FLASH_ATTN",
        "model_class": "vllm.v1.worker.gpu_worker.Worker",
    }


@pytest.mark.parametrize(("known", "found"), [("None", "measured"), ("5", "applied")])
def test_a_worker_reports_whether_the_startup_plan_was_applied(tmp_path, known, found):
    """A start that measures its memory takes longer than one that knows it. Without a plan there is nothing to report."""
    script = f"{LOAD}{CONFIGURED}\nworker.vllm_config.cache_config = Some(kv_cache_memory_bytes={known})\nworker.load_model()"
    on = os.environ | {"VLLM_ENABLE_STARTUP_PLAN": "1"}

    assert run_with_probe(tmp_path, script, own=on).process.ran.decided["startup_plan"] == found


ODD = """
import os, sys
worker.vllm_config = type("Config", (), {"model_config": property(lambda self: 1 / 0)})()
worker.load_model()
worker.vllm_config = Some(compilation_config=Some(static_forward_context=5))
worker.model_runner = Some(get_model=lambda: 1 / 0)
worker.load_model()
os.environ = sys.argv = None
worker.load_model()
print("loaded")
"""


def test_a_vllm_that_is_otherwise_inside_loads_all_the_same(tmp_path):
    """What cannot be read is a warning of the probe's, and takes nothing else with it."""
    found = run_with_probe(tmp_path, LOAD + ODD)

    assert found.out == "loaded", found.err
    unread = {text.partition(" cannot be read: ")[0] for text in found.process.warnings}
    assert {"dtype", "the attention backend", "the model's class", "its environment", "its arguments"} <= unread
    assert found.process.ran.last.cpus


def test_a_report_that_is_no_report_makes_its_file_unreadable(tmp_path):
    """Rather than being believed in part."""
    process = {
        "event": "process",
        "t": 1.0,
        "pid": 7,
        "parent": 1,
        "kind": "worker",
        "started_s": 0.5,
        "imported_s": 1.0,
    }
    for ran in (
        {"environment": ["a"]},
        {"cpus": 3},
        {"arguments": [1]},
        {"cgroup": {"counters": {"oom_kills": "many"}}},
    ):
        lines = [process, {"event": "ran", "t": 1.0} | ran]
        (tmp_path / "7.jsonl").write_text("\n".join(map(json.dumps, lines)))

        assert read_events(tmp_path, 0.0).unreadable, ran


@pytest.fixture
def hierarchy(tmp_path, monkeypatch):
    """Writes files of cgroups below a root of their own."""
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


V2 = {
    "a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "a/b/memory.max": "4096\n", "a/memory.max": "max\n",
    "a/b/cpu.stat": "nr_periods 9\nnr_throttled 0\nthrottled_usec 0\n",
    "a/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_usec 2500000\n",
    "a/b/memory.events": "oom 2\noom_kill 1\n", "a/memory.events": "oom 2\noom_kill 5\n",
}  # fmt: skip
V1 = {
    "cpu/b/cpu.cfs_quota_us": "150000", "cpu/b/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "9223372036854771712",
    "memory/b/memory.limit_in_bytes": "4096", "cpu/b/cpu.stat": "nr_throttled 4\nthrottled_time 2500000000\n",
    "memory/b/memory.oom_control": "under_oom 0\noom_kill 1\n",
}  # fmt: skip


@pytest.mark.parametrize(("member", "files"), [("0::/a/b\n", V2), ("4:memory:/b\n3:cpu:/b\n0::/b\n", V1)])
def test_the_strictest_limit_of_all_levels_is_the_processs(hierarchy, member, files):
    """And throttling is counted at the level whose limit it is; kills in the cgroup itself."""
    hierarchy(files)

    assert cgroup.limits(member) == {"cpus": "1.5", "memory_bytes": "4096"}
    assert cgroup.counters(member) == {"throttled": 4, "throttled_s": 2.5, "oom_kills": 1}


def test_no_limit_is_said_and_an_unknown_one_is_absent(hierarchy):
    """They are not the same."""
    assert (cgroup.limits("0::/\n"), cgroup.counters("0::/\n")) == ({}, {})

    hierarchy({"cpu.max": "max 100000", "memory.max": "max"})

    assert cgroup.limits("0::/a/which/is/elsewhere\n") == {"cpus": "max", "memory_bytes": "max"}
