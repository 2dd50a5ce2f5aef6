"""The noise of the rig: what is seen of it, what counts as noise, and how long it is waited for."""

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bench.compose import compose_settings
from bench.config import RigLimits
from bench.host import counters
from bench.host import noise as rig_module
from bench.host.device import find_device
from bench.host.gpus import GIB, Gpu, Gpus, look_at_gpus
from bench.host.noise import Rig, look_at_rig, noise, quiet_rig, settle
from bench.start.measured_metrics import rig_metrics
from bench.start.prepare import prepare_state
from bench.start.tags import rig_tags

LIMITS = RigLimits()
LEVEL_GIB = {"0": 0.6, "1": 0.6}


def gpu(**found: Any) -> Gpu:
    """One that nobody uses, with the low clock that it then has, as `found` changes it."""
    usual = {
        "id": "0",
        "name": "NVIDIA H100 80GB HBM3",
        "memory_used_gib": 0.6,
        "processes": (),
        "sm_clock_mhz": 345,
        "throttle_reasons": (),
    }
    return Gpu(**usual | found)


def rig(**found: Any) -> Rig:
    """A host with one GPU that does nothing, right after a start: its load average is still high."""
    usual = {
        "cores": 16,
        "load_average": 14.2,
        "busy_cores": 0.3,
        "free_memory_gib": 118.0,
        "swap_used_gib": 0.0,
        "gpus": (gpu(),),
    }
    return Rig(**usual | found)


NEIGHBOUR = rig(gpus=(gpu(processes=((77, "VLLM::EngineCore"),)),))
BUSY = rig(busy_cores=9.0)


@pytest.fixture(autouse=True)
def level(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The least GPU memory that was seen: of this test alone."""
    seen: dict[str, float] = {}
    monkeypatch.setattr(rig_module, "LEVEL_GIB", seen)
    return seen


# What counts as noise.


@pytest.mark.parametrize(
    "quiet",
    [
        rig(),
        rig(busy_cores=4.0),  # the limit itself
        rig(free_memory_gib=2.0),
        rig(swap_used_gib=4.0),
        rig(gpus=(gpu(memory_used_gib=1.0),)),  # a little more than usual
        rig(gpus=(gpu(memory_used_gib=0.0),)),
        rig(gpus=(gpu(id="7", memory_used_gib=40.0),)),  # never seen before: nobody knows its level
        rig(gpus=(Gpu("0"),)),  # NVML tells nothing
        Rig(cores=16),  # nor does the kernel
    ],
)
def test_a_quiet_rig_has_no_noise(quiet):
    """Neither has one of which nothing can be seen; and the load average, which lags, is no criterion."""
    assert noise(quiet, LIMITS, LEVEL_GIB) == []


@pytest.mark.parametrize(
    ("loud", "sentence"),
    [
        (rig(busy_cores=4.12), "4.1 of 16 cores are busy with something else (rig.busy_cores_at_most=0.25)"),
        (rig(free_memory_gib=1.9), "only 1.9 GiB of memory are free (rig.free_memory_at_least_gib=2)"),
        (rig(swap_used_gib=4.6), "4.6 GiB are swapped out (rig.swap_used_at_most_gib=4)"),
        (NEIGHBOUR, "GPU 0 is used by VLLM::EngineCore (pid 77) (rig.gpu_processes_at_most=0)"),
        (
            rig(gpus=(gpu(processes=((7, "python"), (8, "python"))),)),
            "GPU 0 is used by python (pid 7), python (pid 8) (rig.gpu_processes_at_most=0)",
        ),
        (
            rig(gpus=(gpu(), gpu(id="1", memory_used_gib=33.1))),
            (
                "33.1 GiB of GPU 1 are in use, 32.5 more than when it was free: left by the start before, or a "
                "neighbour's (rig.gpu_leftover_at_most_gib=0.5)"
            ),
        ),
        (
            rig(gpus=(gpu(throttle_reasons=("HW slowdown", "HW thermal slowdown")),)),
            "GPU 0 is slowed down: HW slowdown, HW thermal slowdown (rig.gpu_throttled=false)",
        ),
    ],
)
def test_noise_is_reported_with_the_setting_that_limits_it(loud, sentence):
    """What was seen, how much may be, and where that is set."""
    assert noise(loud, LIMITS, LEVEL_GIB) == [sentence]


def test_each_noise_has_a_sentence():
    """Of the host first, then GPU by GPU."""
    loud = rig(
        busy_cores=16.0, swap_used_gib=9.0, gpus=(gpu(processes=((7, "a"),)), gpu(id="1", processes=((8, "b"),)))
    )

    assert [words.partition(" (")[0] for words in noise(loud, LIMITS, LEVEL_GIB)] == [
        "16.0 of 16 cores are busy with something else",
        "9.0 GiB are swapped out",
        "GPU 0 is used by a",
        "GPU 1 is used by b",
    ]


@pytest.mark.parametrize(
    ("loud", "allowed"),
    [
        (BUSY, {"busy_cores_at_most": 0.6}),
        (rig(free_memory_gib=0.5), {"free_memory_at_least_gib": 0}),
        (rig(swap_used_gib=9.0), {"swap_used_at_most_gib": 10}),
        (NEIGHBOUR, {"gpu_processes_at_most": 1}),
        (rig(gpus=(gpu(memory_used_gib=10.0),)), {"gpu_leftover_at_most_gib": 10}),
        (rig(gpus=(gpu(throttle_reasons=("SW power cap",)),)), {"gpu_throttled": True}),
    ],
)
def test_every_limit_can_be_moved(loud, allowed):
    """A host that is never quiet is still a host that can be measured on."""
    assert noise(loud, LIMITS, LEVEL_GIB)
    assert noise(loud, LIMITS.model_copy(update=allowed), LEVEL_GIB) == []


# Waiting.


class Scene:
    """A clock that only sleeping moves, and a rig that is looked at: the looks in their order, the last one for ever."""

    def __init__(self, *looks: Rig) -> None:
        self._looks = itertools.chain(looks, itertools.repeat(looks[-1]))
        self.now_s = 100.0
        self.reported: list[list[str]] = []

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def settle(self, wait_s: float = 60) -> tuple[Rig, list[str]]:
        limits = LIMITS.model_copy(update={"wait_s": wait_s})
        return settle(limits, lambda: next(self._looks), self.sleep, lambda: self.now_s, self.reported.append)

    @property
    def waited_s(self) -> float:
        return self.now_s - 100.0


def test_a_quiet_rig_is_not_waited_for():
    """One look, and nothing to say."""
    scene = Scene(rig())

    assert scene.settle() == (rig(), [])
    assert (scene.waited_s, scene.reported) == (0.0, [])


def test_noise_that_goes_away_is_waited_for_and_forgotten():
    """Two looks found a neighbour, the third did not: that one is the start's."""
    scene = Scene(NEIGHBOUR, NEIGHBOUR, rig())

    assert scene.settle() == (rig(), [])
    assert 0 < scene.waited_s < 5


def test_the_reason_for_waiting_is_reported_once():
    """When the waiting begins, with what is waited for."""
    scene = Scene(NEIGHBOUR, BUSY, rig())
    scene.settle()

    assert scene.reported == [["GPU 0 is used by VLLM::EngineCore (pid 77) (rig.gpu_processes_at_most=0)"]]


def test_noise_that_stays_is_waited_for_as_long_as_set_and_then_reported():
    """The start is made all the same, and whoever reads its number sees it."""
    scene = Scene(BUSY)
    found, remaining = scene.settle(wait_s=7.5)

    assert found == BUSY
    assert remaining == ["9.0 of 16 cores are busy with something else (rig.busy_cores_at_most=0.25)"]
    assert scene.waited_s == 7.5


def test_the_noise_that_is_reported_is_that_of_the_last_measurement():
    """A neighbour that went while another came is nobody's warning."""
    _, remaining = Scene(NEIGHBOUR, BUSY).settle(wait_s=3)

    assert [words[:3] for words in remaining] == ["9.0"]


def test_without_waiting_noise_is_reported_at_once():
    """wait_s=0 looks once; nothing is waited for, so there is no such message."""
    scene = Scene(BUSY, rig())
    _, remaining = scene.settle(wait_s=0)

    assert len(remaining) == 1
    assert (scene.waited_s, scene.reported) == (0.0, [])


def test_the_memory_of_the_start_before_must_be_back_at_its_level():
    """0.6 GiB were in use before the first start; 60 are when the second begins, and 0.7 when it may."""
    Scene(rig()).settle()
    scene = Scene(rig(gpus=(gpu(memory_used_gib=60.0),)), rig(gpus=(gpu(memory_used_gib=0.7),)))
    found, remaining = scene.settle()

    assert scene.reported[0][0].startswith("60.0 GiB of GPU 0 are in use, 59.4 more than when it was free")
    assert (found.gpus[0].memory_used_gib, remaining) == (0.7, [])


def test_a_neighbour_at_the_first_look_does_not_set_the_level_for_ever(level):
    """It went; when it is back, its memory is noise."""
    Scene(rig(gpus=(gpu(memory_used_gib=30.0),))).settle()
    Scene(rig(gpus=(gpu(memory_used_gib=0.6),))).settle()
    _, remaining = Scene(rig(gpus=(gpu(memory_used_gib=30.0),))).settle()

    assert level == {"0": 0.6}
    assert len(remaining) == 1


def test_memory_that_nvml_does_not_report_sets_no_level(level):
    """Unknown is not 0: everything would be a leftover."""
    Scene(rig(gpus=(Gpu("0"),))).settle()

    assert level == {}
    assert Scene(rig()).settle()[1] == []


# What of it is in a run.


def test_what_was_measured_is_metrics():
    """Sums over the GPUs, the lowest clock, and each process once, though it computes on both."""
    ranks = ((7, "Worker_TP0"), (8, "Worker_TP1"))
    two = rig(gpus=(gpu(processes=ranks, sm_clock_mhz=1980), gpu(id="1", processes=ranks[:1], memory_used_gib=2.0)))

    assert rig_metrics(two) == {
        "rig/load_average": 14.2,
        "rig/busy_cores": 0.3,
        "rig/free_memory_gib": 118.0,
        "rig/swap_used_gib": 0.0,
        "rig/gpu_memory_used_gib": 2.6,
        "rig/gpu_processes": 2.0,
        "rig/gpu_sm_clock_mhz": 345.0,
    }


def test_what_could_not_be_measured_is_no_metric():
    """None of a host without GPU; and of two GPUs no sum where one of them is unknown."""
    assert rig_metrics(Rig(cores=16)) == {}
    assert rig_metrics(Rig(cores=16, gpus=(gpu(), Gpu("1")))) == {}
    assert rig_metrics(Rig(cores=16, gpus=(gpu(),)))["rig/gpu_processes"] == 0.0


def test_noise_and_throttling_are_tags():
    """What slows a GPU down, each reason once, and the noise that remained."""
    hot = rig(gpus=(gpu(throttle_reasons=("SW power cap",)), gpu(id="1", throttle_reasons=("SW power cap",))))

    assert rig_tags(hot, ["this", "that"]) == {
        "rig.gpu_throttle_reasons": "SW power cap",
        "bench.noise": "this; that",
    }
    assert rig_tags(rig(), []) == {}


# The settings.


def test_how_long_is_waited_is_not_what_is_measured():
    """Two starts that differ in these limits only are equal starts, and have the same identity."""
    (one,) = compose_settings(["rig.wait_s=0", "rig.busy_cores_at_most=1"])
    (other,) = compose_settings([])

    assert one.flat() == other.flat()
    assert not any(name.startswith("rig") for name in one.flat())


def test_a_start_carries_the_noise_in_which_it_was_made(monkeypatch):
    """Its condition carries both, also where no checkpoint is read; and it was reported."""
    monkeypatch.setattr(rig_module, "look_at_rig", lambda _: BUSY)
    (settings,) = compose_settings(["load_format=dummy", "rig.wait_s=0.01"])
    reported: list[list[str]] = []
    condition = prepare_state(settings, reported.append)

    assert condition.rig == BUSY
    assert condition.noise == ["9.0 of 16 cores are busy with something else (rig.busy_cores_at_most=0.25)"]
    assert reported == [condition.noise]


def test_noise_that_stays_is_a_warning_of_the_run(workplace):
    """While it is waited for, when the start is over, and in MLflow; the start counts all the same."""
    done = workplace.bench("rig.free_memory_at_least_gib=1e6", "rig.wait_s=0.1")
    (run,) = workplace.runs()
    warned = re.search(
        r"waiting for a quiet host, 0.1 s at most: (only [\d.]+ GiB of memory are free \(.*\))\n", done.err
    )

    assert done.code == 0, done.err
    assert warned, done.err
    assert "  warning: noise before the start: only " in done.err
    assert run.data.tags["bench.noise"].endswith("are free (rig.free_memory_at_least_gib=1e+06)")
    assert run.data.metrics["rig/free_memory_gib"] > 0
    for when, stretch in (
        ("before the start", None),
        ("during the start", "start"),
        ("while weights were loaded", "load"),
    ):
        assert f"noise {when}: only " in run.data.tags["bench.warnings"]
        assert stretch is None or run.data.metrics[f"noise/{stretch}/free_memory_gib"] > 0
    assert run.data.tags["rig.loosened"].startswith("rig.busy_cores_at_most=1 (0.25); ")


@pytest.mark.parametrize(
    ("words", "visible"), [([], None), (["vllm.env.CUDA_VISIBLE_DEVICES=1"], "1"), (["vllm.env.OTHER=1"], None)]
)
def test_the_gpus_that_are_measured_are_those_that_vllm_will_use(words, visible, monkeypatch):
    """Also where a setting says which; a neighbour on another GPU is nobody's business."""
    chosen = []
    monkeypatch.setattr(rig_module, "look_at_rig", lambda visible: chosen.append(visible) or rig())
    (settings,) = compose_settings(words)
    quiet_rig(settings)

    assert chosen == [visible]


# This very host.


def test_a_look_at_this_host_is_plausible_and_quick():
    """Whatever the kernel tells; where it does not, there is None."""
    began_s = time.monotonic()
    seen = look_at_rig("")
    lasted_s = time.monotonic() - began_s

    assert seen.cores == len(os.sched_getaffinity(0))
    assert seen.load_average is None or seen.load_average >= 0
    assert seen.busy_cores is None or 0 <= seen.busy_cores <= seen.cores
    assert seen.free_memory_gib is None or 0 < seen.free_memory_gib < 100_000
    assert seen.swap_used_gib is None or seen.swap_used_gib >= 0
    assert seen.gpus == ()
    assert lasted_s < 2  # a quarter of a second where nobody else uses the host


def test_a_process_that_spins_is_a_busy_core():
    """Half a core at least; the host may be shared, so it gets no more for sure."""
    if look_at_rig("").busy_cores is None:
        pytest.skip("this kernel does not count what its cores do")
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        busiest = max(look_at_rig("").busy_cores or 0.0 for _ in range(3))
    finally:
        spinning.kill()
        spinning.wait()

    assert busiest >= 0.5


STAT = """cpu  0 0 0 0 0 0 0 0 0 0
cpu{first} {busy} 0 0 {idle} 0 0 0 0 0 0
cpu{other} 900000 0 0 0 0 0 0 0 0 0
intr 5
"""
OWN = "7 (python) a) S" + " 0" * 49


def cores(busy: int, idle: int) -> dict[str, str]:
    """What a host shows on whose core 3 alone we may run, and of this process, which does nothing itself."""
    return {"stat": STAT.format(first=3, other=30, busy=busy, idle=idle), "self/stat": OWN}


@pytest.mark.parametrize(("busy", "expected"), [(0, 0.0), (25, 0.5), (50, 1.0)])
def test_only_cores_that_we_may_use_count(busy, expected, monkeypatch):
    """25 of 50 ticks are half a core; another one's 900,000 are somebody else's business."""
    seen = fake_host(monkeypatch, cores(1000, 5000), cores(1000 + busy, 5050 - busy))

    assert seen.busy_cores == pytest.approx(expected)


@pytest.mark.parametrize("shown", [cores(0, 0), cores(1000, 5000), {"self/stat": OWN}, {"stat": cores(1, 1)["stat"]}])
def test_a_kernel_that_counts_nothing_has_no_busy_cores(shown, monkeypatch):
    """Some sandboxes show zeros, or what never changes, or hide a file: that is unknown, and not quiet."""
    assert fake_host(monkeypatch, shown, shown).busy_cores is None


def test_a_host_that_hides_its_files_is_unknown(monkeypatch):
    """As in a sandbox, or on another kernel than Linux."""
    seen = fake_host(monkeypatch, {}, {})

    assert (seen.busy_cores, seen.free_memory_gib, seen.swap_used_gib) == (None, None, None)


def test_memory_is_what_can_be_had_without_swapping(monkeypatch):
    """MemAvailable, since the page cache of a warm checkpoint is free in this sense."""
    text = "MemFree: 1048576 kB\nMemAvailable: 3145728 kB\nSwapTotal: 4194304 kB\nSwapFree: 3145728 kB\nHugePages_Total: 0\n"
    seen = fake_host(monkeypatch, {"meminfo": text}, {"meminfo": text})

    assert (seen.free_memory_gib, seen.swap_used_gib) == (3.0, 1.0)


def fake_host(monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: dict[str, str]) -> Rig:
    """A look at a host that shows these files of /proc, first the ones and then the others."""
    shown = [before]

    def read(path: str) -> bytes:
        try:
            return shown[-1][path.removeprefix("/proc/")].encode()
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(counters, "_read", read)
    clock = SimpleNamespace(sleep=lambda _: shown.append(after), monotonic=lambda: 100 + len(shown) / 2)
    monkeypatch.setattr(rig_module, "time", clock)
    return look_at_rig("")


# GPUs by NVML.


class NvmlError(Exception):
    """As pynvml's."""


UUIDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-11111111-aaaa-bbbb-cccc-000000000001")
MIG = "MIG-f9a7ea0c-2b4e-5f3d-8a31-1f2e3d4c5b6a"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A pynvml with two GPUs, the second of them in use. What is taken away from `answers` is not supported."""
    module: Any = ModuleType("pynvml")
    module.NVMLError = NvmlError
    module.open = 0
    module.answers = {
        "nvmlSystemGetDriverVersion": lambda: "570.0",
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": {MIG: "slice"}.__getitem__,
        "nvmlDeviceGetUUID": lambda handle: UUIDS[handle],
        "nvmlDeviceGetName": lambda _: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=[GIB, 33 * GIB][handle]),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [[], [SimpleNamespace(pid=77)]][handle],
        "nvmlSystemGetProcessName": lambda _: "/opt/env/bin/python3.11",
        "nvmlDeviceGetClockInfo": lambda handle, _: [345, 1980][handle],
        "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: [0x1 | 0x2, 0x4 | 0x8 | 0x40 | 0x10][handle],
    }

    def answered(name: str) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            if name not in module.answers:
                raise NvmlError("Not Supported")
            assert module.open == 1
            return module.answers[name](*arguments)

        return answer

    for name in module.answers:
        setattr(module, name, answered(name))
    module.nvmlInit = lambda: setattr(module, "open", module.open + 1)
    module.nvmlShutdown = lambda: setattr(module, "open", module.open - 1)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    yield module
    assert module.open == 0


IDLE = Gpu("0", "NVIDIA H100 80GB HBM3", 1.0, (), 345, ())
USED = Gpu(
    "1",
    "NVIDIA H100 80GB HBM3",
    33.0,
    ((77, "python3.11"),),
    1980,
    ("SW power cap", "HW slowdown", "HW thermal slowdown"),
)


def test_every_gpu_is_described(nvml):
    """Processes without their folders; of the reasons those that slow a GPU down, which idling and chosen clocks do not."""
    assert look_at_gpus(None) == (IDLE, USED)


def test_a_host_with_gpus_is_a_cuda_host_whose_gpus_are_all_named(nvml):
    """Whatever CUDA_VISIBLE_DEVICES hides, and with a placeholder for a name that NVML does not have."""
    found = find_device()
    del nvml.answers["nvmlDeviceGetName"]

    assert (found.kind, found.names, found.driver) == ("cuda", ("NVIDIA H100 80GB HBM3",) * 2, "570.0")
    assert find_device().names == ("unknown",) * 2


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("0", (IDLE,)),
        ("1", (USED,)),
        ("1, 0", (USED, IDLE)),
        (UUIDS[1], (USED,)),
        ("GPU-8932f937", (IDLE,)),  # CUDA takes the beginning of one too
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0,7,1", (IDLE,)),  # an unknown one hides all behind it
        ("GPU-77,0", ()),
    ],
)
def test_only_the_gpus_that_cuda_will_show_are_measured(visible, seen, nvml):
    """By number or by UUID, as CUDA_VISIBLE_DEVICES has them."""
    assert look_at_gpus(visible) == seen


def test_the_environment_chooses_the_gpus_of_the_rig(nvml, monkeypatch):
    """And a setting of this start, which is handed over, wins."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    assert look_at_rig().gpus == (USED,)
    assert look_at_rig("0").gpus == (IDLE,)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert look_at_rig().gpus == (IDLE, USED)


def test_a_mig_slice_is_a_gpu_of_its_own(nvml):
    """It has memory and processes, and no clocks."""
    nvml.answers["nvmlDeviceGetMemoryInfo"] = lambda handle: {"slice": SimpleNamespace(used=0)}[handle]
    nvml.answers["nvmlDeviceGetComputeRunningProcesses"] = lambda handle: {"slice": []}[handle]
    for name in ("nvmlDeviceGetClockInfo", "nvmlDeviceGetCurrentClocksEventReasons"):
        del nvml.answers[name]

    assert look_at_gpus(MIG) == (Gpu(MIG, "NVIDIA H100 80GB HBM3", 0.0, ()),)


@pytest.mark.parametrize(
    ("function", "unknown"),
    [
        ("nvmlDeviceGetName", {"name": None}),
        ("nvmlDeviceGetMemoryInfo", {"memory_used_gib": None}),
        ("nvmlDeviceGetComputeRunningProcesses", {"processes": None}),
        ("nvmlSystemGetProcessName", {"processes": ((77, "a process without a name"),)}),
        ("nvmlDeviceGetClockInfo", {"sm_clock_mhz": None}),
        ("nvmlDeviceGetCurrentClocksEventReasons", {"throttle_reasons": None}),
    ],
)
@pytest.mark.parametrize("missing", ["refused by the driver", "not in this release of pynvml"])
def test_what_nvml_does_not_answer_is_none(function, unknown, missing, nvml):
    """And never 0, and no reason for a start to fail; the rest is there all the same."""
    del nvml.answers[function]
    if missing == "not in this release of pynvml":
        delattr(nvml, function)

    assert look_at_gpus("1") == (replace(USED, **unknown),)


def test_a_name_that_is_no_text_is_no_name(nvml):
    """A process may call itself anything, and pynvml decodes it."""
    nvml.answers["nvmlSystemGetProcessName"] = lambda _: b"\xff".decode()

    assert look_at_gpus("1")[0].processes == ((77, "a process without a name"),)


def test_a_host_without_a_driver_has_no_gpus(nvml, monkeypatch):
    """NVML's library is not even there."""

    def absent() -> None:
        raise NvmlError("Shared Library Not Found")

    monkeypatch.setattr(nvml, "nvmlInit", absent)

    assert look_at_gpus(None) == ()
    assert find_device().kind != "cuda"


def test_a_gpu_that_fell_off_the_bus_is_left_out(nvml):
    """The others are still looked at."""

    def lost(index: int) -> int:
        if index == 0:
            raise NvmlError("GPU is lost")
        return index

    nvml.answers["nvmlDeviceGetHandleByIndex"] = lost

    assert look_at_gpus(None) == (USED,)


# The GPUs' memory, queried repeatedly.


def test_the_memory_of_the_first_gpus_is_read(nvml):
    """As many as vLLM takes of those that it sees, in its order."""
    with closing(Gpus("1,0", 1)) as second:
        assert (len(second), second.used_gib()) == (1, (33.0,))
    with closing(Gpus(None, 8)) as both:
        assert (len(both), both.used_gib()) == (2, (1.0, 33.0))


def test_our_own_processes_memory_is_separate(nvml):
    """Where NVML knows them by the numbers that they have here; else it is unknown, and not 0."""
    neighbour, ours = SimpleNamespace(pid=77, usedGpuMemory=2 * GIB), SimpleNamespace(pid=78, usedGpuMemory=30 * GIB)
    nvml.answers["nvmlDeviceGetComputeRunningProcesses"] = lambda handle: [[], [neighbour, ours]][handle]
    with closing(Gpus(None, 2)) as gpus:
        assert gpus.own_gib({78, 79}) == (None, 30.0)
        assert gpus.own_gib({1078}) == (None, None)


def test_memory_that_nvml_does_not_report_is_none(nvml):
    """Of the device, of all processes, or of one of them, as on a MIG slice."""
    hidden = SimpleNamespace(pid=78, usedGpuMemory=None)
    nvml.answers["nvmlDeviceGetComputeRunningProcesses"] = lambda _: [hidden]
    del nvml.answers["nvmlDeviceGetMemoryInfo"]
    with closing(Gpus(None, 1)) as gpus:
        assert gpus.used_gib() == gpus.own_gib({78}) == (None,)
        del nvml.answers["nvmlDeviceGetComputeRunningProcesses"]
        assert gpus.own_gib({78}) == (None,)


def test_a_host_without_a_driver_has_no_gpu_memory(nvml, monkeypatch):
    """Nothing to ask, and nothing to close."""

    def absent() -> None:
        raise NvmlError("Shared Library Not Found")

    monkeypatch.setattr(nvml, "nvmlInit", absent)
    with closing(Gpus(None, 1)) as gpus:
        assert (len(gpus), gpus.used_gib(), gpus.own_gib({78})) == (0, (), ())
