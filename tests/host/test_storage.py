"""The storage of a checkpoint, read from a host's /proc and /sys that are laid out as the kernel's documents say."""

from pathlib import Path

import pytest

from bench.host import mounts
from bench.host.storage import describe_storage, disk_of
from bench.host.storage_facts import EMULATED, FACTS, NAME, of_one_storage

MOUNTS = """\
22 1 259:2 / / rw,relatime - ext4 /dev/root rw
30 22 0:27 / /memory rw,nosuid - tmpfs tmpfs rw,size=1g
31 22 259:5 / /data rw,noatime shared:3 - xfs /dev/nvme1n1p1 rw,attr2
33 22 0:50 / /data/two\\040words rw - nfs4 server:/export rw,vers=4.2,rsize=1048576,nconnect=4
34 22 9:0 / /raid rw - ext4 /dev/md0 rw
35 22 7:3 / /looped rw - ext4 /dev/loop3 rw
36 22 0:51 / /bucket ro - fuse.gcsfuse weights rw,user_id=0
37 22 0:52 / /pool rw - zfs tank/models rw
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
            ("nr_requests", "1023"),
            ("rotational", "0"),
        ):
            write(folder / "queue" / name, f"{value}\n")
        (tmp_path / "sys/dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/dev/block" / numbers[0]).symlink_to(folder)
        (tmp_path / "sys/dev/block" / numbers[1]).symlink_to(folder / part)
    devices, blocks = tmp_path / "sys/devices", tmp_path / "sys/dev/block"
    write(devices / "md0/md/level", "raid0\n")
    write(devices / "dm-0/dm/uuid", "CRYPT-LUKS2-77\n")
    for disk, number, members in (
        ("md0", "9:0", (devices / "dm-0", devices / "nvme1n1")),
        ("dm-0", "252:0", (devices / "nvme0n1/nvme0n1p2",)),
        ("loop3", "7:3", ()),
    ):
        write(devices / disk / "dev", number + "\n")
        (devices / disk / "slaves").mkdir()
        for member in members:
            (devices / disk / "slaves" / member.name).symlink_to(member)
        (blocks / number).symlink_to(devices / disk)
    write(devices / "loop3/loop/backing_file", "/data/models/disk.img\n")
    write(devices / "nvme1n1/device/queue_depth", "64\n")
    write(tmp_path / "sys/class/bdi/0:50/read_ahead_kb", "15360\n")
    write(tmp_path / "sys/class/bdi/259:4/read_ahead_kb", "8192\n")
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
    (tmp_path / "sys/fs/cgroup/outer/inner").mkdir(parents=True)
    monkeypatch.setattr(mounts, "SYS", tmp_path / "sys")
    monkeypatch.setattr(mounts, "PROC", tmp_path / "proc")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def facts(path: str) -> dict[str, str]:
    """Those that last: how much space is left is this machine's."""
    return of_one_storage(describe_storage(Path(path)))


def test_the_settings_are_those_of_the_whole_disk(host):
    """A partition has no queue of its own; the innermost mount above the path counts."""
    assert facts("/data/models/llama") == {
        "device": "nvme1n1",
        "filesystem": "xfs",
        "mount_options": "rw,noatime",
        "own_options": "rw,attr2",
        "read_ahead_kb": "8192",
        "bdi_read_ahead_kb": "8192",
        "max_sectors_kb": "1280",
        "nr_requests": "1023",
        "queue_depth": "64",
        "rotational": "false",
        "scheduler": "mq-deadline",
        "limit": "none",
    }
    assert facts("/home/models")["device"] == "nvme0n1"


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/memory/models", {"filesystem": "tmpfs", "own_options": "rw,size=1g"}),
        ("/data/two words/models", {"filesystem": "nfs4", "source": "server:/export", "bdi_read_ahead_kb": "15360", "own_options": "rw,vers=4.2,rsize=1048576,nconnect=4"}),
        ("/bucket/models", {"filesystem": "fuse.gcsfuse", "source": "weights", "mount_options": "ro"}),
        ("/pool/models", {"filesystem": "zfs", "source": "tank/models"}),
    ],
)  # fmt: skip
def test_what_lies_on_no_disk_is_named_by_its_server(host, path, known):
    """Nothing is guessed of a network's or memory's queue: a network has a read-ahead of its own."""
    found = facts(path)

    assert found == found | known
    assert not found.keys() & {"device", "scheduler", "max_sectors_kb", "limit"}
    assert disk_of(Path(path)) is None


@pytest.mark.parametrize(
    ("path", "device", "composed_of"),
    [
        ("/raid/models", "md0", "raid0 of dm-0 (dm-crypt of nvme0n1p2), nvme1n1"),
        ("/looped/models", "loop3", "loop over xfs on nvme1n1"),
    ],
)
def test_a_device_that_is_no_disk_shows_what_it_stands_on(host, path, device, composed_of):
    """RAID, mapped devices and files, down to the disks."""
    assert facts(path)["device"] == device
    assert facts(path)["composed_of"] == composed_of


def test_an_overlay_has_the_facts_of_the_layer_that_holds_the_file(host):
    """Where its layers are to be seen; a container sees none of them."""
    lower, upper = host / "lower", host / "upper"
    write(lower / "models/model.safetensors", "weights")
    upper.mkdir()
    lines = [
        f"40 22 0:60 / {host}/merged rw - overlay overlay rw,lowerdir={lower}:/gone,upperdir={upper},workdir=/w",
        "41 22 0:61 / /inside rw - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w",
        f"42 22 259:5 / {lower} rw - xfs /dev/nvme1n1p1 rw",
    ]
    write(host / "proc/self/mountinfo", MOUNTS + "\n".join(lines))

    seen, unseen = facts(f"{host}/merged/models/model.safetensors"), facts("/inside/models")

    assert (seen["device"], seen["filesystem"]) == ("nvme1n1", "xfs")
    assert seen["layers"] == "upper ext4 on nvme0n1; 2 lower: xfs on nvme1n1"
    assert "device" not in unseen
    assert (unseen["filesystem"], unseen["layers"]) == (
        "overlay",
        "upper not to be seen from here; 2 lower: not to be seen from here",
    )


def test_every_fact_is_a_row_of_the_list(host):
    """So each of them is in the report, and one that lasts must agree."""
    places = ("/data/models", "/raid/models", "/looped/models", "/data/two words/models", "/inside")
    found = {name for place in places for name in describe_storage(Path(place))} | {"layers"}

    assert found | {NAME.name, EMULATED.name} == {fact.name for fact in FACTS}  # those two: of settings


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
