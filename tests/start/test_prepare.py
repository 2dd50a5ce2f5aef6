"""The condition of a start, with real files, the real page cache and processes that really read: what is true, and lies."""

import contextlib
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.errors import StartError
from bench.host.page_cache import evict, find_gauge, warm
from bench.host.state import HostState, judge
from bench.host.storage import storage_bytes
from bench.log.start_log import StartLog, read_start
from bench.start.measured_metrics import state_metrics
from bench.start.prepare import StateBefore, measured_state, prepare_state
from bench.start.tags import state_tags

MIB = 1024**2
SIZE = 24 * MIB
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a tmpfs is what is wanted

# Reads as a loader does, and tells what its process took from storage meanwhile.
LOADER = """
import mmap, os, sys
how, *names = sys.argv[1:]

def from_storage():
    return int(open("/proc/self/io").read().partition("\\nread_bytes: ")[2].split()[0])

before = from_storage()
for name in names:
    if how == "buffered":
        open(name, "rb", buffering=0).readall()
    elif how == "mapped":
        with open(name, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as weights:
            sum(weights[::4096])
    elif how == "direct":
        fd, buffer = os.open(name, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 1 << 20)
        offset = 0
        while count := os.preadv(fd, [buffer], offset):
            offset += count
print(from_storage() - before)
"""


def loads(condition: StateBefore, how: str) -> int:
    """A process that loads the checkpoint like this. Returns the bytes that it took from storage."""
    command = [sys.executable, "-c", LOADER, how, *condition.paths]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a start that reads a checkpoint of 24 MiB in two files, which lies where gauges are true."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(2):
        (folder / f"model-{number}.safetensors").write_bytes(os.urandom(SIZE // 2))
    if find_gauge([*folder.iterdir()]) is None:
        pytest.skip(f"no gauge is true on the file system of {tmp_path}")
    if storage_bytes(Path("/proc/self/io").read_bytes()) is None:
        pytest.skip("this kernel does not tell what a process reads from storage")

    def settings(*words: str) -> Settings:
        (found,) = compose_settings(["model=hf", f"model.path={folder}", "rig.wait_s=0", *words])
        return found

    return settings


def problems(state: HostState) -> list[str]:
    return [words.partition("was asked, but ")[2] for words in judge(state).problems]


# What is true.


@pytest.mark.parametrize("how", ["buffered", "mapped"])
def test_a_cold_start_reads_the_checkpoint_from_storage(how, asked):
    """At least 95 % of it, and at most 1 % was there before; all of it is in the page cache afterwards."""
    condition = prepare_state(asked("page_cache=cold"))
    state = measured_state(condition, StartLog(), {"TP0": loads(condition, how)})
    metrics = state_metrics(state)

    assert metrics["page_cache/resident_before"] <= 0.01
    assert metrics["page_cache/resident_after"] >= 0.99
    assert metrics["io/read_gib"] == pytest.approx(SIZE / 1024**3, rel=0.05)
    assert metrics["io/read_amplification"] == pytest.approx(1.0, rel=0.05)
    assert judge(state).valid


@pytest.mark.parametrize("how", ["buffered", "mapped"])
def test_a_warm_start_reads_nothing_from_storage(how, asked):
    """At most 2 %, since at least 99 % was there before."""
    condition = prepare_state(asked("page_cache=warm"))
    state = measured_state(condition, StartLog(), {"TP0": loads(condition, how)})
    metrics = state_metrics(state)

    assert metrics["page_cache/resident_before"] >= 0.99
    assert metrics["io/read_amplification"] <= 0.02
    assert judge(state).valid


@pytest.mark.parametrize("page_cache", ["cold", "warm"])
def test_a_format_that_bypasses_the_page_cache_is_labelled(page_cache, asked):
    """It reads everything from storage, whatever is cached, and that is no lie."""
    condition = prepare_state(asked(f"page_cache={page_cache}", "load_format=runai_streamer"))
    state = measured_state(condition, StartLog(), {"TP0": loads(condition, "direct")})
    tags, verdict = state_tags(state)

    assert tags["bench.bypasses_page_cache"] == "true"
    assert state.read_amplification == pytest.approx(1.0, rel=0.05)
    assert verdict.valid


def test_as_is_touches_nothing(asked):
    """Half of it was cached, and half of it still is."""
    settings = asked("page_cache=as_is")
    first, second = sorted(Path(settings.checkpoint_path).iterdir())
    evict([first])
    warm([second])
    condition = prepare_state(settings)
    tags, _ = state_tags(measured_state(condition, StartLog(), {}))

    assert condition.resident_before == pytest.approx(0.5, abs=0.05)
    assert (tags["bench.page_cache"], tags["bench.valid"]) == ("as_is", "true")


def test_a_format_that_reads_nothing_has_no_page_cache(asked):
    """Random weights are made in memory: no file is evicted for them, and none is measured."""
    settings = asked("load_format=dummy")
    warm(sorted(Path(settings.checkpoint_path).iterdir()))
    condition = prepare_state(settings)
    state = measured_state(condition, StartLog(), {"TP0": 0})
    tags, _ = state_tags(state)

    assert condition.paths == []
    assert state_metrics(state) == {}
    assert (tags["bench.page_cache"], tags["bench.valid"]) == ("not_used", "true")


# Planted lies.


def test_a_checkpoint_that_is_warmed_between_eviction_and_exec_is_caught(asked):
    """Nothing was there when we looked; then somebody read it, and vLLM did not have to."""
    condition = prepare_state(asked("page_cache=cold"))
    warm(condition.paths)
    state = measured_state(condition, StartLog(), {"TP0": loads(condition, "mapped")})
    tags, verdict = state_tags(state)

    assert problems(state) == ["vLLM read only 0.00 GiB from storage, 0% of the checkpoint: a cache has answered"]
    assert tags["bench.valid"] == "false"
    assert tags["bench.invalid_reason"] == verdict.problems[0]


def test_a_checkpoint_that_is_evicted_between_warming_and_exec_is_caught(asked):
    """All was there when we looked; then somebody needed the memory. Its mapping has filled the cache again since."""
    condition = prepare_state(asked("page_cache=warm"))
    evict(condition.paths)
    state = measured_state(condition, StartLog(), {"TP0": loads(condition, "mapped")})

    assert state.resident_after >= 0.99
    assert problems(state) == ["vLLM read 0.02 GiB from storage, 100% of the checkpoint: the cache did not hold it"]


def test_a_rank_that_reads_nothing_is_caught(asked):
    """The other one reads all. Each rank has files of its own here."""
    condition = prepare_state(
        asked("page_cache=cold", "load_format.checkpoint=sharded", "model.sharded_path=${model.path}")
    )
    state = measured_state(
        condition, StartLog(), {"TP0": loads(condition, "mapped"), "TP1": loads(condition, "nothing")}
    )

    assert problems(state) == ["TP1 read nothing while others read"]


def test_a_rank_that_came_second_to_a_shared_page_cache_is_no_lie(asked):
    """All ranks map the same files: the first has read them from storage, the others found them there."""
    condition = prepare_state(asked("page_cache=cold"))
    state = measured_state(
        condition, StartLog(), {"TP0": loads(condition, "mapped"), "TP1": loads(condition, "mapped")}
    )

    assert sorted(state.read.values()) == [0, pytest.approx(SIZE, rel=0.05)]
    assert judge(state).valid


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[None]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        yield


def test_a_cold_start_is_refused_while_a_process_has_the_checkpoint_mapped(asked):
    """It is this one, and it is named. Warm, or as it is, the start is no problem."""
    path = min(Path(asked().checkpoint_path).iterdir())
    with mapped(path), pytest.raises(StartError) as refused:
        prepare_state(asked("page_cache=cold"))

    assert f"(pid {os.getpid()}) has the checkpoint mapped" in str(refused.value)
    with mapped(path):
        assert prepare_state(asked("page_cache=warm")).resident_before >= 0.99
        assert prepare_state(asked("page_cache=as_is")).resident_before >= 0.99


@pytest.mark.parametrize("page_cache", ["cold", "warm"])
def test_a_checkpoint_on_a_tmpfs_is_unverified(page_cache):
    """Nothing is read from storage there, which is no proof of anything."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        pytest.skip("there is no tmpfs that may be written to")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        Path(folder, "model.safetensors").write_bytes(os.urandom(SIZE))
        (settings,) = compose_settings(["model=hf", f"model.path={folder}", f"page_cache={page_cache}", "rig.wait_s=0"])
        condition = prepare_state(settings)
        tags, verdict = state_tags(measured_state(condition, StartLog(), {"TP0": loads(condition, "mapped")}))

    assert tags["bench.page_cache"] == "unverified"
    assert tags["bench.page_cache_gauge"] == "none is true here"
    assert verdict.valid


# The compile cache.


def test_what_the_log_says_of_compiling_is_a_tag(asked):
    """And checked against what was asked."""
    condition = prepare_state(asked("compile_cache=primed", "page_cache=as_is"))
    line = b"(Worker pid=7) INFO [decorators.py:743] [backbone] saved AOT compiled function to ~/.cache/vllm\n"
    tags, verdict = state_tags(measured_state(condition, read_start([line]), {}))

    assert (tags["bench.compile_cache"], tags["bench.compile_cache_found"]) == ("wrong", "compiled")
    assert verdict.problems == ("compile_cache=primed was asked, but vLLM compiled",)


def test_a_start_that_primes_may_compile(asked):
    """That is what it is for."""
    condition = prepare_state(asked("compile_cache=primed", "page_cache=as_is", "sweep.kind=prime"))
    _, verdict = state_tags(measured_state(condition, StartLog(compile_cache="compiled"), {}))

    assert verdict.valid
