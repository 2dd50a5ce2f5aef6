"""Where and how another storage is emulated, over a host's /sys/fs/cgroup that is laid out as the kernel's documents say; and a real one, where root may."""

import os
from pathlib import Path

import pytest

from bench.compose import compose_settings
from bench.config import Storage
from bench.host import mounts
from bench.host.emulation import emulate, image
from bench.host.emulation.cgroup import Counted, Parent, counted, find_parent, limit, make
from bench.host.emulation.emulate import storage_in_use, why_not
from bench.system import undo
from bench.system.undo import journal

V1 = "9:memory:/\n7:blkio:/outer\n0::/\n"
V2 = "0::/outer/inner\n"


def asked(*overrides: str) -> Storage:
    (settings,) = compose_settings(overrides)
    return settings.storage


GP3 = asked("storage=gp3")


@pytest.fixture
def sys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/sys/fs/cgroup, empty."""
    for name in ("SYS", "PROC"):
        monkeypatch.setattr(mounts, name, tmp_path / name.lower())
    monkeypatch.setattr(undo, "folder", lambda: tmp_path / "journals")
    write(tmp_path / "proc/self/cgroup", "")
    return tmp_path / "sys/fs/cgroup"


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def of_v2(sys: Path, **files: str) -> None:
    """Here, this process is in /outer/inner; the root's children have the controllers cpu and io."""
    write(sys.parents[2] / "proc/self/cgroup", V2)
    known = {"": "cpu io memory", "outer": "cpu io memory", "outer/inner": "cpu io"}
    for folder, controllers in known.items():
        write(sys / folder / "cgroup.controllers", controllers)
        write(sys / folder / "cgroup.subtree_control", {"": "cpu io", "outer": "cpu"}.get(folder, ""))
        write(sys / folder / "cgroup.procs", "4711\n" if folder == "outer/inner" else "")
    for name, text in files.items():
        write(sys / "outer/inner" / name.replace("_", "."), text)


def test_a_group_of_version_1_is_made_below_ones_own(sys):
    """Its hierarchy has nothing but the limits of block devices."""
    write(sys.parents[2] / "proc/self/cgroup", V1)
    write(sys / "blkio/outer/blkio.throttle.read_iops_device")
    parent = find_parent()
    assert parent == Parent(sys / "blkio/outer", is_v2=False)

    with journal() as notes:
        group = make(parent, "ours", notes)
        limit(group, "254:0", GP3, is_v2=False)

        assert (group / "blkio.throttle.read_iops_device").read_text() == "254:0 3000"
        assert (group / "blkio.throttle.read_bps_device").read_text() == "254:0 131072000"
        for file in group.iterdir():  # a real one's do not keep it
            file.unlink()
    assert not group.exists()


def test_a_group_of_version_2_is_made_beside_ones_own_and_keeps_its_limits(sys):
    """A cgroup with processes in it cannot have children with the controller; the one above has none, and is given it."""
    of_v2(sys, memory_max="1000000", cpu_max="max 100000")
    parent = find_parent()
    assert parent == Parent(sys / "outer", is_v2=True, kept=(("memory.max", "1000000"),))

    with journal() as notes:
        group = make(parent, "ours", notes)
        limit(group, "254:0", GP3, is_v2=True)

        assert (sys / "outer/cgroup.subtree_control").read_text() == "+io"
        assert (group / "io.max").read_text() == "254:0 riops=3000 rbps=131072000"
        assert (group / "memory.max").read_text() == "1000000"
        for file in group.iterdir():
            file.unlink()


def test_a_limit_that_would_be_lost_two_levels_up_is_no_place(sys):
    """vLLM would have more memory than bench itself."""
    of_v2(sys, memory_max="1000000")
    write(sys / "outer/cgroup.procs", "1\n")

    assert "memory.max" in str(find_parent())


@pytest.mark.parametrize(
    ("groups", "files", "why"),
    [
        ("", {}, "neither the controller io"),
        (V2, {"cgroup.controllers": "cpu memory"}, "neither the controller io"),
        (V1, {"blkio/outer/tasks": ""}, "neither the controller io"),
    ],
)
def test_a_host_without_the_controller_is_refused(sys, groups, files, why):
    """With its reason, which stands behind the setting in the refusal."""
    write(sys.parents[2] / "proc/self/cgroup", groups)
    for name, text in files.items():
        write(sys / name, text)

    assert why in str(why_not(GP3, sys, None, sys))


def test_a_group_that_nobody_may_make_is_refused(sys, monkeypatch):
    """As in a container, whose cgroups are read-only, or for a user whose cgroup is not delegated."""
    of_v2(sys)
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert "or a cgroup with the controller io that is delegated" in str(find_parent())


def test_reads_are_those_of_the_device(sys):
    """Another disk's are not; one that has no line was not read; a cgroup that cannot be read is None."""
    write(sys / "two/io.stat", "254:0 rbytes=4096 wbytes=1 rios=3 wios=9\n7:0 rbytes=8192 wbytes=0 rios=2 wios=0\n")
    write(sys / "one/blkio.throttle.io_serviced", "7:0 Read 5\n7:0 Write 6\n7:0 Total 11\nTotal 11\n")
    write(sys / "one/blkio.throttle.io_service_bytes", "7:0 Read 50\n7:0 Write 6\n")

    assert counted(sys / "two", "7:0") == Counted(2, 8192)
    assert counted(sys / "two", "7:1") == Counted(0, 0)
    assert counted(sys / "one", "7:0") == Counted(5, 50)
    assert counted(sys / "none", "7:0") is None


def test_a_checkpoint_on_no_disk_is_refused_for_limits_alone(sys, monkeypatch, tmp_path):
    """A copy on a file system of bench's has a device that can be limited."""
    write(sys.parents[2] / "proc/self/cgroup", V1)
    write(sys / "blkio/outer/blkio.throttle.read_iops_device")
    monkeypatch.setattr(image, "why_not", lambda: None)
    monkeypatch.setattr(emulate, "_takes_direct_reads", lambda _: True)
    copied = asked("storage=gp3", "storage.image=disk")

    assert "lies on no disk of this host" in str(why_not(GP3, tmp_path / "model", tmp_path / "model", tmp_path))
    assert why_not(copied, tmp_path / "model", tmp_path / "model", tmp_path / "caches") is None
    assert "holds" in str(why_not(copied, tmp_path, Path("/"), tmp_path))
    assert "no folder of its own" in str(why_not(copied, tmp_path, None, tmp_path))


needs_root = pytest.mark.skipif(
    image.why_not() is not None or isinstance(find_parent(), str),
    reason=f"an emulated storage cannot be had here: {image.why_not() or find_parent()}",
)


@needs_root
def test_a_copy_has_its_own_read_ahead_and_limits_and_leaves_nothing(tmp_path):
    """Seen in the checkpoint's own place, by this process and its children alone."""
    folder = tmp_path / "model"
    write(folder / "config.json", "{}")
    (folder / "link.json").symlink_to("config.json")
    pid = os.fork()  # it goes into a mount namespace of its own
    if pid == 0:
        ok = False
        try:
            ok = _has_them(folder, tmp_path / "caches")
        finally:
            os._exit(0 if ok else 1)

    assert os.waitpid(pid, 0)[1] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "link.json"]
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert not [
        path for path in Path("/sys/block").glob("loop*/loop/backing_file") if str(tmp_path) in path.read_text()
    ]


def _has_them(folder: Path, caches: Path) -> bool:
    wanted = asked("storage=limited", "storage.read_iops=500", "storage.read_ahead_kb=64")
    with storage_in_use(wanted, folder, folder, caches) as found:
        assert found.cgroup is not None
        facts = {name: found.facts[name] for name in ("name", "limit", "read_ahead_kb", "device")}
        assert facts == {"name": "limited", "limit": "riops=500", "read_ahead_kb": "64", "device": "loop device"}
        assert {path.name for path in folder.iterdir()} == {"config.json", "link.json", "lost+found"}
    return not found.cgroup.exists() and found.read_ahead_after == "64" and len([*folder.iterdir()]) == 2  # fmt: skip
