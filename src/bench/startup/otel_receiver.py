"""Takes in vLLM's own OpenTelemetry spans while it starts: OTLP over HTTP, on a port of this host's own.

vLLM's engine core and workers send spans as soon as the environment names an endpoint, so no argument is needed: a release
without spans takes no notice, and one without the exporter's packages, which dies of the argument, does not die of this.
Source: vllm/tracing/otel.py, init_otel_worker_tracer.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.config import Settings
from bench.host.measured import Host
from bench.startup.command import HOST
from bench.startup.otel import Body

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
SEND_EVERY_MS = 200  # a crash loses what ended after the last sending
BODY_BYTES_AT_MOST = 1 << 24  # vLLM sends a few kB at once
SILENT_CLIENT_S = 10.0
STEP_AT_LEAST_S = 0.05  # less can be a pause between the looks at the two clocks
POLL_S = 0.1  # how long closing may take; asking costs some microseconds
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass
class Received:
    """What came in, undecoded: decoding waits until the start is over, since the driver shares its cores with vLLM.

    `environment` makes vLLM send; empty: nothing is received. `offset_s` is by how much UNIX time was ahead of CLOCK_MONOTONIC when
    the receiver closed; None: it has not, or there was none.
    """

    environment: dict[str, str] = field(default_factory=dict)
    bodies: list[Body] = field(default_factory=list)
    offset_s: float | None = None

    def stepped(self, offset_at_exec_s: float) -> list[str]:
        """A warning where somebody has set the host's clock since exec: spans carry UNIX time, all else CLOCK_MONOTONIC."""
        step_s = 0.0 if self.offset_s is None else self.offset_s - offset_at_exec_s
        if not self.bodies or abs(step_s) < STEP_AT_LEAST_S:
            return []
        return [f"the host's clock was set by {step_s:+.3f} s during the start: vLLM's spans lie wrong by up to that"]


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
    return [f"vllm.otel=true, but no spans came: {hindrance(settings, host) or 'vLLM sent none'}"]


@contextmanager
def receive_spans(*, on: bool) -> Iterator[Received]:
    """A receiver, there for as long as the block; it should outlast vLLM, whose processes send their last spans when they end."""
    if not on:
        yield Received()
        return
    with _Server((HOST, 0), _Handler) as server:  # leaving waits for what is coming in
        received = server.received = Received(sending_to(server.server_port, os.environ))
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield received
        finally:
            received.offset_s = time.time() - time.monotonic()
            server.shutdown()
            thread.join()


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
    daemon_threads = False
    received: Received

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no concern of a person at the terminal."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENT_CLIENT_S
    server: _Server

    def do_POST(self) -> None:
        """Keep the body, and say that all is well: an exporter that hears otherwise tries again, and complains in vLLM's log."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._answer(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > BODY_BYTES_AT_MOST:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        data = self.rfile.read(int(length))
        self.server.received.bodies.append(Body(data, self.headers.get("Content-Encoding", "").lower()))
        return self._answer(HTTPStatus.OK)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  # the parent names it so
        """Nothing: the terminal is the start's."""
