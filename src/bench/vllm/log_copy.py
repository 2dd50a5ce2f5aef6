"""Output of a process -> its log, each line behind the seconds since exec at which its end arrived, whatever is printed and how much.

Reading must never wait: a full pipe stalls vLLM, and the stall would be measured. So what is done with a line is done by another
thread (`Follower`), which is given a bounded number of lines; a line has a greatest length, the log a greatest size. Beyond
that, output is only read, and its last part kept, since the reason of a failure stands at the end.
"""

import fcntl
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.masking import mask_bytes, private

MIB = 1024**2
LOG_LIMIT = 8 * MIB  # bytes, from the beginning; the longest known log of a start has 1 MiB
TAIL_LIMIT = 1 * MIB  # bytes, from the end, where there is more
LINE_LIMIT = 64 * 1024  # bytes; the longest known line of vLLM, its configuration, has 10 kB
READ_SIZE, DRAIN_SIZE = 1 << 16, 1 << 20
SMALL = 1 << 12  # bytes; so much of the end is kept as one piece, with one stamp
PIPE_SIZE = 1 << 20  # bytes; what an unprivileged process may have: pipe(7)
LINES_PER_S = 5_000  # that are followed; at 20 µs each this is a tenth of a core
BACKLOG = 4 * MIB  # bytes that wait to be followed, as where the terminal is stopped
LAST_OUTPUT_S = 10.0  # how long a dead process's last lines may take through the pipe

OnLine = Callable[[float, str], None]


class Copy:
    """Copies `output`, a pipe, to a log. `on_line` is called for each line, in another thread; once lines come for which it is not,
    because they come too fast, `unread` is set.

    Progress bars end their lines with a carriage return: each state of a bar becomes a line of its own. Empty lines,
    which bars leave in number, are left out. The output is read to its end, also after an error here.
    """

    def __init__(self, output: int, log_path: Path, on_line: OnLine) -> None:
        self.failure: Exception | None = None
        self.left_out_bytes = 0  # between the log's first part and its last
        self.cut_lines = 0
        self._output = output
        self._log = os.open(private(log_path), os.O_WRONLY | os.O_APPEND)
        self._follower = Follower(on_line)
        self.unread = self._follower.unread
        self._is_finished = False
        self._lines = Lines()
        self._room = LOG_LIMIT
        self._tail: deque[tuple[float, bytes]] = deque()
        self._tail_bytes = 0
        self._thread: threading.Thread | None = None
        self._over, self._end = os.pipe()
        self._given_up_s: float | None = None
        self._poll = select.poll()  # select takes no descriptor above 1,023
        for descriptor in (output, self._over):
            self._poll.register(descriptor, select.POLLIN)
        with suppress(OSError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    def start(self, elapsed_s: Callable[[], float]) -> None:
        self._thread = threading.Thread(target=self.run, args=(elapsed_s,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Call it when the process tree is gone: the rest of the pipe is read, without waiting for more."""
        if self._is_finished:
            return
        self._is_finished = True
        os.close(self._end)
        if self._thread:
            self._thread.join(LAST_OUTPUT_S)
        else:
            self._close()

    def warnings(self) -> list[str]:
        """What of the output is not in the log."""
        found = []
        if self.left_out_bytes:
            left_out = f"{self.left_out_bytes / MIB:.1f} MiB"
            found.append(
                f"vLLM printed more than {LOG_LIMIT // MIB} MiB: {left_out} between the beginning and the end of its log are left out"
            )
        if self.cut_lines:
            found.append(f"{self.cut_lines} lines of vLLM's log were longer than {LINE_LIMIT // 1024} KiB and are cut")
        return found

    def run(self, elapsed_s: Callable[[], float]) -> None:
        """Until the output ends."""
        try:
            while chunk := self._read():
                if self._room > 0:
                    self._keep(self._lines.feed(chunk), elapsed_s())
                else:
                    self._add_to_tail(chunk, elapsed_s())
            self._write_tail(elapsed_s())
        finally:
            self._follower.finish()
            self.failure = self.failure or self._follower.failure
            self.cut_lines = self._lines.cut_lines
            self._close()

    def _read(self) -> bytes:
        """The available bytes; empty at the end: no process has the pipe open, or the tree is gone and the pipe is empty."""
        with suppress(OSError):
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            if self._over in ready and self._given_up_s is None:
                self._given_up_s = time.monotonic() + LAST_OUTPUT_S / 2
            # A process outside of the tree prints.
            is_late = self._given_up_s is not None and time.monotonic() > self._given_up_s
            if self._output in ready and not is_late:
                return os.read(self._output, READ_SIZE if self._room > 0 else DRAIN_SIZE)
        return b""

    def _keep(self, lines: list[bytes], arrived_s: float) -> None:
        if not lines:
            return
        stamp = b"%9.3f " % arrived_s
        self._write(stamp + mask_bytes(b"\n".join(lines)).replace(b"\n", b"\n" + stamp) + b"\n")
        self._follower.offer(arrived_s, lines)

    def _write(self, text: bytes) -> None:
        self._room -= len(text)
        if self._room <= 0:
            self.unread.set()
        if self.failure is None:
            try:
                _write_all(self._log, text)
            except OSError as error:  # shown at the end of the block, when vLLM is gone
                self.failure = error

    def _add_to_tail(self, chunk: bytes, arrived_s: float) -> None:
        self._tail_bytes += len(chunk)
        if self._tail and len(self._tail[-1][1]) < SMALL:
            chunk = self._tail.pop()[1] + chunk
        self._tail.append((arrived_s, chunk))
        while self._tail_bytes - len(self._tail[0][1]) >= TAIL_LIMIT:
            gone = len(self._tail.popleft()[1])
            self._tail_bytes -= gone
            self.left_out_bytes += gone

    def _write_tail(self, ended_s: float) -> None:
        if self.left_out_bytes:
            self._keep(self._lines.rest(), ended_s)
            self._write(b"%9.3f [bench: %d bytes are left out here]\n" % (self._tail[0][0], self.left_out_bytes))
            first_s, chunk = self._tail[0]
            self._tail[0] = first_s, chunk.partition(b"\n")[2] or chunk  # it began in the middle of a line
        for arrived_s, chunk in self._tail:
            self._keep(self._lines.feed(chunk), arrived_s)
        self._keep(self._lines.rest(), ended_s)

    def _close(self) -> None:
        for descriptor in (self._log, self._over):
            os.close(descriptor)


def _write_all(descriptor: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


class Lines:
    """Cuts a stream of bytes into lines. LF and CR end one; empty ones are left out; of a long one the first part is kept."""

    def __init__(self) -> None:
        self.cut_lines = 0
        self._pending = b""
        self._left_out = 0  # bytes of the pending line

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk."""
        *ended, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        lines = []
        if ended:
            self._append(ended[0])
            lines = [*self.rest(), *(self._shortened(line) for line in ended[1:] if line)]
        self._append(rest)
        return lines

    def rest(self) -> list[bytes]:
        """The line that has not ended, if any: as of a process that was killed in the middle of a word."""
        line, self._pending = self._pending, b""
        if self._left_out:
            line, self._left_out = self._marked(line, self._left_out), 0
        return [line] if line else []

    def _append(self, part: bytes) -> None:
        room = LINE_LIMIT - len(self._pending)
        self._pending += part[:room]
        self._left_out += max(0, len(part) - room)

    def _shortened(self, line: bytes) -> bytes:
        return line if len(line) <= LINE_LIMIT else self._marked(line[:LINE_LIMIT], len(line) - LINE_LIMIT)

    def _marked(self, line: bytes, left_out: int) -> bytes:
        self.cut_lines += 1
        return b"%b [bench: %d more bytes of this line are left out]" % (line, left_out)


class Follower:
    """Calls `on_line` for lines, in a thread of its own, so that a slow callback does not delay the reader."""

    def __init__(self, on_line: OnLine) -> None:
        self.failure: Exception | None = None
        self.unread = threading.Event()  # lines came that were not taken
        self._on_line = on_line
        self._queue: queue.SimpleQueue[tuple[float, list[bytes]] | None] = queue.SimpleQueue()
        self._offered = self._followed = 0  # bytes; each is counted by one thread
        self._second_s, self._in_second = 0.0, 0
        self._thread: threading.Thread | None = None

    def offer(self, arrived_s: float, lines: list[bytes]) -> None:
        """Never waits."""
        if arrived_s - self._second_s >= 1:
            self._second_s, self._in_second = arrived_s, 0
        self._in_second += len(lines)
        if self._in_second > LINES_PER_S or self._offered - self._followed > BACKLOG or not self._is_running():
            self.unread.set()
            return
        self._offered += sum(map(len, lines))
        self._queue.put((arrived_s, lines))

    def _is_running(self) -> bool:
        if self._thread is None:
            with suppress(RuntimeError):  # no more threads
                thread = threading.Thread(target=self._run, daemon=True)
                thread.start()
                self._thread = thread
        return self._thread is not None

    def finish(self) -> None:
        """When all that was offered is followed."""
        self._queue.put(None)
        if self._thread:
            self._thread.join(LAST_OUTPUT_S)

    def _run(self) -> None:
        while item := self._queue.get():
            arrived_s, lines = item
            self._followed += sum(map(len, lines))
            try:
                for line in lines if self.failure is None else ():
                    self._on_line(arrived_s, line.decode(errors="replace"))
            except Exception as error:  # noqa: BLE001  # shown at the end of the block, when vLLM is gone
                self.failure = error
