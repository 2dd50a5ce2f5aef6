"""The group `rig`: how quiet the host must be."""

from typing import Annotated

from pydantic import Field

from bench.config.values import Section, Share


class RigLimits(Section):
    """How idle the host must be before a start, how long to wait for that, and what may disturb the start. No influence on what is measured.

    The defaults are those of conf/: whoever allows more, there or on the command line, finds it in the report.
    """

    wait_s: Annotated[float, Field(ge=0, le=10_000_000)] = 60  # at most; 0: check once, and do not wait
    busy_cores_at_most: Share = 0.25  # of the cores that we may use; during a start too
    free_memory_at_least_gib: Annotated[float, Field(ge=0)] = 2  # during a start too
    swap_used_at_most_gib: Annotated[float, Field(ge=0)] = 4
    gpu_processes_at_most: Annotated[int, Field(ge=0)] = 0  # on each GPU; during a start on all of them together
    gpu_leftover_at_most_gib: Annotated[float, Field(ge=0)] = 0.5  # on each GPU, above the least in use so far
    gpu_throttled: bool = False  # True: a GPU that is slowed down is taken as it is
    # During a start: read by others, and written by them.
    others_io_at_most_gib_per_s: Annotated[float, Field(ge=0)] = 0.05
    memory_pressure_at_most: Share = 0.05  # of the time
    cpu_throttled_at_most: Share = 0.05  # of the periods of the cgroup's quota
    page_cache_lost_at_most: Share = 0.02  # of the checkpoint's bytes
