"""THE list of what is recorded of a checkpoint's storage with every start: tags, report, and what must agree come from these rows. Pure.

A new fact is a row here, and its value in storage.py, `describe_storage`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NO_LIMIT = "none"  # the fact `limit` where the cgroups of this process allow all


@dataclass(frozen=True)
class Fact:
    """`name` is that of the tag behind `storage.`, `title` stands in the report. `must_agree`: how a difference is called between starts that are
    compared; None: it may differ. `is_later`: starts under an earlier bench lack it, and nothing follows from that.
    """

    name: str
    title: str
    must_agree: str | None
    is_later: bool = True


# fmt: off
READ_AHEAD = Fact("read_ahead_kb", "Read-ahead (KiB)", "the disk's read-ahead", is_later=False)
BDI_READ_AHEAD = Fact("bdi_read_ahead_kb", "Read-ahead of the backing device (KiB)", "the backing device's read-ahead")
LIMIT = Fact("limit", "Limit of the cgroup", "the cgroup's limit on the disk", is_later=False)
FREE = Fact("free_gib", "Free space, least (GiB)", None)

NAME = Fact("name", "Storage, by its setting", "the storage that was set")
EMULATED = Fact("emulated", "Emulated as", "what the emulated storage allows")

FACTS = (
    NAME,
    EMULATED,
    Fact("device", "Storage", "the checkpoint's disk", is_later=False),
    Fact("composed_of", "Storage is made of", "what the checkpoint's disk is made of"),
    Fact("rotational", "Rotational", "whether the disk rotates, by its driver"),
    Fact("filesystem", "File system", "the checkpoint's file system", is_later=False),
    Fact("source", "Server, bucket or pool", "the checkpoint's server, bucket or pool"),
    Fact("mount_options", "Mount options", "the mount's options", is_later=False),
    Fact("own_options", "File system's options", "the file system's options"),
    Fact("layers", "Overlay's layers", "the overlay's layers"),
    READ_AHEAD,
    BDI_READ_AHEAD,
    Fact("max_sectors_kb", "Largest request (KiB)", "the disk's largest request", is_later=False),
    Fact("nr_requests", "Requests in the scheduler's queue", "the requests that the disk's scheduler queues"),
    Fact("queue_depth", "Requests in the device's queue", "the requests that the disk takes at once"),
    Fact("scheduler", "I/O scheduler", "the disk's I/O scheduler", is_later=False),
    LIMIT,
    FREE,
)
# fmt: on


def of_one_storage(facts: Mapping[str, str]) -> dict[str, str]:
    """Those that stay as they are while a storage does."""
    lasting = {fact.name for fact in FACTS if fact.must_agree}
    return {name: value for name, value in facts.items() if name in lasting}
