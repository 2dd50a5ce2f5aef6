"""The group `storage`: the storage that a start's vLLM gets, the host's own or an emulated one."""

from typing import Annotated, Literal

from pydantic import Field

from bench.config.values import Count, Section, Text

AS_IS = "as_is"
MIB = 1024**2


class Storage(Section):
    """What vLLM may read of the disk that holds the checkpoint, and how. All None: as the disk is."""

    name: Text
    read_iops: Annotated[Count | None, Field(le=1_000_000_000)]  # requests a second
    read_mib_per_s: Annotated[float, Field(gt=0, le=1_000_000_000)] | None
    read_ahead_kb: Annotated[int, Field(ge=0, le=1 << 20, multiple_of=4)] | None  # KiB, as the kernel's own setting
    image: Literal["disk", "memory"] | None  # a copy of the checkpoint on a file system of bench's, and where that lies
    allow_read_ahead_of: Text | None  # the device whose read-ahead bench may change for the length of a start

    @property
    def is_emulated(self) -> bool:
        return self.limits_reads or self.read_ahead_kb is not None or self.image is not None

    @property
    def limits_reads(self) -> bool:
        return self.read_iops is not None or self.read_mib_per_s is not None

    @property
    def has_image(self) -> bool:
        """Whether the checkpoint is read from a file system of bench's: another read-ahead is that of a whole device."""
        return self.image is not None or (self.read_ahead_kb is not None and self.allow_read_ahead_of is None)

    @property
    def bytes_per_s(self) -> int | None:
        return None if self.read_mib_per_s is None else max(1, round(self.read_mib_per_s * MIB))

    def described(self) -> str:
        """For people: 3,000 reads/s, 125 MiB/s, read-ahead 128 KiB. Empty: as the disk is."""
        parts = [] if self.read_iops is None else [f"{self.read_iops:,} reads/s"]
        parts += [] if self.read_mib_per_s is None else [f"{self.read_mib_per_s:,g} MiB/s"]
        parts += [] if self.read_ahead_kb is None else [f"read-ahead {self.read_ahead_kb:,} KiB"]
        parts += ["in memory"] if self.image == "memory" else []
        return ", ".join(parts) or ("on a file system of its own" if self.has_image else "")
