"""The noise during a start: what others took meanwhile, by planted counters; what counts as too much; and what is unknown."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.analysis.warnings import LOST_DIFFERS_FROM
from bench.config import RigLimits
from bench.host import counters
from bench.host.counters import GIB, Reading, Used, read_counters, used_by
from bench.host.gpus import Gpu
from bench.host.noise_during import KINDS, GpuReading, NoiseDuring, judged, loosened, noise_between
from bench.start.metrics import NOISE, PAGE_CACHE_LOST

CORES = 4


def reading(at_s: float, **known: object) -> Reading:
    """Of a host with four cores on which nobody but us does anything: we keep two of them busy and read 1 GiB/s."""
    ours = Used(2 * at_s, int(at_s * GIB), 0)
    usual = {
        "busy_s": 2 * at_s,
        "all_s": CORES * at_s,
        "disk_read_bytes": int(at_s * GIB),
        "disk_written_bytes": 0,
        "waited_s": {"cpu": 0.0, "io": 0.5 * at_s, "memory": 0.0},
        "quotas": {"/": (int(10 * at_s), 0)},
        "free_memory_gib": 100.0,
        "ours": ours,
    }
    return Reading(at_s, **usual | known)


def look(at_s: float, *pids: int, ours: frozenset[int] = frozenset({7}), **known: object) -> GpuReading:
    usual = {
        "id": "0",
        "processes": tuple((pid, "python") for pid in pids),
        "sm_clock_mhz": 1980,
        "throttle_reasons": (),
    }
    return GpuReading(at_s, (Gpu(**usual | known),), ours)


def during(*readings: Reading, looks: tuple[GpuReading, ...] = ()) -> NoiseDuring:
    """The noise from 10 to 20 s."""
    return noise_between(10.0, 20.0, readings, looks)


def test_what_we_do_ourselves_is_no_noise():
    """Neither our processor time nor our reading; that storage is waited for is measured, and no sentence."""
    quiet = during(reading(10), reading(20), looks=(look(12, 7),))

    assert quiet == NoiseDuring(0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 100.0, 1980.0, 0.0, 0.0)
    assert judged(quiet, RigLimits()) == []


# A planted disturbance: what the second reading has of it, the measure, and the sentence.
PLANTED = [
    ({"busy_s": 52.0}, "others_cpu", 0.3,
        "other processes took 30% of this host's processor time (rig.busy_cores_at_most=0.25)"),
    ({"disk_read_bytes": 25 * GIB}, "others_read_gib_per_s", 0.5,
        "other processes read 0.50 GiB/s from the checkpoint's disk (rig.others_io_at_most_gib_per_s=0.05)"),
    ({"disk_written_bytes": 2 * GIB}, "others_written_gib_per_s", 0.2,
        "other processes wrote 0.20 GiB/s to the checkpoint's disk (rig.others_io_at_most_gib_per_s=0.05)"),
    ({"waited_s": {"memory": 1.5}}, "memory_pressure", 0.15,
        "processes waited for memory in 15% of the time (rig.memory_pressure_at_most=0.05)"),
    ({"quotas": {"/": (200, 60)}}, "cpu_throttled", 0.6,
        "the cgroup's CPU quota stopped its processes in 60% of its periods (rig.cpu_throttled_at_most=0.05)"),
    ({"free_memory_gib": 1.25}, "free_memory_gib", 1.25,
        "only 1.2 GiB of memory were free (rig.free_memory_at_least_gib=2)"),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "name", "value", "sentence"), PLANTED, ids=[row[1] for row in PLANTED])
def test_what_others_did_is_measured_and_said_with_its_limit(planted, name, value, sentence):
    """Between the two readings alone: what was before the first is nobody's concern."""
    noise = during(reading(10), reading(20, **planted))

    assert getattr(noise, name) == pytest.approx(value)
    assert judged(noise, RigLimits()) == [sentence]


@pytest.mark.parametrize(
    ("planted", "sentence"),
    [
        (
            (look(12, 7), look(15, 7, 99)),
            "1 other processes computed on this start's GPUs (rig.gpu_processes_at_most=0)",
        ),
        (
            (look(12, 7), look(15, 7, throttle_reasons=("SW power cap",))),
            "a GPU was slowed down in 50% of the looks at it: SW power cap (rig.gpu_throttled=false)",
        ),
    ],
)
def test_what_others_do_on_our_gpus_is_said(planted, sentence):
    """A neighbour that came and went, and what made the GPU slow."""
    assert judged(during(reading(10), reading(20), looks=planted), RigLimits()) == [sentence]


def test_an_idle_clock_is_no_slow_one():
    """Of each GPU the highest clock, and of those the lowest."""
    looks = tuple(
        GpuReading(at_s, (Gpu("0", sm_clock_mhz=one), Gpu("1", sm_clock_mhz=other)), frozenset())
        for at_s, one, other in ((11, 345, 345), (15, 1980, 1410))
    )

    assert during(reading(10), reading(20), looks=looks).gpu_sm_clock_mhz == 1410


@pytest.mark.parametrize(
    "looks",
    [(), (look(12),), (look(12, 4000), look(15, 4000, 4001)), (look(12, processes=None, ours=frozenset({7})),)],
    ids=["no look", "none listed", "other pids, as in a container", "not supported"],
)
def test_whose_gpu_processes_they_are_is_unknown_where_ours_is_never_listed(looks):
    """None, and neither 0 nor a neighbour."""
    assert during(reading(10), reading(20), looks=looks).gpu_other_processes is None


UNKNOWN = [
    ({"busy_s": None}, {"others_cpu"}),
    ({"all_s": None}, {"others_cpu"}),
    ({"ours": Used()}, {"others_cpu", "others_read_gib_per_s", "others_written_gib_per_s"}),
    ({"ours": Used(1.0, None, None)}, {"others_read_gib_per_s", "others_written_gib_per_s"}),
    ({"disk_read_bytes": None}, {"others_read_gib_per_s"}),
    ({"waited_s": {}}, {"cpu_pressure", "io_pressure", "memory_pressure"}),
    ({"quotas": {}}, {"cpu_throttled"}),
    ({"free_memory_gib": None}, {"free_memory_gib"}),
]


@pytest.mark.parametrize(("hidden", "unknown"), UNKNOWN)
def test_what_the_kernel_does_not_show_is_none(hidden, unknown):
    """And never 0; the rest is measured all the same."""
    noise = during(reading(10, **hidden), reading(20, **hidden))
    found = {name for name, value in vars(noise).items() if value is None and not name.startswith("gpu")}

    assert found == unknown


def test_one_reading_is_no_stretch():
    """A start that failed at once."""
    assert during(reading(10)).others_cpu is None
    assert during() == NoiseDuring()


def test_a_stretch_is_measured_between_the_readings_around_it():
    """A neighbour at 12 s is in the load from 12.5 s on, since nobody looked in between; one at 25 s is not."""
    readings = [reading(0), reading(12), reading(16, busy_s=34), reading(21, busy_s=44), reading(30, busy_s=96)]

    assert noise_between(12.5, 20.0, readings).others_cpu == pytest.approx(2 / (CORES * 9))
    assert noise_between(0.0, 30.0, readings).others_cpu == pytest.approx(36 / (CORES * 30))


def test_a_limit_that_allows_more_than_bench_s_own_is_named():
    """With bench's own in brackets; a stricter one and a longer wait are nobody's concern."""
    limits = RigLimits(
        wait_s=0, busy_cores_at_most=0.9, free_memory_at_least_gib=0.5, gpu_throttled=True, swap_used_at_most_gib=1
    )

    assert loosened(limits) == [
        "rig.busy_cores_at_most=0.9 (0.25)",
        "rig.free_memory_at_least_gib=0.5 (2)",
        "rig.gpu_throttled=true (false)",
    ]
    assert loosened(RigLimits()) == []


# The documentation.

DOCUMENT = Path(__file__).parents[2] / "docs" / "trust.md"
HEAD = """| noise | metric, WHEN is `start` or `load` | limit | arms differ from | where from |
|---|---|---|---|---|"""
BLOCK = re.compile(r"(?<=<!-- noise -->\n).*?(?=<!-- /noise -->)", re.DOTALL)


def test_the_table_of_the_kinds_of_noise_is_up_to_date():
    """To write it anew: BENCH_WRITE_DOCS=1 python -m pytest tests/host/test_noise_during.py."""
    kinds = [(NOISE[kind.field].like, kind.limit, kind.differs_from) for kind in KINDS]
    rows = [
        f"| {metric.title} | `{metric.name.format('WHEN')}` | `rig.{limit}` | {differs_from or 'not compared'} | {metric.source.described} |"
        for metric, limit, differs_from in [*kinds, (PAGE_CACHE_LOST, "page_cache_lost_at_most", LOST_DIFFERS_FROM)]
    ]
    text = DOCUMENT.read_text()
    made = BLOCK.sub(lambda _: "\n".join([HEAD, *rows, ""]), text)
    if os.environ.get("BENCH_WRITE_DOCS"):
        DOCUMENT.write_text(made)
        return

    assert made == text, "docs/trust.md is out of date: BENCH_WRITE_DOCS=1 writes it anew"


# The kernel's own texts.

FILES = {
    "stat": "cpu  9 9 9 9\ncpu0 100 0 50 800 30 10 10 0 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 7\n",
    "meminfo": "MemTotal: 4194304 kB\nMemAvailable: 3145728 kB\n",
    "pressure/cpu": "some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    "pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "vda/stat": "    10 0 2097152 5 20 0 4194304 6 0 1 2 0 0 0 0 0 0\n",
    "group/cpu.stat": "nr_periods 40\nnr_throttled 4\nthrottled_usec 12\n",
    "7/stat": "7 (VLLM::Engine (x) S" + " 0" * 10 + " 100 50 300 50" + " 0" * 30,
    "7/io": "rchar: 5\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n",
}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc that shows these files."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(counters, "PROC", str(tmp_path))
    monkeypatch.setattr(counters, "_quota_folders", lambda: (f"{tmp_path}/group",))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(counters, "TICKS_PER_S", 100)
    return tmp_path


def test_the_kernel_s_counters_are_read(proc):
    """Ticks of our core alone, idle ones apart; sectors of 512 bytes; microseconds of waiting; written pages less those never written."""
    ours = used_by([7])

    assert ours == Used(5.0, 4096, 4096)
    assert read_counters(3.0, ours, proc / "vda") == Reading(
        3.0, 1.7, 10.0, GIB, 2 * GIB, {"cpu": 2.5, "io": 0.0}, {f"{proc}/group": (40, 4)}, 3.0, ours, 10, 0.005, 0.001
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [None, "", "garbage\n"])
def test_a_file_that_is_missing_or_not_understood_is_unknown(name, content, proc):
    """No error, no zero, and the other counters are there."""
    if content is None:
        (proc / name).unlink()
    else:
        (proc / name).write_text(content)
    found = read_counters(3.0, used_by([7]), proc / "vda")
    known = [found.busy_s, found.disk_read_bytes, found.waited_s.get("cpu"), found.waited_s.get("io"),
        found.quotas.get(f"{proc}/group"), found.free_memory_gib, found.ours.cpu_s, found.ours.read_bytes]  # fmt: skip

    assert known.count(None) == 1
    assert 0 not in [value for value in known if value != found.waited_s.get("io")]


def test_a_process_that_has_ended_makes_ours_unknown_and_not_less(proc):
    """What it had used would else be somebody else's."""
    assert used_by([7, 8]) == Used()


# This very host.


def test_a_neighbour_that_spins_is_seen_and_our_own_work_is_not():
    """Two processes that spin alike, one of them ours."""
    command = [sys.executable, "-c", "while True: pass"]
    ours, other = subprocess.Popen(command), subprocess.Popen(command)
    try:
        readings = [read_counters(time.monotonic(), used_by(["self", ours.pid]))]
        time.sleep(1.0)
        readings.append(read_counters(time.monotonic(), used_by(["self", ours.pid])))
        everybody = [read_counters(time.monotonic(), used_by(["self", ours.pid, other.pid]))]
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
    if readings[0].busy_s is None or readings[0].ours.cpu_s is None:
        pytest.skip("this kernel does not count what its cores do")
    before, after = readings
    own_s, others_s = (
        after.ours.cpu_s - before.ours.cpu_s,
        after.busy_s - before.busy_s - (after.ours.cpu_s - before.ours.cpu_s),
    )

    assert own_s > 0.1
    assert others_s > 0.1
    assert everybody[0].ours.cpu_s > after.ours.cpu_s
