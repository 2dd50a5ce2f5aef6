"""One HTTP exchange on this host that ends in time and takes no more memory than it may, whatever the server does.

http.client's time-out holds for each read, and a header or a line that drips resets it; here it holds for the whole, and the
bytes are counted.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

HEADERS_AT_MOST = 1 << 16  # bytes; a status line and headers


class TooLong(http.client.HTTPException):
    """The server sent more bytes than allowed."""


@contextmanager
def exchange(
    address: tuple[str, int],
    request: tuple[str, str, bytes | None, Mapping[str, str]],
    *,
    timeout_s: float,
    bytes_at_most: int = HEADERS_AT_MOST,
) -> Iterator[http.client.HTTPResponse]:
    """Sends (method, path, body, headers); its status and headers are read, its body may be, within `timeout_s` from now.

    Raises:
        TimeoutError: the time is over, here or where the body is read.
        OSError, HTTPException, ValueError: the connection or the protocol broke, here or where the body is read.
    """
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    deadline_s = time.monotonic() + timeout_s
    connection.connect()
    with connection.sock as connected, closing(connection):
        connection.sock = _Bounded(connected, deadline_s, bytes_at_most)
        method, path, body, headers = request
        connection.request(method, path, body, dict(headers))
        with connection.getresponse() as response:
            yield response


class _Bounded:
    """A socket with one deadline, as far as http.client uses one."""

    def __init__(self, connected: socket.socket, deadline_s: float, bytes_at_most: int) -> None:
        self._socket = connected
        self._deadline_s = deadline_s
        self._bytes_left = bytes_at_most

    def sendall(self, data: Any) -> None:
        self._socket.settimeout(self._left_s())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self))

    def close(self) -> None:
        """http.client is done with the connection, but not with the answer that is read from it."""

    def receive(self, buffer: Any) -> int:
        self._socket.settimeout(self._left_s())
        count = self._socket.recv_into(buffer)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLong("more bytes than an answer may have")
        return count

    def _left_s(self) -> float:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


class _Reads(io.RawIOBase):
    def __init__(self, bounded: _Bounded) -> None:
        self._bounded = bounded

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._bounded.receive(buffer)
