"""Spans of the server: they continue the trace of the caller, and reach a collector."""

from __future__ import annotations

import json
import signal

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from opentelemetry.trace import SpanKind, StatusCode

from cohere_rerank import ClientV2
from tests.fake_server import Server, error
from tests.integrations.otel import configured, is_child, span_id_of, trace_id_of
from tests.server.running_server import RERANK_BODY, RunningServer, program, wait_until

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
NAME = "POST /v2/rerank"


@pytest.fixture
def telemetry():
    with configured() as made:
        yield made


def test_a_request_continues_the_trace_of_its_caller(telemetry):
    """The span says what was asked and what was sent, without a text."""
    with RunningServer() as running:
        assert running.post(traceparent=TRACEPARENT, **{"x-request-id": "r1"}).status_code == 200
    span = telemetry.span(NAME)
    assert span.kind is SpanKind.SERVER
    assert f"{span.parent.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v2/rerank",
        "http.response.status_code": 200,
        "url.path": "/v2/rerank",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": running.port,
        "client.address": "127.0.0.1",
        "cohere_rerank.request_id": "r1",
        "cohere_rerank.answered_by": "local-lexical",
        "gen_ai.rerank.candidate.count": 3,
    }
    assert "green tea" not in span.to_json()


def test_the_upstream_continues_the_trace(telemetry):
    """One trace: the caller, the request here, the call of this server's client, and the request of the upstream."""
    with Server() as upstream, RunningServer(upstream=upstream.url) as running:
        assert running.post(traceparent=TRACEPARENT).status_code == 200
        (request,) = upstream.requests
        sent = request.header("traceparent")
    server, call = telemetry.span(NAME), telemetry.span("rerank m")
    assert is_child(call, server)
    assert f"{trace_id_of(sent):032x}" == TRACE_ID
    assert span_id_of(sent) == call.get_span_context().span_id


def test_our_own_client_and_server_share_a_trace(telemetry):
    """The span of the server is below that of the call."""
    with RunningServer() as running, ClientV2("k", base_url=running.url) as client:
        client.rerank(**RERANK_BODY)
        wait_until(lambda: telemetry.spans(NAME))
    assert is_child(telemetry.span(NAME), telemetry.span())


@pytest.mark.parametrize(
    ("path", "body", "status"), [("/v2/rerank", b"no json", 400), ("/v1/rerank", {"documents": 1}, 422)]
)
def test_a_rejected_request_is_not_an_error_of_the_server(telemetry, path, body, status):
    """Its status is in the span. By the conventions, a 4xx of a server is no error of its span."""
    with RunningServer() as running:
        assert running.post(path, body).status_code == status
    span = telemetry.span(f"POST {path}")
    assert span.attributes["http.response.status_code"] == status
    assert span.status.status_code is StatusCode.UNSET


def test_a_failed_request_is_an_error(telemetry):
    """A 5xx."""

    def broken(query, documents):
        raise ZeroDivisionError

    with RunningServer(scorer=broken) as running:
        assert running.post().status_code == 500
    span = telemetry.span(NAME)
    assert span.attributes["error.type"] == "500"
    assert span.status.status_code is StatusCode.ERROR


def test_only_requests_to_rank_have_spans(telemetry):
    """Health checks, metrics and unknown paths have none."""
    with RunningServer() as running:
        for path in ("/health", "/metrics", "/v1/models", "/"):
            running.http.get(path)
        running.post("/secret-path")
    assert telemetry.exporter.get_finished_spans() == ()


def test_a_span_around_the_application_is_enough(telemetry):
    """With an instrumentation of ASGI, or mounted in an instrumented application, there is no second SERVER span."""
    import asyncio

    from cohere_rerank.server import create_app

    app, sent = create_app(), []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/rerank",
        "headers": [(b"content-type", b"application/json")],
    }

    async def receive():
        return {"type": "http.request", "body": json.dumps(RERANK_BODY).encode()}

    async def send(message):
        sent.append(message)

    async def main():
        with telemetry.current("outer"):
            await app(scope, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 200
    assert [span.name for span in telemetry.exporter.get_finished_spans()] == ["outer"]


# The program ------------------------------------------------------------------------------------


@pytest.fixture
def collector():
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from tests.integrations.otlp_collector import Collector

    with Collector() as running:
        yield running


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_program_exports_spans(collector, workers):
    """With the variables of OpenTelemetry alone, also from worker processes. Those that wait are sent at the end."""
    from tests.integrations.otlp_collector import attributes_of

    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with Server() as upstream:
        options = ("--workers", workers, "--upstream", upstream.url)
        with program(*options, CO_API_KEY="a-secret-key", **environment) as running:
            assert running.post(traceparent=TRACEPARENT).status_code == 200
            running.stop(signal.SIGTERM)
        sent = upstream.requests[0].header("traceparent")
    wait_until(lambda: len(collector.spans()) == 2)
    call, request = sorted(collector.spans(), key=lambda span: span.name, reverse=True)
    assert (call.name, request.name) == ("rerank m", NAME)
    assert request.trace_id.hex() == call.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == PARENT_ID
    assert call.parent_span_id == request.span_id
    assert call.span_id.hex() == f"{span_id_of(sent):016x}"
    assert attributes_of(call)["gen_ai.operation.name"] == "rerank"
    assert attributes_of(request)["http.response.status_code"] == 200
    assert collector.services() == {"cohere-rerank"}
    assert b"a-secret-key" not in b"".join(each.SerializeToString() for each in collector.requests)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    ],
)
def test_without_a_wish_nothing_is_exported(environment, monkeypatch):
    """No provider is made."""
    from cohere_rerank.server import tracing

    monkeypatch.setattr(tracing, "_exporter", lambda *_: pytest.fail("an exporter was made"))
    tracing.export_spans(environment)


def test_a_missing_exporter_does_not_stop_the_server():
    """The log says what to install."""
    with program(OTEL_TRACES_EXPORTER="missing") as running:
        assert running.post().status_code == 200
        (record,) = [record for record in running.records() if record["level"] == "warning"]
    assert "no package has the exporter missing" in record["message"]
    assert "install opentelemetry-sdk" in record["message"]


def test_a_collector_that_is_down_does_not_hold_up_the_server():
    """Requests are answered, and the program ends by itself after SIGTERM."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with program(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as running:
        assert [running.post().status_code for _ in range(3)] == [200] * 3
        assert running.stop(signal.SIGTERM) == 0


def test_an_upstream_that_fails_is_an_event_of_the_client(telemetry):
    """The local engine answers, and the span of the request says so."""
    with Server() as upstream, RunningServer(upstream=upstream.url) as running:
        upstream.default = error(501, "no")
        assert running.post().status_code in (200, 501)
        assert telemetry.span("rerank m").attributes["error.type"] == "501"
