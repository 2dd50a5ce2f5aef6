"""The limit of a storage: measured past the page cache, firm or not, and kept for the starts of its sweep."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.host import storage_limit, storage_probe
from bench.host.page_cache import evict, residency, warm
from bench.host.storage_limit import keep_profile, kept_profiles, measure_storage, place_of_files
from bench.host.storage_probe import Cell
from bench.host.storage_profile import (
    GIB,
    StorageProfile,
    best,
    could_become_firm,
    from_text,
    has_moved,
    is_firm,
    to_text,
)
from bench.start.storage_use import measure_before

MIB = 1024**2
(HOSTS_OWN,) = (settings.storage for settings in compose_settings([]))
FIRM = StorageProfile("vda ext4", 1.0, 1.2, 1.1, 16, 1024, 2.5, 9.0, is_steady=True, copy_gib_per_s=5.0)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two, of which one is no multiple of a block."""
    paths = [tmp_path / "one", tmp_path / "two words"]
    for path, size in zip(paths, (6 * MIB, 3 * MIB + 5), strict=True):
        path.write_bytes(os.urandom(size))
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not place_of_files(HOSTS_OWN, paths):
        pytest.skip("this host's temporary files lie in memory")
    return paths


@pytest.mark.parametrize("is_warm", [True, False])
def test_the_page_cache_is_left_as_it_was(files, is_warm):
    """All of it, or nothing: the limit is read past it."""
    (warm if is_warm else evict)(files)
    before = residency(files, "mincore")

    profile, why = measure_storage(files, "vda ext4", may_evict=False)

    assert why is None
    assert before == residency(files, "mincore")
    assert profile.is_direct
    assert not profile.is_steady  # it is too small to tell
    assert profile.read_gib_per_s > 0
    assert profile.read_gib <= 2 * storage_limit.ROUNDS * 9 * MIB / GIB
    assert profile.read_ahead_kib is not None


def test_through_the_page_cache_it_is_marked_and_evicted_again(files, monkeypatch):
    """Where O_DIRECT is refused; and where that would change what the cache holds it is not measured."""
    opened = os.open

    def refusing(path: str, flags: int, *more: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return opened(path, flags, *more)

    monkeypatch.setattr(storage_probe.os, "open", refusing)
    paths = [str(path) for path in files]
    warm(files)
    refused = storage_probe.measured(paths, 1.0, 30 * MIB, may_be_buffered=False)
    found = storage_probe.measured(paths, 1.0, 30 * MIB, may_be_buffered=True)

    assert refused == {"error": "O_DIRECT is refused (Invalid argument)"}
    assert not found["is_direct"]
    assert found["read_bytes_per_s"] > 0
    assert residency(files, "mincore") == 0.0


def test_a_child_that_hangs_or_fails_is_no_limit(files, tmp_path, monkeypatch):
    """A read that never returns holds neither bench nor a later start."""
    for text, why in (("import time; time.sleep(60)", "did not end within"), ("1/0", "ZeroDivisionError")):
        script = tmp_path / "script.py"
        script.write_text(text)
        monkeypatch.setattr(storage_limit, "SCRIPT", script)
        monkeypatch.setattr(storage_limit, "AT_MOST_S", 0.5)
        profile, said = measure_storage(files, "vda ext4", may_evict=False)

        assert profile is None
        assert why in said


def test_what_lies_in_memory_or_is_not_there_has_no_limit(tmp_path):
    """None, and why."""
    memory = Path("/dev/shm")  # noqa: S108  # the tmpfs that every Linux has
    if memory.is_dir():
        path = memory / f"bench-test-{os.getpid()}"
        path.write_bytes(bytes(MIB))
        try:
            assert measure_storage([path], place_of_files(HOSTS_OWN, [path]), may_evict=True) == (
                None,
                "there are no files on a storage",
            )
        finally:
            path.unlink()
    assert measure_storage([], "vda", may_evict=True)[0] is None
    assert measure_storage([tmp_path / "gone"], "vda", may_evict=True)[0] is None


def test_an_emulated_storage_is_another_place(files):
    """Whatever loop device it is on this time."""
    (settings,) = compose_settings(["storage=gp3"])

    assert place_of_files(settings.storage, files) == "storage=gp3 (3,000 reads/s, 125 MiB/s)"
    assert place_of_files(HOSTS_OWN, files) not in {"", place_of_files(settings.storage, files)}


def test_the_begin_of_a_cell_is_not_in_its_rate():
    """A second in which the queue filled, then three at full speed."""
    cell = Cell(1, MIB)
    cell.began_s, cell.ended_s = 100.0, 104.0
    cell.done = [(100.0, 101.0, MIB)] + [(101 + i / 10, 101 + (i + 1) / 10, MIB) for i in range(30)]

    assert cell.rate == pytest.approx(10 * MIB)
    assert cell.between(100.0, 104.0) == pytest.approx(31 * MIB / 4)
    assert cell.windows()[-1] == pytest.approx(10 * MIB)


def test_a_limit_is_firm_where_measurements_agree():
    """Three times, steadily, past the page cache, and within 10 %."""
    again = replace(FIRM, read_gib_per_s=1.3, copy_gib_per_s=None)

    assert is_firm([FIRM, again, FIRM])
    assert not is_firm([FIRM, again])
    assert not is_firm([FIRM, FIRM, replace(again, is_direct=False)])
    assert not is_firm([FIRM, FIRM, replace(again, is_steady=False)])
    assert not is_firm([FIRM, FIRM, replace(FIRM, read_gib_per_s=1.33)])
    assert [could_become_firm(each) for each in ([FIRM], [FIRM, again], [FIRM, again, again])] == [True, True, False]
    assert not could_become_firm([replace(FIRM, is_steady=False)])
    assert has_moved([FIRM, replace(FIRM, read_gib_per_s=1.33)])
    assert best([FIRM, again]) == replace(again, copy_gib_per_s=5.0)
    assert best([replace(FIRM, read_gib_per_s=9.0, is_direct=False), FIRM]) == FIRM


def test_a_start_on_its_own_has_its_storage_measured_too(files, tmp_path):
    """Into its own folder; that of a sweep was measured before, and false measures nothing."""
    given = ("model=hf", f"model.path={tmp_path}", "page_cache=as_is", f"caches_dir={tmp_path}/caches")
    files[0].rename(tmp_path / "model.safetensors")
    for more, count in (((), 1), (("storage_limit=false",), 0), (("sweep.id=s1",), 0), (("sweep.kind=prime",), 0)):
        (settings,) = compose_settings([*given, *more])
        folder = tmp_path / f"start{len(more)}{count}{more}"
        folder.mkdir()
        measure_before(settings, folder)

        assert len(kept_profiles(settings, folder)) == count


def test_profiles_are_kept_for_a_sweep_and_for_a_start(tmp_path):
    """Of very many the first and the latest; a damaged file is none."""
    (settings,) = compose_settings([f"caches_dir={tmp_path}", "sweep.id=s1"])
    for rate in range(1, 41):
        keep_profile(settings, None, replace(FIRM, read_gib_per_s=float(rate)))
    rates = [each.read_gib_per_s for each in kept_profiles(settings)]

    assert (rates[0], rates[-1], len(rates)) == (1.0, 40.0, 1 + storage_limit.KEPT)
    assert len(to_text(kept_profiles(settings))) < 7000
    assert from_text(to_text([FIRM])) == (FIRM,)
    assert from_text(to_text([replace(FIRM, read_gib_per_s=0.0)])) == ()
    assert from_text('[{"place": 7}]') == from_text("nonsense") == ()
    assert (
        kept_profiles(settings.model_copy(update={"sweep": settings.sweep.model_copy(update={"id": None})}), tmp_path)
        == ()
    )


def test_blocks_are_found_by_number_and_kept_nowhere():
    """A checkpoint of 60 GiB has 16 million of 4 KiB; of a file that is shorter than a block its begin is read."""
    blocks = storage_probe.Blocks([3, 1, 2], MIB)

    assert [blocks[number] for number in range(len(blocks))] == [
        (0, 0),
        (0, MIB),
        (0, 2 * MIB),
        (1, 0),
        (2, 0),
        (2, MIB),
    ]
    assert len(storage_probe.Blocks([60 << 18], 4096)) == 60 << 18
