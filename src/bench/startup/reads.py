"""What vLLM's processes read from storage while they loaded: /proc/PID/io, taken at the lines that frame the loading.

Importing packages reads from storage too, so only what a process reads between the line that opens the loading and its
next word on the weights is the checkpoint's.
"""

from collections.abc import Callable

from bench.host.io_counter import bytes_read
from bench.startup.log import parse_line

# The last of these before the end counts: newer releases say more precisely when the weights' turn comes.
BEGINS = (
    "Starting to load model",
    "Loading model from scratch",
    "Initializing model took",
    "Filesystem type for checkpoints",
    "Auto-prefetch is disabled",
)
ENDS = ("Loading weights took", "Model loading took", "Overall time to stream", "KV cache")


class ReadWatch:
    """Sees each line as it comes, and looks at its process's counter at the right moments."""

    def __init__(
        self, look: Callable[[int], int | None] = bytes_read, *, is_ours: Callable[[int], bool] = lambda _pid: True
    ) -> None:
        self._look = look
        self.is_ours = is_ours  # a log can name any process: only those of the started tree are believed
        self._began: dict[int, int | None] = {}
        self._ended: dict[int, int | None] = {}

    def saw(self, text: str) -> None:
        """A line, at its arrival."""
        if not any(marker in text for marker in (*BEGINS, *ENDS)):
            return
        pid = parse_line(text).pid
        if pid is None:
            return
        if pid in self._ended or not self.is_ours(pid):
            return
        if any(marker in text for marker in BEGINS):
            self._began[pid] = self._look(pid)
        elif pid in self._began:
            self._ended[pid] = self._look(pid)

    def finish(self) -> None:
        """vLLM is ready: a process that has said nothing of the end of its loading is over with it by now."""
        for pid in self._began.keys() - self._ended.keys():
            self._ended[pid] = self._look(pid)

    def by_process(self) -> dict[int, int | None]:
        """Bytes that each loading process read meanwhile; None where its counter could not be read."""
        return {pid: _difference(self._began[pid], self._ended.get(pid)) for pid in self._began}


def _difference(began: int | None, ended: int | None) -> int | None:
    return None if began is None or ended is None else ended - began
