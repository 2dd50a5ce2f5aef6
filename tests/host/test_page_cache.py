"""Files of our own in the real page cache: emptied, filled, measured, by root and by a user without any rights."""

import contextlib
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.host import page_cache
from bench.host.page_cache import (
    agreeing_gauge,
    evict,
    find_gauge,
    make_cold,
    make_warm,
    mapped_by,
    residency,
    unique_files,
    warm,
)
from bench.host.page_cache_gauges import GAUGES

MIB = 1024**2
NOBODY = 65534
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a tmpfs is what is wanted


def made(folder: Path, *sizes: int) -> list[Path]:
    """Files of these sizes, written and so in the page cache."""
    paths = [folder / f"model-{number}.safetensors" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(os.urandom(size))
    return paths


def gauge_of(paths: list[Path]) -> str:
    """The gauge that is true here."""
    gauge = find_gauge(paths)
    if gauge is None:
        pytest.skip(f"no gauge is true on the file system of {paths[0].parent}")
    return gauge


def empty_for_sure(paths: list[Path]) -> None:
    """Twice: what was on its way from the storage at the first time has arrived at the second."""
    evict(paths)
    time.sleep(0.05)
    evict(paths)


def read_first(path: Path, size: int) -> None:
    """These bytes alone, without the kernel's read-ahead."""
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for offset in range(0, size, mmap.PAGESIZE):
            os.pread(file.fileno(), mmap.PAGESIZE, offset)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two shards of several MiB, the second not a whole number of pages."""
    return made(tmp_path, 12 * MIB, 8 * MIB + 4711)


# Cold and warm.


def test_evicted_files_are_cold(files):
    """At most 1 % of them is left, though they were written a moment ago."""
    gauge = gauge_of(files)
    warm(files)
    make_cold(files, gauge)

    assert residency(files, gauge) <= 0.01


def test_files_that_were_read_are_warm(files):
    """At least 99 % of them is there."""
    gauge = gauge_of(files)
    evict(files)
    make_warm(files, gauge)

    assert residency(files, gauge) >= 0.99


def test_files_that_were_not_synced_are_cold_too(tmp_path):
    """Dirty pages cannot be dropped: they are written first."""
    gauge = gauge_of(made(tmp_path, 8 * MIB))
    dirty = made(tmp_path, 16 * MIB)
    evict(dirty)

    assert residency(dirty, gauge) <= 0.01
    assert dirty[0].stat().st_size == 16 * MIB


def test_a_share_is_that_of_the_bytes(files):
    """The first file is there and the second is not: 12 of 20 MiB, whatever the number of files."""
    gauge = gauge_of(files)
    empty_for_sure(files)
    warm(files[:1])

    assert residency(files, gauge) == pytest.approx(12 / 20, abs=0.01)


def test_half_a_file_is_half(tmp_path):
    """Exactly, or as well as a sample of 2,000 pages tells it."""
    (file,) = made(tmp_path, 16 * MIB)
    gauge = gauge_of([file])
    empty_for_sure([file])
    read_first(file, 8 * MIB)

    assert residency([file], gauge) == pytest.approx(0.5, abs=0.03)


def test_the_residency_names_its_gauge(files):
    """No number without its gauge."""
    gauge = gauge_of(files)
    make_cold(files, gauge)

    assert residency(files, gauge) == pytest.approx(0.0, abs=0.01)


@contextlib.contextmanager
def busy_storage(folder: Path) -> Iterator[None]:
    """Somebody else reads from it, over and over, so that every read has to wait a little."""
    (other,) = made(folder, 64 * MIB)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            evict([other])
            warm([other])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


@pytest.mark.parametrize("name", GAUGES)
def test_looking_changes_nothing(name, files, tmp_path):
    """Not even a gauge that reads, on storage that others use: what it found cold is as cold as before."""
    gauge, left = gauge_of(files), []
    (tmp_path / "other").mkdir()
    with busy_storage(tmp_path / "other"):
        for _ in range(3):
            evict(files)
            residency(files, name)
            left.append(residency(files, gauge))

    assert max(left) <= 0.01


# Gauges.


@pytest.mark.parametrize("name", GAUGES)
@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0])
def test_every_gauge_that_is_accepted_is_true(name, part, tmp_path, monkeypatch):
    """Each on its own, at shares that it was not tried with too: a sample's two standard errors are 2.2 %."""
    (file,) = made(tmp_path, 16 * MIB)
    monkeypatch.setattr(page_cache, "GAUGES", {name: GAUGES[name]})
    if find_gauge([file]) is None:
        pytest.skip(f"{name} is not true on the file system of {tmp_path}")
    empty_for_sure([file])
    read_first(file, int(16 * MIB * part))

    assert residency([file], name) == pytest.approx(part, abs=0.035)


@pytest.mark.parametrize("lie", [0.0, 0.5, 1.0, None])
def test_a_gauge_with_a_constant_answer_is_not_chosen(lie, files, monkeypatch):
    """As cachestat on overlayfs (0 %), mincore for other people's files and on gVisor (100 %)."""
    gauge_of(files)
    monkeypatch.setattr(page_cache, "GAUGES", {"wrong": lambda _path, _size, _samples: lie, **GAUGES})

    assert find_gauge(files) in GAUGES


@pytest.mark.parametrize("lie", [0.0, 0.5, 1.0, None])
def test_where_every_gauge_lies_none_is_chosen(lie, files, monkeypatch):
    """The state is unverified then, which is better than wrong."""
    monkeypatch.setattr(page_cache, "GAUGES", dict.fromkeys(GAUGES, lambda _path, _size, _samples: lie))

    assert find_gauge(files) is None


@pytest.mark.parametrize("lie", [0.0, 1.0])
def test_where_the_state_must_not_be_touched_a_gauge_that_no_other_confirms_is_not_used(lie, files, monkeypatch):
    """page_cache=as_is: nothing is evicted to try it, so two have to agree."""
    gauge_of(files)
    empty_for_sure(files)
    for path in files:
        read_first(path, path.stat().st_size // 2)
    monkeypatch.setattr(page_cache, "GAUGES", {"wrong": lambda _path, _size, _samples: lie, **GAUGES})

    assert agreeing_gauge(files) != "wrong"


def test_finding_an_agreeing_gauge_leaves_the_files_as_they_were(files, tmp_path):
    """As is, on storage that others use."""
    gauge, moved = gauge_of(files), []
    (tmp_path / "other").mkdir()
    with busy_storage(tmp_path / "other"):
        for _ in range(3):
            empty_for_sure(files)
            read_first(files[0], MIB)
            before = residency(files, gauge)
            agreeing_gauge(files)
            moved.append(abs(residency(files, gauge) - before))

    assert max(moved) <= 0.01


@pytest.mark.parametrize("size", [19, 4096, 12288, 5000, 40960, 4 * MIB - 1])
def test_a_gauge_is_found_on_files_of_a_few_pages(size, tmp_path):
    """A checkpoint for tests, or a rank's scales."""
    gauge_of(made(tmp_path, 8 * MIB))
    (tmp_path / "small").mkdir()

    assert find_gauge(made(tmp_path / "small", size)) is not None


def test_on_a_tmpfs_no_gauge_is_true():
    """Its files are the page cache: they cannot be evicted, so nothing there was ever cold."""
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        pytest.skip("there is no tmpfs that may be written to")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        files = made(Path(folder), 8 * MIB)
        gauge = find_gauge(files)
        make_cold(files, gauge)
        left = files[0].stat().st_size

    assert gauge is None
    assert left == 8 * MIB


def test_without_a_gauge_the_share_is_unknown(files):
    """None, and neither 0 nor 1; the files are evicted and read all the same."""
    make_cold(files, None)
    make_warm(files, None)

    assert residency(files, None) is None


# Nothing to look at.


def test_no_files_are_no_error():
    """A format that reads none."""
    make_cold([], None)
    make_warm([], None)

    assert (find_gauge([]), agreeing_gauge([]), mapped_by([])) == (None, None, {})
    assert [residency([], gauge) for gauge in (None, *GAUGES)] == [None] * 4


def test_an_empty_file_has_no_share(tmp_path):
    """There is nothing to divide by."""
    files = made(tmp_path, 0)
    make_cold(files, None)
    make_warm(files, None)

    assert (find_gauge(files), agreeing_gauge(files)) == (None, None)
    assert [residency(files, gauge) for gauge in GAUGES] == [None] * 3


def test_an_empty_file_takes_nothing_from_the_others(files, tmp_path):
    """A shard without tensors, of a model that is smaller than its number of ranks."""
    gauge = gauge_of(files)
    empty = tmp_path / "model-9.safetensors"
    empty.touch()
    make_cold(files, gauge)

    assert residency([*files, empty], gauge) == pytest.approx(0.0, abs=0.01)


# Which files.


def test_each_file_counts_once_whatever_its_names(tmp_path):
    """A hub's snapshot is made of links into a folder of blobs, and a copy may be a hard link."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    first, second = made(blobs, 10, 20)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "soft").symlink_to(first)
    (snapshot / "soft of soft").symlink_to(snapshot / "soft")
    (snapshot / "hard").hardlink_to(first)
    (snapshot / "other").symlink_to(f"../blobs/{second.name}")
    found = unique_files([*sorted(snapshot.iterdir()), first])

    assert len(found) == 2
    assert sum(path.stat().st_size for path in found) == 30
    assert not any(path.is_symlink() for path in found)


def test_links_are_evicted_as_what_they_point_to(files, tmp_path):
    """Otherwise a snapshot would always be warm."""
    gauge = gauge_of(files)
    link = tmp_path / "link"
    link.symlink_to(files[0])
    warm(files)
    make_cold(unique_files([link]), gauge)

    assert residency(files[:1], gauge) <= 0.01
    assert residency(files[1:], gauge) >= 0.99


# Who has them mapped.

HOLD = """
import mmap, sys
with open(sys.argv[2], "rb") as file:
    held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if sys.argv[1] == "map" else file.read(1)
    held[0]
    print("held", flush=True)
    input()
"""


@contextlib.contextmanager
def holding(how: str, path: Path) -> Iterator[int]:
    """A process that has the file mapped, or only open. Its pid."""
    command = [sys.executable, "-c", HOLD, how, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        yield child.pid
        child.communicate("\n")


def test_a_process_that_has_the_file_mapped_is_found(files):
    """With its name, since somebody will have to end it."""
    with holding("map", files[1]) as pid:
        found = mapped_by(files)

    assert found.keys() == {pid}
    assert found[pid].startswith("python")


def test_a_process_that_has_the_file_only_open_is_not_meant(files):
    """An open file holds no page."""
    with holding("open", files[1]):
        found = mapped_by(files)

    assert found == {}


def test_a_process_that_has_another_file_mapped_is_not_meant(files):
    """Not even one in the same folder."""
    with holding("map", files[1]):
        found = mapped_by(files[:1])

    assert found == {}


def test_nobody_has_a_file_mapped_any_more_when_its_process_is_gone(files):
    """Then its pages can be evicted."""
    with holding("map", files[0]):
        pass

    assert mapped_by(files) == {}


def test_a_file_that_is_mapped_is_found_by_any_of_its_names(files, tmp_path):
    """It is mapped by one, and looked for by another."""
    link = tmp_path / "link"
    link.symlink_to(files[0])
    with holding("map", link) as pid:
        found = mapped_by(unique_files([files[0]]))

    assert found.keys() == {pid}


def test_the_pages_of_a_file_that_is_mapped_stay(files):
    """Which is why a cold start is refused then, and why it would be seen if it were not."""
    gauge = gauge_of(files)
    warm(files)
    with holding("map", files[0]):
        make_cold(files[:1], gauge)
        left = residency(files[:1], gauge)

    assert left > 0
    make_cold(files[:1], gauge)
    assert residency(files[:1], gauge) == pytest.approx(0.0, abs=0.01)


# Without any rights.

AS_NOBODY = """
import ctypes, json, os, sys
from pathlib import Path
from bench.host.page_cache import evict, find_gauge, make_cold, make_warm, residency
from bench.host.page_cache_gauges import GAUGES

what, *names = sys.argv[1:]
files = [Path(name) for name in names]
os.setgroups([])
os.setgid({nobody})
os.setuid({nobody})
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, as exec does: /proc/self is the user's own again
if what == "cold":
    make_cold(files, None)
    measured = []
elif what == "warm":
    make_warm(files, None)
    measured = []
elif what == "gauges":
    measured = {{name: (evict(files), residency(files, name))[1] for name in GAUGES}}
elif what == "looks":
    gauges = [find_gauge(files) for _ in range(2)]
    measured = [(gauge, (make_cold(files, gauge), residency(files, gauge))[1]) for gauge in gauges]
print(json.dumps([os.geteuid(), measured]))
"""


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder that everybody may look into, which pytest's own are not; on the same file system."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody(everybodys: Path) -> Callable[[str, list[Path]], Any]:
    """Runs a script that drops all rights before it does something with the files, which it may only read."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")

    def run(what: str, files: list[Path]) -> Any:
        for file in files:
            file.chmod(0o644)
        script = AS_NOBODY.format(nobody=NOBODY)
        done = subprocess.run([sys.executable, "-c", script, what, *files], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        user, measured = json.loads(done.stdout)
        assert user == NOBODY
        return measured

    return run


def test_a_user_without_rights_can_make_files_cold_and_warm(as_nobody, everybodys):
    """It needs to read them and no more. Measured by root, whose shares are true."""
    files = made(everybodys, 12 * MIB, 8 * MIB + 4711)
    gauge = gauge_of(files)
    as_nobody("warm", files)
    warmed = residency(files, gauge)
    as_nobody("cold", files)
    cold = residency(files, gauge)

    assert warmed >= 0.99
    assert cold <= 0.01


def test_a_user_without_rights_gets_true_shares(as_nobody, everybodys):
    """Of evicted files mincore says that all is cached, and cachestat says nothing: neither is chosen."""
    files = made(everybodys, 8 * MIB)
    gauge_of(files)
    shares = as_nobody("gauges", files)
    liars = {name for name, share in shares.items() if share is None or share > 0.5}

    assert not liars & {gauge for gauge, _ in as_nobody("looks", files)}


def test_a_user_without_rights_can_verify_that_its_files_are_cold(as_nobody, everybodys):
    """Twice, on storage that others use: with a gauge that is true, and by it at most 1 % is left."""
    files = made(everybodys, 12 * MIB, 8 * MIB + 4711)
    gauge_of(files)
    if as_nobody("gauges", files)["sampled"] is None:
        pytest.skip(f"no gauge is true for nobody on the file system of {everybodys}")
    (everybodys / "other").mkdir()
    with busy_storage(everybodys / "other"):
        looks = as_nobody("looks", files)

    assert [(gauge, share) for gauge, share in looks if gauge != "sampled" or share > 0.01] == []
