"""What a call did: on its response, in the log, and as events while it runs."""

from __future__ import annotations

import asyncio
import logging
import pickle
from functools import partial

import pytest

from cohere_rerank import CircuitBreaker, ClientV2, RateLimit, ScoreCache, events
from cohere_rerank.errors import CircuitOpenError, InvalidRequestError, ServiceUnavailableError
from tests.client.calls import CALL
from tests.fake_server import error, reply


@pytest.fixture
def seen():
    """The events of a client with ``on_event=seen.append``."""
    return []


def test_a_response_says_how_it_came_about(server, make_either, clock):
    """Requests, waits, time, host and request id, which no dump shows."""
    server.script(error(503, "down"), error(503, "down"))
    response = make_either(clock=clock).rerank(**CALL)
    assert response.attempts == 3
    assert response.waited_s == pytest.approx(response.elapsed_s)
    assert 1 < response.waited_s < 3
    assert response.answered_by == server.url.removeprefix("http://")
    assert response.request_id is not None
    assert not {"attempts", "elapsed_s", "waited_s", "answered_by", "request_id"} & response.model_dump().keys()
    copied = pickle.loads(pickle.dumps(response))
    assert (copied.attempts, copied.waited_s, copied.request_id) == (3, response.waited_s, response.request_id)


def test_the_request_id_is_the_one_of_the_headers(server, make_either):
    """Without such a header, it is the id in the body."""
    body = {"id": "in-body", "results": [{"index": 0, "relevance_score": 0.5}]}
    server.script(reply(json=body, headers={"x-request-id": "in-header"}), reply(json=body))
    client = make_either()
    call = {**CALL, "documents": ["a"]}
    assert [client.rerank(**call).request_id for _ in range(2)] == ["in-header", "in-body"]


def test_parts_of_a_split_list_count_as_attempts(make_either):
    """One response for three requests."""
    assert make_either().rerank(**CALL, max_documents_per_request=1).attempts == 3


def test_waits_for_the_own_limit_count(make_either, clock):
    """A call that waited for its turn says how long."""
    client = make_either(clock=clock, limit=RateLimit(requests=1, period_s=10, name="waits"))
    waits = [client.rerank(**CALL).waited_s for _ in range(2)]
    assert waits[0] == 0
    assert 10 <= waits[1] < 11


@pytest.mark.parametrize(
    ("options", "engine"), [({"base_url": "local:"}, "local-lexical"), ({"cache": ScoreCache()}, "cache")]
)
def test_the_engine_is_named(make_either, options, engine):
    """The local scorer, and the cache where nothing was sent."""
    client = make_either(**options)
    client.rerank(**CALL)
    response = client.rerank(**CALL)
    assert response.answered_by == engine
    assert response.attempts == (0 if engine == "cache" else 1)


def test_no_documents_are_no_attempts(make_either):
    """Nothing was sent."""
    response = make_either().rerank(**{**CALL, "documents": []})
    assert (response.attempts, response.elapsed_s, response.answered_by) == (0, 0.0, None)


def test_success_is_logged_for_debugging(make_either, caplog):
    """One line without documents, query or key."""
    caplog.set_level(logging.DEBUG, "cohere_rerank")
    make_either("a-secret-key").rerank(**CALL)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "cohere_rerank"]
    assert line.startswith("rerank: 3 documents, answered by 127.0.0.1:")
    assert not any(secret in line for secret in ("a-secret-key", *CALL["documents"], CALL["query"]))


def test_events_tell_of_requests_responses_and_retries(server, make_either, clock, seen):
    """In order, with the failure that is retried."""
    server.script(error(503, "down"))
    make_either(clock=clock, on_event=seen.append, tag="shop").rerank(**CALL)
    kinds = [events.RequestEvent, events.ResponseEvent, events.RetryEvent, events.RequestEvent, events.ResponseEvent]
    assert [type(event) for event in seen] == kinds
    assert {event.tag for event in seen} == {"shop"}
    assert [event.attempt for event in seen if isinstance(event, events.RequestEvent)] == [1, 2]
    assert [event.status_code for event in seen if isinstance(event, events.ResponseEvent)] == [503, 200]
    assert seen[0].address == server.url
    assert seen[0].n_documents == 3
    assert isinstance(seen[2].error, ServiceUnavailableError)
    assert seen[2].waited_s > 0


def test_events_tell_of_the_fallback(server, make_either, seen):
    """With the failure of the API."""
    server.default = error(503, "down")
    make_either(on_event=seen.append, fallback="local", max_retries=0).rerank(**CALL)
    assert isinstance(seen[-1], events.FallbackEvent)
    assert isinstance(seen[-1].error, ServiceUnavailableError)


def test_an_error_in_the_function_breaks_no_call(server, make_either, clock, caplog):
    """It is logged, for each kind of event."""

    def broken(event):
        raise RuntimeError("broken")

    options = {"on_event": broken, "clock": clock, "circuit_breaker": CircuitBreaker(max_failures=2)}
    server.script(error(503, "down"))
    assert len(make_either(**options).rerank(**CALL).results) == 3
    server.default = error(503, "down")
    assert make_either(**options, fallback="local").rerank(**CALL).is_fallback
    kinds = [events.RequestEvent, events.ResponseEvent, events.RetryEvent, events.FallbackEvent, events.BreakerEvent]
    assert all(f"on_event failed for a {kind.__name__}" in caplog.text for kind in kinds)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interruption_in_the_function_ends_the_call(server, make_either, kind):
    """The client works afterwards, and its connection, limit and circuit are free."""
    interrupting = [events.RequestEvent, events.ResponseEvent]

    def interrupt(event):
        if interrupting and type(event) is interrupting[0]:
            interrupting.pop(0)
            raise kind

    limit = RateLimit(per_minute=1000, concurrency=1, name=f"interrupted {kind} {server.port}")
    client = make_either(on_event=interrupt, limit=limit, circuit_breaker=CircuitBreaker())
    for _ in range(2):
        with pytest.raises(kind):
            client.rerank(**CALL)
    assert len(client.rerank(**CALL).results) == 3


def test_events_show_no_texts(make_either, seen):
    """No key, query or document in their repr."""
    make_either("a-secret-key", on_event=seen.append).rerank(**CALL)
    assert not any(secret in repr(seen) for secret in ("a-secret-key", *CALL["documents"], CALL["query"]))


async def asynchronous(event):
    """Not allowed."""


class AsynchronousObject:
    """Not allowed either."""

    async def __call__(self, event): ...


@pytest.mark.parametrize("function", [3, asynchronous, AsynchronousObject(), partial(asynchronous)])
def test_what_is_not_a_plain_function_is_refused(function):
    """When the client is created."""
    with pytest.raises(InvalidRequestError, match="on_event must be a function of one event"):
        ClientV2("k", on_event=function)


def test_a_query_of_the_address_is_not_shown(server, make_either, seen, caplog):
    """Gateways expect keys there, so events, log lines, errors and responses have the address without it."""
    caplog.set_level(logging.DEBUG)
    breaker = CircuitBreaker(max_failures=1)
    client = make_either(
        rerank_url=f"{server.url}/v2/rerank?code=5ecret", circuit_breaker=breaker, max_retries=0, on_event=seen.append
    )
    shown = [client.rerank(**CALL).answered_by]
    server.script(error(503, "down"))
    for _ in range(2):
        with pytest.raises((ServiceUnavailableError, CircuitOpenError)) as caught:
            client.rerank(**CALL)
        shown.append(str(caught.value))
    assert "5ecret" in server.requests[0].path
    assert {type(event) for event in seen} >= {events.RequestEvent, events.BreakerEvent}
    assert "5ecret" not in f"{shown} {seen} {caplog.text} {client.client!r}"
