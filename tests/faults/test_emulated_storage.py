"""A start on an emulated storage that is killed, by whatever, leaves the host as it was: cgroup, loop device, mount, read-ahead."""

from collections.abc import Callable
from pathlib import Path

import pytest
from frame import FAULTS, Moment, next_command, provoked

from bench.host.emulation import image
from bench.host.emulation.cgroup import find_parent
from commands import Preloaded
from conftest import Workplace, until
from whole_sweeps import MINE, with_a_model

READ_AHEAD = 132  # KiB, which nobody else has
LIMITED = ("storage=limited", "storage.read_iops=5000", f"storage.read_ahead_kb={READ_AHEAD}")
LOADING = Moment("loading", ("load_format=auto", *MINE, *LIMITED, "vllm.env.FAKE_MODE=hang"))
PARENT = find_parent()

pytestmark = pytest.mark.skipif(
    image.why_not() is not None or isinstance(PARENT, str),
    reason=f"an emulated storage cannot be had here: {image.why_not() or PARENT}",
)


def loops_of(place: Workplace) -> list[Path]:
    """Loop devices over files of this place, below /sys."""
    backing = (path for path in Path("/sys/block").glob("loop*/loop/backing_file"))
    return [path.parents[1] for path in backing if str(place.folder) in path.read_text()]


def groups_of(pid: int) -> list[Path]:
    """Cgroups that this driver has made."""
    assert not isinstance(PARENT, str)
    return [*PARENT.folder.glob(f"bench-{pid}-*")]


def journals_of(pid: int) -> list[Path]:
    return [*Path("/run/bench-undo").glob(f"{pid}-*")]


@pytest.mark.parametrize("fault", ["kill", "kill with its keepers"])
def test_nothing_is_left_of_an_emulated_storage(
    new_workplace: Callable[[], Workplace], preloaded: Preloaded, fault: str
):
    """By the keeper that outlives the driver, or by the next command where neither does."""
    place = with_a_model(new_workplace())
    seen: list[Path] = []

    def is_loading(running) -> bool:
        seen[:] = [*loops_of(place), *groups_of(running.pid)]
        return bool(running.place.logs()) and len(seen) == 2  # a loop device, a cgroup

    running = provoked(preloaded, place, Moment(LOADING.name, LOADING.words, has_come=is_loading), FAULTS[fault])
    until(lambda: not place.living())
    if fault == "kill with its keepers":
        assert journals_of(running.pid), "somebody has put it back: nobody was left"
        next_command(preloaded, place)

    loop, _ = seen
    until(lambda: not loops_of(place))
    assert (groups_of(running.pid), journals_of(running.pid)) == ([], [])
    assert (loop / "queue/read_ahead_kb").read_text().strip() != str(READ_AHEAD)
    assert sorted(path.name for path in (place.folder / "mine").iterdir()) == ["config.json", "model-0.safetensors", "model-1.safetensors"]  # fmt: skip
