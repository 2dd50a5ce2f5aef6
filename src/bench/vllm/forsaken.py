"""vLLM's processes that nobody keeps any more: driver, guard and keeper were killed at once. The next command ends them, and puts back what they
have changed of this host.

Each process of a tree inherits a variable with the identity of its driver. vLLM sets titles for its processes, for which setproctitle takes
the memory of their environment unless SPT_NOENV is set. Source: README of setproctitle.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.system.output import print_message
from bench.system.process_identity import ProcessIdentity, parse, this_process
from bench.system.processes import TRACKERS_S, every_pid, kill, kill_all
from bench.system.undo import undo_forsaken
from bench.vllm import keeper
from bench.vllm.shared_memory import SharedMemory

DRIVER = "BENCH_DRIVER"
UNKILLABLE_S = 60.0  # a process that is still there after so long sits in the kernel


def marks() -> dict[str, str]:
    """The variables for a tree of this driver."""
    return {DRIVER: this_process().as_text(), "SPT_NOENV": "1"}


def end_forsaken() -> None:
    """Waits for the keepers that are still there, and ends by SIGKILL what has none; prints a sentence for each tree."""
    began_s, alone, shared_memory = time.monotonic(), set[str](), dict[str, SharedMemory]()
    while (trees := forsaken()) and (lasted_s := time.monotonic() - began_s) < UNKILLABLE_S:
        for driver, pids in trees.items():
            if keepers := [pid for pid in pids if _is_keeper(pid)]:  # which end it, and know what else it has left
                for pid in keepers:
                    kill(pid, signal.SIGCONT)
                continue
            if driver not in alone:  # its keeper may have ended just now, and so has the tree then
                alone.add(driver)
                continue
            if driver not in shared_memory:
                shared_memory[driver] = SharedMemory(began_at=_began_at(driver))
                print_message(f"ending {len(pids)} processes of vLLM that {parse(driver)}, which is gone, has left")
            shared_memory[driver].look(pids)
            kill_all(pids, spare_trackers=lasted_s < TRACKERS_S)
        time.sleep(keeper.POLL_S)
    for each in shared_memory.values():
        each.remove()
    for driver, pids in trees.items():
        print_message(f"{parse(driver)} is gone, and its processes {pids} cannot be ended: end them before you measure")
    for left in undo_forsaken():
        print_message(f"{left} is still as a killed bench has made it: put it back, or remove it, before you measure")


def forsaken() -> dict[str, list[int]]:
    """The processes of trees whose driver is gone, by driver, keepers among them."""
    found: dict[str, list[int]] = {}
    for pid, driver in _marked():
        if driver.is_gone:
            found.setdefault(driver.as_text(), []).append(pid)
    return found


def _marked() -> Iterator[tuple[int, ProcessIdentity]]:
    prefix = f"{DRIVER}=".encode()
    for pid in every_pid():
        with suppress(OSError):  # another user's, or it ended
            for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if variable.startswith(prefix) and (driver := parse(variable[len(prefix) :].decode(errors="replace"))):
                    yield pid, driver


def _began_at(driver: str) -> float:
    """When this process was started, UNIX time. Of an earlier boot nothing is left."""
    found = parse(driver)
    since_boot_s = float(found.started_ticks) / os.sysconf("SC_CLK_TCK") if found else 0.0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot_s


def _is_keeper(pid: int) -> bool:
    with suppress(OSError):
        return keeper.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
