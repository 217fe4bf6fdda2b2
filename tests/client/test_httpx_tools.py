"""Tools that replace functions of httpx see the requests of the default client: mocks, recorders and tracers."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from cohere_rerank._transport.originals import ASYNCHRONOUS, BLOCKING

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}
URL = "https://api.cohere.com/v2/rerank"
REPLY = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}


async def _rerank(**options):
    async with AsyncClientV2("a-key", **options) as client:
        return await client.rerank(**CALL)


def rerank(kind, **options):
    """One call of a default client; the order of the documents."""
    if kind == "async":
        response = asyncio.run(_rerank(**options))
    else:
        with ClientV2("a-key", **options) as client:
            response = client.rerank(**CALL)
    return [item.index for item in response.results]


def own_connections_are_used():
    return BLOCKING.are_in_place() and ASYNCHRONOUS.are_in_place()


KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


@KINDS
@pytest.mark.parametrize("using", ["httpcore", "httpx"])
def test_respx_answers_in_place_of_the_server(kind, using):
    """With both of its mockers, and only inside its block."""
    respx = pytest.importorskip("respx")
    assert own_connections_are_used()
    with respx.mock(using=using) as router:
        route = router.post(URL).mock(return_value=httpx.Response(200, json=REPLY))
        assert rerank(kind) == [1, 0]
    assert route.calls.last.request.headers["authorization"] == "Bearer a-key"
    assert b'"documents":["a","b"]' in route.calls.last.request.content
    assert own_connections_are_used()


def test_a_client_changes_over_between_two_calls(server):
    """A client with an open connection is mocked too, and uses that connection again afterwards."""
    respx = pytest.importorskip("respx")
    with ClientV2("a-key", base_url=server.url) as client:
        client.rerank(**CALL)
        with respx.mock() as router:
            router.post(f"{server.url}/v2/rerank").mock(return_value=httpx.Response(200, json=REPLY))
            assert [item.index for item in client.rerank(**CALL).results] == [1, 0]
        client.rerank(**CALL)
    assert len(server.requests) == 2
    assert server.n_connections == 1


@KINDS
def test_pytest_httpx_answers_in_place_of_the_server(kind, request):
    """Its fixture sees the request."""
    pytest.importorskip("pytest_httpx")
    httpx_mock = request.getfixturevalue("httpx_mock")
    httpx_mock.add_response(url=URL, json=REPLY)
    assert rerank(kind) == [1, 0]
    assert httpx_mock.get_request().headers["authorization"] == "Bearer a-key"


@KINDS
def test_vcrpy_records_and_replays(kind, server, tmp_path):
    """Without our own ``cassette()``: the second call is answered from the file."""
    vcr = pytest.importorskip("vcr")
    path = str(tmp_path / "cassette.yaml")
    for _ in range(2):
        with vcr.use_cassette(path):
            assert len(rerank(kind, base_url=server.url)) == 2
    assert len(server.requests) == 1


TRACED = """
import asyncio, sys
from cohere_rerank import AsyncClientV2, ClientV2, errors

kind, url = sys.argv[1:]
call = dict(model="m", query="q", documents=["a", "b"])

def rerank():
    if kind == "sync":
        with ClientV2("a-key", base_url=url) as client:
            return client.rerank(**call)
    async def main():
        async with AsyncClientV2("a-key", base_url=url) as client:
            return await client.rerank(**call)
    return asyncio.run(main())
"""

OPENTELEMETRY = """
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
HTTPXClientInstrumentor().instrument(tracer_provider=provider)
rerank()
print(len(exporter.get_finished_spans()))
"""

SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.httpx import HttpxIntegration

spans = []
sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    traces_sample_rate=1.0,
    default_integrations=False,
    integrations=[HttpxIntegration()],
    trace_propagation_targets=[".*"],
    before_send_transaction=lambda event, hint: spans.extend(event["spans"]),
)
with sentry_sdk.start_transaction(name="t"):
    rerank()
print(len([span for span in spans if span["op"] == "http.client"]))
"""


@KINDS
@pytest.mark.parametrize(
    ("module", "script", "header"),
    [
        ("opentelemetry.instrumentation.httpx", OPENTELEMETRY, "traceparent"),
        ("sentry_sdk", SENTRY, "sentry-trace"),
    ],
    ids=["OpenTelemetry", "Sentry"],
)
def test_a_tracer_sees_the_request(kind, server, module, script, header):
    """It writes one span, and its header reaches the server. Installed before this library is, as programs do."""
    pytest.importorskip(module)
    command = [sys.executable, "-c", TRACED + script, kind, server.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["1"]
    assert server.requests[0].header(header)


FAILURES = {
    "a connection": (httpx.ConnectError("refused"), errors.ConnectionFailedError),
    "a timeout": (httpx.ReadTimeout("slow"), errors.TimeoutExceededError),
    "a reset": (ConnectionResetError("reset"), errors.ConnectionFailedError),
    "a timeout of Python": (TimeoutError("slow"), errors.TimeoutExceededError),
    "an error of the system": (OSError(28, "disk full"), errors.ConnectionFailedError),
}


@KINDS
@pytest.mark.parametrize("name", FAILURES)
def test_a_mocked_failure_is_a_typed_error(kind, name):
    """Whether the mock raises an error of httpx or of Python."""
    respx = pytest.importorskip("respx")
    failure, expected = FAILURES[name]
    with respx.mock() as router:
        router.post(URL).mock(side_effect=failure)
        with pytest.raises(expected) as caught:
            rerank(kind, max_retries=0)
    assert not isinstance(caught.value, errors.CertificateError)
    assert str(failure) in str(caught.value)


@KINDS
def test_a_replaced_send_answers(kind, monkeypatch):
    """A test may replace the function itself, without a library of mocks."""
    if kind == "sync":
        monkeypatch.setattr(httpx.Client, "send", lambda *_args, **_options: httpx.Response(200, json=REPLY))
    else:

        async def send(*_args, **_options):
            return httpx.Response(200, json=REPLY)

        monkeypatch.setattr(httpx.AsyncClient, "send", send)
    assert rerank(kind) == [1, 0]
