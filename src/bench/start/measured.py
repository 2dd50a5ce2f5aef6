"""What bench measures itself, by its metric in the catalogue: clocks, memory, the host and its state. Pure."""

from collections.abc import Sequence

from bench.host.noise import Rig
from bench.host.state import HostState
from bench.start import metrics as m
from bench.start.metric import named
from bench.start.values import Reached
from bench.vllm.memory import MemorySample, peaks


def clock_metrics(reached: Reached) -> dict[str, float]:
    """The driver's clock, and the kernel's of the processors."""
    answer, cpu = reached.answer, reached.cpu
    return named({
        m.READY: reached.ready_s,
        m.FIRST_TOKEN: answer.first_token_s if answer else None,
        m.CPU_VLLM: cpu.tree_s if cpu else None,
        m.CPU_BENCH: cpu.ours_s if cpu else None,
        m.LONGEST_GAP: reached.clocks.longest_gap_s(answer.first_token_s) if answer else None,
    })  # fmt: skip


def memory_metrics(samples: Sequence[MemorySample]) -> dict[str, float]:
    """The most that was seen of each. What was never read is absent."""
    most = peaks(samples)
    host = named({
        m.HOST_ANON: most.anon_gib, m.HOST_FILE: most.file_gib, m.HOST_SHMEM: most.shmem_gib, m.HOST_PSS: most.pss_gib,
    })  # fmt: skip
    of_gpus = [(m.GPU_PEAK, most.gpu_used_gib), (m.GPU_OWN_PEAK, most.gpu_own_gib)]
    return host | {
        family.name(index): gib for family, all_gib in of_gpus for index, gib in enumerate(all_gib) if gib is not None
    }


def state_metrics(state: HostState) -> dict[str, float]:
    """What was measured of the state; what could not be is absent."""
    return named({
        m.RESIDENT_BEFORE: state.resident_before,
        m.RESIDENT_AFTER: state.resident_after,
        m.IO_READ: state.read_gib,
        m.IO_AMPLIFICATION: state.read_amplification,
        m.IO_OTHER: state.other_read_gib,
    })  # fmt: skip


def rig_metrics(rig: Rig) -> dict[str, float]:
    """What was seen last before the start, over all its GPUs together."""
    return named({
        m.RIG_LOAD: rig.load_average,
        m.RIG_BUSY_CORES: rig.busy_cores,
        m.RIG_FREE_MEMORY: rig.free_memory_gib,
        m.RIG_SWAP: rig.swap_used_gib,
        m.RIG_GPU_MEMORY: rig.gpu_memory_used_gib,
        m.RIG_GPU_PROCESSES: rig.gpu_processes,
        m.RIG_GPU_CLOCK: rig.gpu_sm_clock_mhz,
    })  # fmt: skip
