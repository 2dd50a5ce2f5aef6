"""Takes in vLLM's own OpenTelemetry spans while it starts: OTLP over HTTP, on a port of this host's own.

vLLM's engine core and workers send spans as soon as the environment names an endpoint, so no argument is needed: a release
without spans takes no notice, and one without the exporter's packages, which dies of the argument, does not die of this.
Source: vllm/tracing/otel.py, init_otel_worker_tracer.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.config import Settings
from bench.host.host import Host
from bench.vllm.command import HOST
from bench.vllm.otel import Body

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
SEND_EVERY_MS = 200  # a crash loses what ended after the last sending
BODY_BYTES_AT_MOST = 1 << 24  # vLLM sends a few kB at once
ALL_BYTES_AT_MOST = 1 << 27  # of all bodies together, those included that are still coming
CLIENTS_AT_MOST = 256  # at once: each has a thread
LENGTH_DIGITS = 20
PIECE = 1 << 16
SILENT_CLIENT_S = 10.0
POLL_S = 0.1  # how long closing may take; asking costs some microseconds
LAST_BODIES_S = 1.0  # for those that are still coming in when vLLM is gone
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass
class Received:
    """What came in, undecoded: decoding waits until the start is over, since the driver shares its cores with vLLM.

    `environment` makes vLLM send; empty: nothing is received. `warnings`: what was not kept, and why.
    """

    environment: dict[str, str] = field(default_factory=dict)
    bodies: list[Body] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def hindrance(settings: Settings, host: Host, environment: Mapping[str, str] | None = None) -> str | None:
    """Why vLLM's spans cannot come to bench, in words. None: nothing is known to stand in the way."""
    inherited = os.environ if environment is None else environment
    if settings.arguments.get("otlp_traces_endpoint") is not None:
        return "they go to vllm.args.otlp_traces_endpoint"
    for name in (ENDPOINT, PROTOCOL):
        if name in settings.load_format.env | settings.vllm.env:
            return f"vllm.env.{name} says where they go"
    if inherited.get(ENDPOINT):
        return f"they go to {ENDPOINT}, which is set in the environment of bench"
    if "opentelemetry" not in host.versions:
        return f"{host.python} has no opentelemetry-sdk with its OTLP exporters"
    return None


def wanted(settings: Settings, host: Host) -> bool:
    """Whether this start's spans are taken in: unless they are not to be, or cannot come."""
    return settings.vllm.otel is not False and hindrance(settings, host) is None


def missed(settings: Settings, host: Host, *, came: bool) -> list[str]:
    """A warning where spans were asked for by name and none came; else nothing, since a start can do without."""
    if came or settings.vllm.otel is not True:
        return []
    return [f"vllm.otel=true, but no spans came: {hindrance(settings, host) or 'vLLM sent none that can be read'}"]


@contextmanager
def receive_spans(*, on: bool) -> Iterator[Received]:
    """A receiver, there for as long as the block; it should outlast vLLM, whose processes send their last spans when they end."""
    if not on:
        yield Received()
        return
    received = Received()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_Server(received))
            stack.enter_context(server.running())
            received.environment |= sending_to(server.server_port, os.environ)
        except (OSError, RuntimeError) as error:  # no descriptors, no threads: a start can do without spans
            received.warnings.append(f"vLLM's spans could not be received: {error}")
        yield received


def sending_to(port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """What makes vLLM's engine core and workers send their spans to this port, past any proxy that is set."""
    found = {
        ENDPOINT: f"http://{HOST}:{port}/v1/traces",
        PROTOCOL: "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": str(SEND_EVERY_MS),
    }
    if any(environment.get(name) for name in PROXIES):  # the exporter's HTTP library prefers the small letters
        exempt = environment.get("no_proxy") or environment.get("NO_PROXY")
        found["no_proxy"] = ",".join(filter(None, [exempt, HOST]))
    return found


class _Server(ThreadingHTTPServer):
    """Every client has a thread, which is ended with the server if it is not done by then."""

    daemon_threads = True

    def __init__(self, received: Received) -> None:
        self.received = received
        self._lock = threading.Lock()
        self._room = ALL_BYTES_AT_MOST
        self._clients: set[socket.socket] = set()
        super().__init__((HOST, 0), _Handler)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Leaving waits a little for what is coming in."""
        thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            deadline_s = time.monotonic() + LAST_BODIES_S
            while self._clients and time.monotonic() < deadline_s:
                time.sleep(0.01)
            with self._lock:
                for client in self._clients:
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # the parent names it so
        return len(self._clients) < CLIENTS_AT_MOST

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._clients.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._lock:
            self._clients.discard(request)

    def reserve(self, size: int) -> bool:
        """Room for a body. If there is none, that is a warning of the start."""
        with self._lock:
            is_kept = size <= self._room
            self._room -= size if is_kept else 0
        if not is_kept:
            self._warn(f"vLLM sent more than {ALL_BYTES_AT_MOST >> 20} MiB of spans: the later ones are not kept")
        return is_kept

    def refused(self) -> None:
        """A message was not taken: that is a warning of the start, or it would say that none was sent."""
        self._warn(
            f"a message with vLLM's spans says no length, or one of more than {BODY_BYTES_AT_MOST >> 20} MiB: not kept"
        )

    def _warn(self, words: str) -> None:
        with self._lock:
            if words not in self.received.warnings:
                self.received.warnings.append(words)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no concern of a person at the terminal."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENT_CLIENT_S
    server: _Server

    def do_POST(self) -> None:
        """Keep the body, and say that all is well: an exporter that hears otherwise tries again, and complains in vLLM's log."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < LENGTH_DIGITS):
            self.server.refused()
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        size = int(length)
        if size > BODY_BYTES_AT_MOST:
            self.server.refused()
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not self.server.reserve(size):
            while size > 0 and (piece := self.rfile.read(min(size, PIECE))):
                size -= len(piece)
            return self._answer(HTTPStatus.OK)
        data = b""
        try:
            data = self.rfile.read(size)
        finally:
            if len(data) < size:
                self.server.reserve(len(data) - size)
        self.server.received.bodies.append(Body(data, self.headers.get("Content-Encoding", "").lower()))
        return self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  # the parent names it so
        """Nothing: the terminal is the start's."""
