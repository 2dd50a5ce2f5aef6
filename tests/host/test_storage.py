"""The storage of a checkpoint, read from a host's /proc and /sys that are laid out as the kernel's documents say."""

from pathlib import Path

import pytest

from bench.host import storage
from bench.host.storage import describe_storage, disk_of

MOUNTS = """\
22 1 259:2 / / rw,relatime - ext4 /dev/root rw
30 22 0:27 / /memory rw,nosuid - tmpfs tmpfs rw,size=1g
31 22 259:5 / /data rw,noatime shared:3 - xfs /dev/nvme1n1p1 rw,attr2
33 22 0:50 / /data/two\\040words rw - nfs4 server:/export rw
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two disks with a partition each; this process is in a cgroup of two levels."""
    write(tmp_path / "proc/self/mountinfo", MOUNTS)
    write(tmp_path / "proc/self/cgroup", "0::/outer/inner\n")
    for disk, part, numbers in (
        ("nvme0n1", "nvme0n1p2", ("259:0", "259:2")),
        ("nvme1n1", "nvme1n1p1", ("259:4", "259:5")),
    ):
        folder = tmp_path / "sys/devices" / disk
        write(folder / "dev", numbers[0] + "\n")
        write(folder / part / "partition", "1\n")
        for name, value in (
            ("read_ahead_kb", "8192"),
            ("max_sectors_kb", "1280"),
            ("scheduler", "none [mq-deadline] kyber"),
        ):
            write(folder / "queue" / name, f"{value}\n")
        (tmp_path / "sys/dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/dev/block" / numbers[0]).symlink_to(folder)
        (tmp_path / "sys/dev/block" / numbers[1]).symlink_to(folder / part)
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
    (tmp_path / "sys/fs/cgroup/outer/inner").mkdir(parents=True)
    monkeypatch.setattr(storage, "SYS", tmp_path / "sys")
    monkeypatch.setattr(storage, "PROC", tmp_path / "proc")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_settings_are_those_of_the_whole_disk(host):
    """A partition has no queue of its own; the innermost mount above the path counts."""
    assert describe_storage(Path("/data/models/llama")) == {
        "device": "nvme1n1",
        "filesystem": "xfs",
        "mount_options": "rw,noatime",
        "read_ahead_kb": "8192",
        "max_sectors_kb": "1280",
        "scheduler": "mq-deadline",
        "limit": "none",
    }
    assert describe_storage(Path("/home/models"))["device"] == "nvme0n1"


@pytest.mark.parametrize(("path", "filesystem"), [("/memory/models", "tmpfs"), ("/data/two words/models", "nfs4")])
def test_what_lies_on_no_disk_has_a_file_system_only(host, path, filesystem):
    """Nothing is guessed of a network's or memory's read-ahead."""
    assert describe_storage(Path(path)).keys() == {"filesystem", "mount_options"}
    assert describe_storage(Path(path))["filesystem"] == filesystem
    assert disk_of(Path(path)) is None


def test_the_strictest_limit_of_all_cgroups_above_counts(host):
    """Of the disk in question only; writes do not matter to a load."""
    cgroups = host / "sys/fs/cgroup"
    write(
        cgroups / "outer/io.max",
        "259:4 rbps=max wbps=max riops=500 wiops=max\n259:0 rbps=1 wbps=max riops=max wiops=max\n",
    )
    write(cgroups / "outer/inner/io.max", "259:4 rbps=1048576 wbps=7 riops=900 wiops=max\n")

    assert describe_storage(Path("/data/models"))["limit"] == "rbps=1048576 riops=500"


def test_a_limit_of_the_old_cgroups_is_one_too(host):
    """Version 1 has a file for each kind of limit."""
    write(host / "proc/self/cgroup", "9:cpu,cpuacct:/\n4:blkio:/slow\n0::/\n")
    write(host / "sys/fs/cgroup/blkio/slow/blkio.throttle.read_iops_device", "259:4 500\n259:0 9\n")

    assert describe_storage(Path("/data/models"))["limit"] == "riops=500"


def test_where_no_cgroup_can_be_read_the_limit_is_unknown(host):
    """Absent, which is not the same as none."""
    write(host / "proc/self/cgroup", "")

    assert "limit" not in describe_storage(Path("/data/models"))


def test_a_host_that_shows_nothing_has_no_storage(host):
    """No /proc, as in some sandboxes."""
    (host / "proc/self/mountinfo").unlink()

    assert describe_storage(Path("/data/models")) == {}
