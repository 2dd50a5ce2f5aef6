"""The receiver keeps what vLLM's processes send, whatever it is, and stays out of the way where it is not wanted."""

import http.client
import socket
import threading
import time
import warnings
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.compose import compose_settings
from bench.config import Settings
from bench.host.device import Device
from bench.host.host import Host, Needs
from bench.vllm import otel_receiver
from bench.vllm.otel import Body, read_spans
from bench.vllm.otel_receiver import Received, hindrance, missed, receive_spans, sending_to, wanted
from conftest import until
from otel_messages import EXEC_AT, Sent, message

ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
COMPILE = message(7, Sent("Compile graph", 20.0, 24.5))
WITH_EXPORTERS = {"vllm": "0.32.0", "opentelemetry": "1.45.0"}


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector of the host that the tests run on."""
    monkeypatch.delenv(ENDPOINT, raising=False)


@cache
def base() -> Settings:
    (settings,) = compose_settings(())
    return settings


def settings_with(otel: bool | None, args: dict[str, Any] | None = None, env: dict[str, Any] | None = None) -> Settings:  # noqa: FBT001
    vllm = base().vllm.model_copy(update={"otel": otel, "args": args or {}, "env": env or {}})
    return base().model_copy(update={"vllm": vllm})


def host(versions: dict[str, str] | None = None) -> Host:
    return Host(Device("cpu"), "/env/bin/python", versions or WITH_EXPORTERS, Needs({}, {}))


def post(received: Received, body: bytes, **headers: str) -> int:
    port = urlsplit(received.environment[ENDPOINT]).port
    connection = http.client.HTTPConnection("127.0.0.1", port)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/v1/traces", body, named)
    status = connection.getresponse().status
    connection.close()
    return status


def test_what_is_sent_is_kept_as_it_came():
    """Decoding it while vLLM starts would take cores from it."""
    with receive_spans(on=True) as received:
        assert post(received, COMPILE) == 200
        assert post(received, b"\x1f\x8b no gzip", Content_Encoding="gzip") == 200

    assert received.bodies == [Body(COMPILE), Body(b"\x1f\x8b no gzip", "gzip")]


def test_garbage_does_not_end_the_receiver(capfd):
    """Nor does a client that goes away, one that speaks no HTTP, or one that announces more than anybody would send."""
    with receive_spans(on=True) as received:
        port = urlsplit(received.environment[ENDPOINT]).port
        for said in (b"", b"\x00\xff\n\n", b"POST /v1/traces HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(said)
        assert post(received, b"", Content_Length=str(10**15)) == 413
        assert post(received, b"", Content_Length="many") == 411
        assert post(received, b"\xff\xff garbage") == 200
        assert post(received, COMPILE) == 200

    assert [each.name for each in read_spans(received.bodies, EXEC_AT).spans] == ["Compile graph"]
    assert received.warnings == ["a message with vLLM's spans says no length, or one of more than 16 MiB: not kept"]
    assert capfd.readouterr() == ("", "")  # the terminal is the start's


def test_the_spans_of_a_real_exporter_arrive(monkeypatch):
    """The one that vLLM uses, told by nothing but the environment, on this host's clock."""
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
    exec_at = time.time()
    with receive_spans(on=True) as received, warnings.catch_warnings(action="ignore"):
        for name, value in received.environment.items():
            monkeypatch.setenv(name, value)
        for pid in (7, 8):
            provider = sdk.TracerProvider(resource=Resource({"vllm.process_id": str(pid)}))
            provider.add_span_processor(BatchSpanProcessor(exporter.OTLPSpanExporter()))
            with provider.get_tracer("vllm").start_as_current_span("Capture model"):
                pass
            provider.shutdown()

    spans = read_spans(received.bodies, exec_at).spans
    assert [(each.name, each.pid) for each in spans] == [("Capture model", 7), ("Capture model", 8)]
    assert 0 <= spans[0].started_s <= spans[0].ended_s <= spans[1].started_s <= time.time() - exec_at
    assert {each.encoding for each in received.bodies} == {"gzip"}


def test_the_port_is_free_again_afterwards():
    """The next start of a sweep has a receiver of its own."""
    with receive_spans(on=True) as received:
        port = urlsplit(received.environment[ENDPOINT]).port

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_nothing_is_set_where_nothing_is_received():
    """vLLM's exporter would else knock at a door that is not there, and complain in its log."""
    with receive_spans(on=False) as received:
        assert received == Received()


def test_a_proxy_is_passed_by():
    """The exporter's HTTP library would ask it for 127.0.0.1, its own. Other exemptions stay."""
    assert "no_proxy" not in sending_to(1234, {})
    assert sending_to(1234, {"HTTP_PROXY": "http://proxy:3128"})["no_proxy"] == "127.0.0.1"
    assert sending_to(1234, {"http_proxy": "http://proxy:3128", "NO_PROXY": ".lan"})["no_proxy"] == ".lan,127.0.0.1"


@pytest.mark.parametrize(
    ("settings", "versions", "why"),
    [
        (settings_with(None), {"vllm": "0.32.0"}, "/env/bin/python has no opentelemetry-sdk with its OTLP exporters"),
        (settings_with(None, {"otlp-traces-endpoint": "http://jaeger:4318"}), None, "vllm.args.otlp_traces_endpoint"),
        (settings_with(None, env={ENDPOINT: "http://jaeger:4318"}), None, f"vllm.env.{ENDPOINT}"),
        (settings_with(None, env={"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}), None, "vllm.env.OTEL_EXPORTER"),
    ],
    ids=["no exporter", "own argument", "own endpoint", "own protocol"],
)
def test_what_stands_in_the_way_is_named_and_only_if_spans_were_asked_for(settings, versions, why):
    """By itself bench takes spans where it can have them, and does without where it cannot."""
    asked = settings.model_copy(update={"vllm": settings.vllm.model_copy(update={"otel": True})})

    assert not wanted(settings, host(versions))
    assert not wanted(asked, host(versions))
    assert missed(settings, host(versions), came=False) == []
    (warning,) = missed(asked, host(versions), came=False)
    assert why in warning


def test_a_collector_in_the_environment_of_bench_keeps_its_spans(monkeypatch):
    """Every vLLM on that host sends them there, the measured one too."""
    monkeypatch.setenv(ENDPOINT, "http://jaeger:4318")

    assert not wanted(settings_with(otel=None), host())
    assert "environment of bench" in str(hindrance(settings_with(otel=None), host()))


@pytest.mark.parametrize(("otel", "takes"), [(None, True), (True, True), (False, False)])
def test_the_setting_decides_where_nothing_stands_in_the_way(otel, takes):
    """And what has come is no reason for a warning."""
    assert wanted(settings_with(otel), host()) is takes
    assert missed(settings_with(otel), host(), came=True) == []


def test_a_vllm_that_sends_none_is_said_if_they_were_asked_for():
    """As a release from before the spans."""
    assert missed(settings_with(otel=True), host(), came=False) == [
        "vllm.otel=true, but no spans came: vLLM sent none that can be read"
    ]


def test_all_bodies_together_have_a_greatest_size(monkeypatch):
    """An exporter that never stops costs a bounded amount of memory, and is told that all is well."""
    monkeypatch.setattr(otel_receiver, "ALL_BYTES_AT_MOST", 3 << 20)
    with receive_spans(on=True) as received:
        statuses = [post(received, bytes(1 << 20)) for _ in range(5)]

    assert statuses == [200] * 5
    assert len(received.bodies) == 3
    assert received.warnings == ["vLLM sent more than 3 MiB of spans: the later ones are not kept"]


def test_what_is_only_announced_gives_its_room_back(monkeypatch):
    """A client that went away in the middle takes no room from the others."""
    monkeypatch.setattr(otel_receiver, "ALL_BYTES_AT_MOST", 100)
    with receive_spans(on=True) as received:
        port = urlsplit(received.environment[ENDPOINT]).port
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort")
        until(lambda: received.bodies)
        assert post(received, bytes(90)) == 200

    assert [len(body.data) for body in received.bodies] == [5, 90]


def test_a_client_that_drips_does_not_hold_up_the_end():
    """The start is over; whoever still sends a byte a second is cut off."""
    threads = threading.active_count()
    with socket.socket() as client:
        with receive_spans(on=True) as received:
            client.connect(("127.0.0.1", urlsplit(received.environment[ENDPOINT]).port))
            client.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 99\r\n\r\nslow")
            until(lambda: threading.active_count() > threads + 1)
            began_s = time.monotonic()
        took_s = time.monotonic() - began_s

    assert took_s < otel_receiver.SILENT_CLIENT_S / 2


def test_a_receiver_that_cannot_be_opened_is_a_warning(monkeypatch):
    """As where there are no descriptors left: vLLM starts all the same."""

    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(otel_receiver, "_Server", refuse)
    with receive_spans(on=True) as received:
        pass

    assert received.environment == {}
    assert received.warnings == ["vLLM's spans could not be received: [Errno 24] Too many open files"]
