"""Spans of calls: their names, attributes, events and parents, with OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from cohere_rerank import AsyncClientV2, CircuitBreaker, ClientV2, Hedge, RateLimit, ScoreCache, errors
from tests.fake_server import error, hang, reply
from tests.integrations.otel import configured, is_child, providers, span_id_of, trace_id_of

CALL = {"model": "m", "query": "a secret question", "documents": ["a secret text", "another secret"]}
KEY = "co-5ecret-key-of-forty-characters-000000"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.fixture
def telemetry():
    with configured() as made:
        yield made


def headers_of(server, name="traceparent"):
    return [request.header(name) for request in server.requests]


def test_a_call_is_one_span_with_the_names_of_both_conventions(telemetry, server, make_either):
    """The names of OpenTelemetry's GenAI conventions and of OpenInference stand side by side."""
    body = {
        "id": "reply-7",
        "results": [{"index": 1, "relevance_score": 0.9}],
        "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 31}},
    }
    server.script(reply(json=body))
    make_either(tag="shop").rerank(**CALL, top_n=1)
    span = telemetry.span()
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "cohere",
        "gen_ai.request.model": "m",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "gen_ai.rerank.candidate.count": 2,
        "gen_ai.rerank.top_n": 1,
        "gen_ai.response.id": "reply-7",
        "gen_ai.usage.input_tokens": 31,
        "gen_ai.usage.search_units": 1,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "m",
        "reranker.top_k": 1,
        "cohere_rerank.answered_by": server.url.removeprefix("http://"),
        "cohere_rerank.requests": 1,
        "cohere_rerank.tag": "shop",
    }
    assert span.instrumentation_scope.name == "cohere_rerank"


def test_samplers_see_what_is_known_at_the_start(server):
    """The provider, the model, the address and the sizes are attributes when the span is made."""
    seen = []

    class Sampler(type(ALWAYS_OFF)):
        def should_sample(self, parent, trace_id, name, kind=None, attributes=None, *rest, **options):
            seen.append(attributes)
            return super().should_sample(parent, trace_id, name, kind, attributes, *rest, **options)

    from opentelemetry.sdk.trace.sampling import Decision

    with providers(TracerProvider(sampler=Sampler(Decision.DROP)), None), ClientV2(KEY, base_url=server.url) as client:
        client.rerank(**CALL, top_n=1)
    names = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port")
    assert set(names) <= set(seen[0])


def test_a_local_call_is_an_internal_span(telemetry, make_either):
    """Nothing leaves the process, so the span has no address, and the engine is the provider."""
    make_either(base_url="local:").rerank(**CALL)
    span = telemetry.span()
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes["gen_ai.provider.name"] == "cohere_rerank"
    assert span.attributes["cohere_rerank.answered_by"] == "local-lexical"
    assert "server.address" not in span.attributes


@pytest.mark.parametrize(
    ("options", "provider", "address", "port"),
    [
        ({}, "cohere", "api.cohere.com", 443),
        ({"base_url": "https://proxy.example/co"}, "cohere", "proxy.example", 443),
        ({"base_url": "http://[::1]:8080"}, "cohere", "::1", 8080),
        ({"base_url": "https://x.services.ai.azure.com/models"}, "azure.ai.inference", "x.services.ai.azure.com", 443),
        ({"base_url": "https://api.jina.ai"}, "jina", "api.jina.ai", 443),
        ({"base_url": "http://gpu:80", "dialect": "tei"}, "tei", "gpu", 80),
        ({"base_url": "bedrock:eu-west-1"}, "aws.bedrock", "bedrock-runtime.eu-west-1.amazonaws.com", 443),
        ({"base_url": "azure:shop"}, "azure.ai.inference", "shop.services.ai.azure.com", 443),
        ({"base_url": "vertex:shop"}, "gcp.vertex_ai", "discoveryengine.googleapis.com", 443),
        ({"rerank_url": "https://gw.example/r?code=5ecret"}, "cohere", "gw.example", 443),
    ],
)
def test_the_provider_follows_from_the_address(options, provider, address, port):
    """The query of an address, which may contain a key, is in no attribute."""
    from cohere_rerank._tracing.attributes import address_attributes

    config = ClientV2(KEY, **options)._config
    assert address_attributes(config, {"model": "cohere.rerank-v3-5:0"}) == {
        "gen_ai.provider.name": provider,
        "server.address": address,
        "server.port": port,
    }


def test_a_call_without_documents_has_no_span(telemetry, make_either):
    """Nothing is sent."""
    make_either().rerank(**{**CALL, "documents": []})
    assert telemetry.exporter.get_finished_spans() == ()


def test_a_failure_is_an_error_without_its_text(telemetry, server, make_either):
    """The status is the type. The text of an error may quote a document, so it is not part of the span."""
    server.script(error(422, "bad document: a secret text"))
    with pytest.raises(errors.UnprocessableEntityError):
        make_either(KEY).rerank(**CALL)
    span = telemetry.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "422"
    (event,) = span.events
    assert dict(event.attributes) == {"exception.type": "cohere_rerank.errors.UnprocessableEntityError"}
    assert "secret" not in span.to_json()


def test_a_failure_without_a_reply_has_the_name_of_its_class(telemetry, make_either):
    """A connection that is refused has no status."""
    with pytest.raises(errors.ConnectionFailedError):
        make_either(base_url="http://127.0.0.1:9", max_retries=0).rerank(**CALL)
    assert telemetry.span().attributes["error.type"] == "ConnectionFailedError"


def test_an_error_of_a_scorer_ends_the_span(telemetry, make_either):
    """Afterwards no span is current."""

    def broken(query, documents):
        raise ZeroDivisionError("a secret")

    with pytest.raises(errors.ScorerError):
        make_either(base_url="local:", scorer=broken).rerank(**CALL)
    assert telemetry.span().attributes["error.type"] == "ScorerError"
    assert "secret" not in telemetry.span().to_json()
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_cancelled_call_ends_its_span(telemetry, server, make_async_client):
    """So that a caller that gives up is visible."""
    server.default = hang()

    async def main():
        async with make_async_client() as client:
            task = asyncio.create_task(client.rerank(**CALL))
            await asyncio.to_thread(server.wait_until, lambda running: running.requests)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert telemetry.span().attributes["error.type"] == "CancelledError"


# Events ------------------------------------------------------------------------------------------


def events_of(span):
    return [(event.name, dict(event.attributes)) for event in span.events]


def test_retries_are_events(telemetry, server, make_either, clock):
    """One span for three requests. Each retry says why and how long it waited."""
    server.script(error(503, "down"), error(429, "slow down"))
    make_either(clock=clock).rerank(**CALL)
    found = events_of(telemetry.span())
    assert [name for name, _ in found] == ["cohere_rerank.retry"] * 2
    assert [facts["error.type"] for _, facts in found] == ["503", "429"]
    assert 0 < found[0][1]["cohere_rerank.waited_s"] < found[1][1]["cohere_rerank.waited_s"]
    assert telemetry.span().attributes["cohere_rerank.requests"] == 3


def test_a_second_request_is_an_event(telemetry, server, make_either):
    """That of ``hedge=``. Both requests belong to the span."""
    client = make_either(hedge=Hedge(max_extra=0.5, min_samples=4))
    for _ in range(4):
        client.rerank(**CALL)
    server.script(hang())
    client.rerank(**CALL)
    span = telemetry.spans()[-1]
    assert [name for name, _ in events_of(span)] == ["cohere_rerank.hedge"]
    sent = headers_of(server)[-2:]
    assert {span_id_of(each) for each in sent} == {span.get_span_context().span_id}


def test_a_fallback_is_an_event_and_marks_the_span(telemetry, server, make_either):
    """The call succeeds, so the span is not an error."""
    server.default = error(503, "down")
    make_either(fallback="local", max_retries=0).rerank(**CALL)
    span = telemetry.span()
    assert [name for name, _ in events_of(span)] == ["cohere_rerank.fallback"]
    assert span.attributes["cohere_rerank.is_fallback"] is True
    assert span.status.status_code is StatusCode.UNSET


def test_a_client_as_fallback_has_a_span_of_its_own(telemetry, server, make_either):
    """It is a child of the span of the call, because it is a call of its own."""
    server.script(error(503, "down"))
    make_either(fallback=make_either().client, max_retries=0).rerank(**CALL)
    outer, inner = telemetry.spans()
    assert is_child(inner, outer)
    assert span_id_of(headers_of(server)[-1]) == inner.get_span_context().span_id


def test_a_circuit_breaker_is_an_event(telemetry, server, make_either, clock):
    """The call that opens it, and a call that is not sent because of it."""
    server.default = error(503, "down")
    client = make_either(circuit_breaker=CircuitBreaker(max_failures=1), clock=clock, max_retries=0)
    for _ in range(2):
        with pytest.raises(errors.CohereRerankError):
            client.rerank(**CALL)
    first, second = telemetry.spans()
    assert ("cohere_rerank.breaker", {"cohere_rerank.state": "open"}) in events_of(first)
    assert second.attributes["error.type"] == "CircuitOpenError"


def test_a_wait_for_the_limit_is_an_event(telemetry, make_either, clock):
    """With its seconds. A call that need not wait has none."""
    client = make_either(clock=clock, limit=RateLimit(requests=1, period_s=10, name="otel"))
    for _ in range(2):
        client.rerank(**CALL)
    first, second = map(events_of, telemetry.spans())
    assert first == []
    ((name, facts),) = second
    assert name == "cohere_rerank.limit_wait"
    assert 10 <= facts["cohere_rerank.waited_s"] < 11


# Context -----------------------------------------------------------------------------------------


def test_the_context_is_sent_also_with_retries_and_parts(telemetry, server, make_either, clock):
    """Every request of a call names its span as the parent."""
    server.script(error(503, "down"))
    with telemetry.current("program"):
        make_either(clock=clock).rerank(**CALL, max_documents_per_request=1)
    span, sent = telemetry.span(), headers_of(server)
    assert len(sent) == 3
    assert {span_id_of(each) for each in sent} == {span.get_span_context().span_id}
    assert {trace_id_of(each) for each in sent} == {span.get_span_context().trace_id}
    assert is_child(span, telemetry.span("program"))


def test_baggage_is_sent(telemetry, server, make_either):
    """The propagators that the program has configured decide what is sent."""
    token = context.attach(baggage.set_baggage("tenant", "blue"))
    make_either().rerank(**CALL)
    context.detach(token)
    assert headers_of(server, "baggage") == ["tenant=blue"]


def test_a_traceparent_of_the_caller_is_not_replaced(telemetry, server, make_either):
    """Nor does a tracestate of another trace go with it."""
    own = "00-11111111111111111111111111111111-2222222222222222-01"
    client = make_either(headers={"Traceparent": own})
    client.rerank(**CALL)
    client.rerank(**CALL, request_options={"additional_headers": {"traceparent": own.replace("2", "3")}})
    assert headers_of(server) == [own, own.replace("2", "3")]
    assert headers_of(server, "tracestate") == [None, None]


def test_each_call_sends_its_own_context(telemetry, server, make_either):
    """The same client, one call after the other."""
    client = make_either()
    for _ in range(3):
        client.rerank(**CALL)
    ids = [span.get_span_context().span_id for span in telemetry.spans()]
    assert [span_id_of(each) for each in headers_of(server)] == ids
    assert len(set(ids)) == 3


def test_a_call_that_is_not_sampled_still_passes_on_its_context(server, make_either):
    """The server sees that the trace is not sampled, and makes no spans either."""
    with providers(TracerProvider(sampler=ALWAYS_OFF), None):
        make_either().rerank(**CALL)
    assert int(headers_of(server)[0].rpartition("-")[2], 16) & 1 == 0


def test_cached_documents_are_one_span(telemetry, make_either):
    """The call for the missing ones is part of it. Without a request there is a span too."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL)
    client.rerank(**{**CALL, "documents": [*CALL["documents"], "new"]})
    client.rerank(**CALL)
    spans = telemetry.spans()
    assert [span.attributes["cohere_rerank.requests"] for span in spans] == [1, 1, 0]
    assert spans[-1].attributes["cohere_rerank.answered_by"] == "cache"


def test_the_span_of_httpx_is_below_ours(server):
    """With the instrumentation of httpx there is one HTTP span for each request, and no second span for the call."""
    pytest.importorskip("opentelemetry.instrumentation.httpx")
    script = """
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import sys

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
HTTPXClientInstrumentor().instrument()
from cohere_rerank import ClientV2
ClientV2("k", base_url=sys.argv[1]).rerank(model="m", query="q", documents=["a"])
http, call = exporter.get_finished_spans()
assert call.name == "rerank m", call.name
assert http.parent.span_id == call.context.span_id
print(f"{http.context.span_id:016x}")
"""
    run = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert headers_of(server)[0].split("-")[2] == run.stdout.strip()


# Batches -----------------------------------------------------------------------------------------


ROWS = [{"query": f"q{number}", "documents": ["a", "b"]} for number in range(6)]


def batch_of(adapter, concurrency=3):
    """A function that consumes a batch, which is made here."""
    batch = adapter.client.rerank_many(ROWS, model="m", concurrency=concurrency)
    if not hasattr(batch, "__aiter__"):
        return lambda: list(batch)

    async def consume():
        return [outcome async for outcome in batch]

    return lambda: adapter._loop.run_until_complete(consume())


def test_rows_continue_the_trace_of_the_call(telemetry, server, make_either):
    """Each row is a child of the span that was current when ``rerank_many`` was called, not when it was consumed."""
    adapter = make_either()
    with telemetry.current("program"):
        consume = batch_of(adapter)
    with telemetry.current("elsewhere"):
        assert len(consume()) == len(ROWS)
    program = telemetry.span("program")
    spans = telemetry.spans()
    assert len(spans) == len(ROWS)
    assert all(is_child(span, program) for span in spans)
    assert {span_id_of(each) for each in headers_of(server)} == {span.get_span_context().span_id for span in spans}


def test_a_row_that_waits_for_the_breaker_is_one_span(telemetry, server, make_either, clock):
    """The batch sends it again when the breaker allows. The wait is an event, and not a failed call."""
    server.script(error(503, "down"))
    adapter = make_either(
        circuit_breaker=CircuitBreaker(max_failures=1, open_s=5), clock=clock, max_retries=0, base_url=server.url
    )
    outcomes = batch_of(adapter, concurrency=1)()
    spans = telemetry.spans()
    assert len(spans) == len(outcomes) == len(ROWS)
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert [span.attributes["error.type"] for span in failed] == ["503"]
    names = [event.name for span in spans for event in span.events]
    assert "cohere_rerank.postpone" in names
    assert sum(point.count for point in telemetry.points("gen_ai.client.operation.duration")) == len(ROWS)


# Content -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "false", "NO_CONTENT", "EVENT_ONLY", "nonsense"])
def test_no_text_is_recorded_unless_it_is_asked_for(telemetry, make_either, monkeypatch, value):
    """Neither the query nor a document nor the key. ``EVENT_ONLY`` asks for log records, which there are none of."""
    if value is not None:
        monkeypatch.setenv(CAPTURE, value)
    make_either(KEY).rerank(**CALL)
    text = telemetry.span().to_json()
    assert "secret" not in text
    assert "reranker.query" not in text
    assert "gen_ai.rerank.scores" not in text


@pytest.mark.parametrize("value", ["true", "True", "SPAN_ONLY", "SPAN_AND_EVENT", "span_and_event"])
def test_texts_and_scores_are_recorded_if_they_are_asked_for(telemetry, server, make_either, monkeypatch, value):
    """Under the names of OpenInference, best document first. The key is never part of it."""
    monkeypatch.setenv(CAPTURE, value)
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    server.script(reply(json={"id": "x", "results": results}))
    documents = [{"id": 7, "text": "first", "metadata": {"page": 3}}, "second"]
    make_either(KEY).rerank(model="m", query="which?", documents=documents, text="text")
    span = telemetry.span()
    found = {
        name: value for name, value in span.attributes.items() if name.startswith(("reranker.", "input", "output"))
    }
    assert found == {
        "reranker.model_name": "m",
        "reranker.query": "which?",
        "input.value": "which?",
        "input.mime_type": "text/plain",
        "reranker.input_documents.0.document.content": "first",
        "reranker.input_documents.0.document.id": "7",
        "reranker.input_documents.0.document.metadata": '{"page":3}',
        "reranker.input_documents.1.document.content": "second",
        "reranker.output_documents.0.document.content": "second",
        "reranker.output_documents.0.document.score": 0.9,
        "reranker.output_documents.1.document.content": "first",
        "reranker.output_documents.1.document.score": 0.1,
        "reranker.output_documents.1.document.id": "7",
        "reranker.output_documents.1.document.metadata": '{"page":3}',
        "output.value": '[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]',
        "output.mime_type": "application/json",
    }
    assert span.attributes["gen_ai.rerank.scores"] == (0.9, 0.1)
    assert KEY not in span.to_json()


def test_a_long_list_does_not_push_out_the_other_attributes(telemetry, make_either, monkeypatch):
    """The SDK keeps 128 attributes and drops the oldest. The best documents are kept."""
    monkeypatch.setenv(CAPTURE, "span_only")
    make_either().rerank(model="m", query="q", documents=[f"text {number}" for number in range(500)])
    attributes = telemetry.span().attributes
    assert attributes["gen_ai.operation.name"] == "rerank"
    assert attributes["gen_ai.response.id"]
    assert "reranker.output_documents.0.document.score" in attributes
    assert "reranker.input_documents.0.document.content" in attributes
    assert len(attributes) <= 128


def test_a_fallback_without_scores_is_recorded(telemetry, server, make_either, monkeypatch):
    """``keep-order`` has no scores, which are left out."""
    monkeypatch.setenv(CAPTURE, "span_only")
    server.default = error(503, "down")
    make_either(fallback="keep-order", max_retries=0).rerank(**CALL)
    attributes = telemetry.span().attributes
    assert "gen_ai.rerank.scores" not in attributes
    assert attributes["reranker.output_documents.0.document.content"] == "a secret text"


# On and off --------------------------------------------------------------------------------------


def test_telemetry_false_turns_it_off(telemetry, server, make_either):
    """Neither spans nor metrics nor headers, for a client and for a copy of one."""
    make_either(telemetry=False).rerank(**CALL)
    with ClientV2("k", base_url=server.url).with_options(telemetry=False) as client:
        client.rerank(**CALL)
    assert telemetry.exporter.get_finished_spans() == ()
    assert telemetry.points("gen_ai.client.operation.duration") == []
    assert headers_of(server) == [None, None]


@pytest.mark.parametrize("key", ["of the API", "plain"])
def test_suppressed_instrumentation_is_respected(telemetry, server, make_either, key):
    """An exporter that uses this client to rerank would otherwise trace itself."""
    name = context._SUPPRESS_INSTRUMENTATION_KEY if key == "of the API" else "suppress_instrumentation"
    token = context.attach(context.set_value(name, True))
    make_either().rerank(**CALL)
    context.detach(token)
    assert telemetry.exporter.get_finished_spans() == ()
    assert headers_of(server) == [None]


def test_without_a_provider_nothing_is_sent(server, make_either):
    """The API is imported, as many packages do, but no provider is set."""
    with providers(None, None):
        make_either().rerank(**CALL)
    assert headers_of(server) == [None]


def test_a_program_that_does_not_use_opentelemetry_does_not_import_it(server):
    """Not even after a call."""
    script = (
        "import sys; from cohere_rerank import ClientV2\n"
        "ClientV2('k', base_url=sys.argv[1]).rerank(model='m', query='q', documents=['a'])\n"
        "print(any(name.startswith(('opentelemetry', 'cohere_rerank._tracing.spans')) for name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["False"], run.stderr


class BrokenProcessor(SpanProcessor):
    """Fails when a span starts, or when it ends."""

    def __init__(self, when):
        self.when = when

    def on_start(self, span, parent_context=None):
        if self.when == "start":
            raise ConnectionError("the collector is down: a secret")

    def on_end(self, span):
        if self.when == "end":
            raise ConnectionError("the collector is down: a secret")


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_broken_provider_never_fails_a_call(server, make_either, caplog, when):
    """The log names the type of the failure. The next call works, and no span stays current."""
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor(when))
    with providers(provider, None):
        client = make_either()
        assert len(client.rerank(**CALL).results) == 2
        assert len(client.rerank(**CALL).results) == 2
        server.script(error(400, "no"))
        with pytest.raises(errors.BadRequestError):
            client.rerank(**CALL)
    assert "OpenTelemetry failed with ConnectionError" in caplog.text
    assert "secret" not in caplog.text
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_broken_metrics_never_fail_a_call(make_either, caplog):
    """A meter provider of another vendor may raise anything."""

    class Meters:
        def get_meter(self, *_):
            raise RuntimeError

    with providers(None, Meters()):
        assert len(make_either().rerank(**CALL).results) == 2
    assert "OpenTelemetry failed with RuntimeError" in caplog.text


def test_threads_have_spans_of_their_own(telemetry, server, make_client):
    """Eight threads share a client. Each request names the span of its own call."""
    client = make_client()

    def work(number):
        with telemetry.current(f"thread {number}"):
            client.rerank(**CALL)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = telemetry.spans()
    assert {span_id_of(each) for each in headers_of(server)} == {span.get_span_context().span_id for span in spans}
    parents = {telemetry.span(f"thread {number}").get_span_context().span_id for number in range(8)}
    assert {span.parent.span_id for span in spans} == parents


# Metrics -----------------------------------------------------------------------------------------


def test_the_duration_is_measured(telemetry, make_either, server):
    """In seconds, with the buckets of the conventions, and with the type of the error of a failed call."""
    client = make_either()
    client.rerank(**CALL)
    server.script(error(400, "no"))
    with pytest.raises(errors.BadRequestError):
        client.rerank(**CALL)
    points = telemetry.points("gen_ai.client.operation.duration")
    assert [point.count for point in points] == [1, 1]
    assert points[0].explicit_bounds[0] == 0.01
    assert points[0].explicit_bounds[-1] == 81.92
    assert len(points[0].explicit_bounds) == 14
    assert sorted(point.attributes.get("error.type", "") for point in points) == ["", "400"]
    assert set(points[0].attributes) >= {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "server.address",
        "server.port",
    }


def test_tokens_are_counted_where_the_reply_has_them(telemetry, server, make_either):
    """A reply that counts search units only adds nothing."""
    results = [{"index": 0, "relevance_score": 0.9}, {"index": 1, "relevance_score": 0.1}]
    server.script(reply(json={"results": results, "meta": {"billed_units": {"input_tokens": 120}}}))
    client = make_either()
    for _ in range(2):
        client.rerank(**CALL)
    (point,) = telemetry.points("gen_ai.client.token.usage")
    assert (point.sum, point.count) == (120, 1)
    assert point.attributes["gen_ai.token.type"] == "input"


def test_metrics_work_without_a_tracer_provider(telemetry, server, make_either):
    """And then no header is sent."""
    with providers(None, telemetry.meters):
        make_either().rerank(**CALL)
    assert sum(point.count for point in telemetry.points("gen_ai.client.operation.duration")) == 1
    assert headers_of(server) == [None]


def test_an_async_client_in_trio_has_spans(telemetry, server):
    """The context belongs to the task."""
    trio = pytest.importorskip("trio")

    async def main():
        with telemetry.current("program"):
            async with AsyncClientV2("k", base_url=server.url) as client:
                batch = client.rerank_many(ROWS, model="m")
                outcomes = [outcome async for outcome in batch]
                assert len(outcomes) == len(ROWS)

    trio.run(main)
    assert len(telemetry.spans()) == len(ROWS)
    assert all(is_child(span, telemetry.span("program")) for span in telemetry.spans())


def test_the_example_of_the_page_prints_two_spans(tmp_path):
    """It sets the providers of its process, so it runs in one of its own."""
    page = Path(__file__).parents[2] / "docs" / "rag" / "tracing.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert re.findall(r'^    "name": "(.*)"', run.stdout, re.MULTILINE) == ["rerank m", "search"]
