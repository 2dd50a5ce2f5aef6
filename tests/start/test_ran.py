"""What ran against what was recorded: tags that two honest starts share, and what is said where they differ."""

from dataclasses import replace

import pytest

from bench.compose import compose_settings
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.start import tags as t
from bench.start.execution import CgroupCounters, PreparedStart
from bench.start.ran import cgroup_warnings, ran_problems, ran_tags, ran_warnings
from bench.vllm.command import Command
from bench.vllm.probe_report import ProbeProcess, ProbeReport
from bench.vllm.ran import Ran, Surroundings

COMMAND = (
    "python",
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--load-format",
    "auto",
    "--port",
    "4711",
    "--hf-token",
    "hush",
)
NOW = Surroundings(
    9.0,
    ("/vllm/api_server.py", *COMMAND[3:-1], "***"),
    {"VLLM_USE_V1": "1", "HF_TOKEN": "***"},
    {"vllm": "0.32.0+cpu from /vllm/__init__.py"},
    "0-3",
    0,
    "other",
    "0::/nowhere\n",
    {"cpus": "1.5", "memory_bytes": "max"},
    {"throttled": 3, "throttled_s": 0.5, "oom_kills": 0},
)  # fmt: skip
DECIDED = {"dtype": "torch.bfloat16", "load_format": "auto", "model_class": "vllm.Llama"}


def report(**others: Surroundings) -> ProbeReport:
    """All three processes; those that are named have something else."""
    kinds = {"api_server": None, "engine_core": None, "worker": "TP0"}
    return ProbeReport(
        tuple(
            ProbeProcess(pid, 1, kind, rank, 1.0, 2.0, ran=Ran(own, own, DECIDED if rank else {}))
            for pid, (kind, rank) in enumerate(kinds.items(), 5)
            for own in [others.get(kind, NOW)]
        )
    )


@pytest.fixture
def prepared(tmp_path) -> PreparedStart:
    (settings,) = compose_settings(["load_format=auto"])
    host = Host(Device("cpu"), "python", {"vllm": "0.32.0"}, Needs({}, {}))
    command = Command(COMMAND, {"VLLM_USE_V1": "1", "HF_TOKEN": "hush", "OTHER": "1"}, 4711)
    return PreparedStart(settings, host, command, tmp_path)


def variables(**changed: str) -> Surroundings:
    return replace(NOW, environment=NOW.environment | changed)


def test_an_honest_start_has_one_value_for_each_fact_and_no_doubt(prepared):
    """Its build is no other version, a masked secret no other argument."""
    tags = ran_tags(report(), ["TP0"], probe=True)

    assert tags[t.RAN_RECORD.name] == "recorded"
    assert (tags["ran.dtype"], tags["ran.cpus"], tags["ran.limit_cpus"]) == ("torch.bfloat16", "0-3", "1.5")
    assert t.RAN_ENVIRONMENT.in_(tags) == NOW.environment
    assert (ran_problems(prepared, report()), ran_warnings(prepared, report())) == ([], [])


def test_what_differs_from_start_to_start_is_in_no_tag():
    """Ports, names of groups, folders of caches: two honest starts agree."""
    one, two = (
        {
            "VLLM_DIST_IDENT": group,
            "VLLM_SHM": f"vllm_mm_{name}",
            "VLLM_A": f"/run/{digits}/{pid}",
            "VLLM_CACHE_ROOT": group,
        }
        for group, name, digits, pid in (
            ("51234", "R_BZMhaKQfu-JkjCjGwoNw", "a7456184efc249ca", 4711),
            ("40001", "8dCISYKuQ4qHK5q21O6zRw", "0123456789abcdef", 1234),
        )
    )

    assert len({str(ran_tags(report(worker=variables(**noise)), [], probe=True)) for noise in (one, two)}) == 1


def test_what_a_loader_sets_by_itself_is_no_difference_between_load_formats():
    """runai-model-streamer up to 0.17.0 sets the size of its group in each rank. What vLLM was given counts, whoever reads it."""
    own = ran_tags(report(worker=variables(RUNAI_STREAMER_PROCESS_GROUP_SIZE="2", TORCH_X="1")), ["TP0"], probe=True)
    given = {"RUNAI_STREAMER_CONCURRENCY": "4"}
    asked = ran_tags(report(api_server=variables(**given), worker=variables(**given)), ["TP0"], probe=True)

    assert t.RAN_ENVIRONMENT.in_(own).keys() == {*NOW.environment, "TORCH_X"}
    assert "RUNAI_STREAMER_CONCURRENCY" in t.RAN_ENVIRONMENT.in_(asked)


def test_a_variable_of_one_process_alone_is_in_the_tag_with_its_process():
    """Whatever the number of ranks."""
    tags = ran_tags(report(worker=variables(OMP_NUM_THREADS="1")), ["TP0"], probe=True)

    assert t.RAN_ENVIRONMENT.in_(tags)["OMP_NUM_THREADS"] == "api_server: not set; engine_core: not set; worker: 1"


def test_an_environment_that_is_too_large_for_a_tag_still_differs_where_it_differs():
    """Long values by their digest, as few as need be."""
    some, others = (variables(VLLM_A="a" * 3000, VLLM_B=last + "b" * 5000, LD_PRELOAD="x") for last in "12")
    found = [t.RAN_ENVIRONMENT.in_(ran_tags(report(api_server=each, engine_core=each, worker=each), [], probe=True)) for each in (some, others)]  # fmt: skip

    assert found[0]["VLLM_A"] == found[1]["VLLM_A"] != "a" * 3000
    assert found[0]["VLLM_B"] != found[1]["VLLM_B"]
    assert found[0]["LD_PRELOAD"] == "x"


@pytest.mark.parametrize(("ranks", "why"), [(["TP0", "TP1"], "the probe has no report of TP1")])
def test_a_process_that_did_not_report_leaves_the_start_unverified(ranks, why):
    """As one without the probe."""
    assert ran_tags(report(), ranks, probe=True)["bench.ran"] == f"unverified: {why}"
    assert ran_tags(ProbeReport(), [], probe=False) == {"bench.ran": "unverified: probe=false"}


def test_a_report_with_nothing_in_it_is_none():
    """As where what was read could not be written, or a rank's last report never came."""
    empty = replace(NOW, environment={}, packages={}, cpus=None)
    worker = report().processes[-1]
    cut = ProbeReport((*report().processes[:2], replace(worker, ran=Ran(NOW, NOW, {}))))

    assert ran_tags(report(engine_core=empty), ["TP0"], probe=True)["bench.ran"] == (
        "unverified: the probe's report lacks engine_core: environment, packages, cpus"
    )
    assert (
        ran_tags(cut, ["TP0"], probe=True)["bench.ran"]
        == "unverified: the probe's report lacks TP0: dtype, model_class"
    )


LIES = {
    "another argument": (
        {"api_server": replace(NOW, arguments=(*NOW.arguments, "--dtype", "float16"))},
        "other arguments than it was started with: --dtype float16 was added, nothing is missing",
    ),
    "an argument less": (
        {"api_server": replace(NOW, arguments=("/x", *COMMAND[5:-1], "***"))},
        "nothing was added, --load-format auto is missing",
    ),
    "another release in one rank": (
        {"worker": replace(NOW, packages={"vllm": "0.31.0 from /other/vllm/__init__.py"})},
        "TP0 ran vLLM 0.31.0 of /other/vllm/__init__.py, and 0.32.0 was recorded",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_start_of_another_vllm_than_the_recorded_one_does_not_count(prepared, lie):
    """With both values."""
    others, problem = LIES[lie]
    (found,) = ran_problems(prepared, report(**others))

    assert problem in found


def test_a_variable_that_was_set_and_is_another_is_a_warning(prepared):
    """A secret's is compared by nothing but its presence."""
    (found,) = ran_warnings(prepared, report(api_server=variables(VLLM_USE_V1="0")))

    assert found.text == "the API server found VLLM_USE_V1=0, and 1 was set"


def test_what_the_cgroup_counted_during_the_start_is_a_warning():
    """Of one that is not the driver's, from the probe's first report on; throttling of the driver's own is judged with other noise."""
    throttled = replace(NOW, counters={"throttled": 5, "throttled_s": 0.75, "oom_kills": 2})
    found = report()
    grown = replace(
        found, processes=tuple(replace(each, ran=replace(each.ran, last=throttled)) for each in found.processes)
    )
    slowed = "the cgroup's CPU limit (1.5 CPUs) throttled its processes 2 times, for 0.25 s in all, during the start"
    killed = "the kernel killed 2 processes of the cgroup for want of memory during the start (memory_bytes=max)"
    elsewhere, own = (CgroupCounters(member, NOW.counters) for member in ("0::/bench\n", NOW.cgroup))

    assert [each.text for each in cgroup_warnings(elsewhere, grown)] == [slowed, killed]
    assert [each.text for each in cgroup_warnings(own, grown)] == [killed]
    assert cgroup_warnings(own, found) == []
