"""The local engine behind ``local:`` addresses and as an httpx transport."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from typing import Any

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from cohere_rerank.local.endpoint import handle
from cohere_rerank.local.registry import scorer_resolver
from cohere_rerank.local.transport import LocalTransport
from tests.adapters import resolve

CALL: dict[str, Any] = {"model": "any", "query": "green tea", "documents": ["black coffee", "green tea", "tea"]}
URL = "http://local.invalid/v2/rerank"
SCORER_FOR = scorer_resolver("local:")


def ranking(response):
    return [item.index for item in response.results]


@pytest.fixture
def local(make_either):
    """Return a function that makes an adapter of a client with a ``local:`` address."""
    return lambda api_key=None, **options: make_either(api_key, **{"base_url": "local:", **options})


# Clients -----------------------------------------------------------------------------------------


def test_no_key_is_needed(local, monkeypatch):
    """The address is enough, as an argument or in the environment."""
    assert ranking(local().rerank(**CALL))[0] == 1
    monkeypatch.setenv("CO_API_URL", "local:")
    assert ranking(local(base_url=None).rerank(**CALL))[0] == 1


def test_a_key_is_accepted(local):
    """A program that passes a key still works. A function that returns the key is not called."""
    assert local("key").rerank(**CALL).results
    assert local(lambda: "key").rerank(**CALL).results


@pytest.mark.parametrize("model", ["rerank-v4.0-pro", "rerank-v3.5", "local-lexical", "anything"])
def test_any_model_is_accepted(local, model):
    """The engine accepts every model name, and a warning says that it answered."""
    response = local().rerank(**{**CALL, "model": model})
    assert "local-lexical" in response.meta.warnings[0]


def test_the_same_call_gets_the_same_response(local):
    """Every client gets the same response, id included."""
    first, second = local().rerank(**CALL), local("key", client_name="x").rerank(**CALL)
    assert first == second
    assert first.id == second.id is not None


def test_sync_and_async_agree():
    """Both responses are equal."""
    blocking = ClientV2(base_url="local:").rerank(**CALL)

    async def main():
        return await AsyncClientV2(base_url="local:").rerank(**CALL)

    assert asyncio.run(main()).model_dump_json() == blocking.model_dump_json()


def test_errors_are_those_of_the_api(local):
    """A request that the endpoint rejects raises the same class, with an id and a message."""
    with pytest.raises(errors.UnprocessableEntityError, match="top_k") as caught:
        local().rerank(**CALL, request_options={"additional_body_parameters": {"top_k": 1}})
    assert caught.value.request_id
    assert caught.value.attempts == 1


def test_a_function_may_score(local):
    """``scorer=`` accepts a function, for example in tests with known scores."""
    response = local(scorer=lambda query, documents: [0.1, 0.2, 0.3]).rerank(**CALL)
    assert response.scores == [0.1, 0.2, 0.3]


def test_a_scorer_that_fails_is_a_typed_error(local, clock):
    """It is not retried, it is also a ValueError, and its cause is the exception of the scorer."""
    n_calls = []

    def broken(query, documents):
        n_calls.append(1)
        raise LookupError("no model file")

    with pytest.raises(errors.ScorerError, match="no model file") as caught:
        local(scorer=broken, clock=clock).rerank(**CALL)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, LookupError)
    assert (len(n_calls), clock.sleeps) == (1, [])


def test_an_unknown_scorer_is_an_error(local):
    """The message lists the known scorers."""
    with pytest.raises(errors.InvalidRequestError, match="local:lexical"):
        local(base_url="local:bm52").rerank(**CALL)


def test_a_copy_may_have_another_engine(local):
    """with_options changes the scorer or the address, and does not change the original."""
    adapter = local()
    zero = adapter.client.with_options(scorer=lambda query, documents: [0.0] * len(documents))
    assert resolve(adapter, zero.rerank(**CALL)).scores == [0, 0, 0]
    assert adapter.rerank(**CALL).scores != [0, 0, 0]


def test_a_client_of_the_api_may_have_a_local_copy(server, make_either):
    """The copy sends no requests."""
    adapter = make_either()
    offline = adapter.client.with_options(base_url="local:")
    assert resolve(adapter, offline.rerank(**CALL)).results
    assert server.n_connections == 0
    adapter.rerank(**CALL)
    assert len(server.requests) == 1


def test_a_local_client_can_be_pickled(local):
    """A pickled client works in another place."""
    adapter = local()
    assert resolve(adapter, pickle.loads(pickle.dumps(adapter.client)).rerank(**CALL)) == adapter.rerank(**CALL)


def test_closing_works(local):
    """A closed local client raises an error, as any closed client does."""
    adapter = local()
    adapter.rerank(**CALL)
    resolve(adapter, adapter.client.close())
    with pytest.raises(errors.ClientClosedError):
        adapter.rerank(**CALL)


def test_the_event_loop_is_not_blocked():
    """A scorer that waits for the event loop does not block it."""

    async def main():
        ticked = threading.Event()

        def waits(query, documents):
            assert ticked.wait(10)
            return [0.5] * len(documents)

        client = AsyncClientV2(base_url="local:", scorer=waits)
        call = asyncio.ensure_future(client.rerank(**CALL))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(ticked.set)
        return await call

    assert asyncio.run(main()).scores == [0.5] * 3


def test_a_cancelled_call_does_not_wait_for_its_scorer():
    """The task ends at once, while its thread is still running."""
    entered, release = threading.Event(), threading.Event()

    def slow(query, documents):
        entered.set()
        release.wait(10)
        return [0.5] * len(documents)

    async def main():
        call = asyncio.ensure_future(AsyncClientV2(base_url="local:", scorer=slow).rerank(**CALL))
        await asyncio.to_thread(entered.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        release.set()

    asyncio.run(main())


def test_the_deadline_stops_a_call_with_a_slow_scorer():
    """A slow scorer raises the same error as a slow server."""
    release = threading.Event()

    def slow(query, documents):
        release.wait(10)
        return [0.5] * len(documents)

    async def main():
        with pytest.raises(errors.DeadlineExceededError):
            await AsyncClientV2(base_url="local:", scorer=slow, deadline=0.05).rerank(**CALL)
        release.set()

    asyncio.run(main())


def test_many_threads_and_tasks_share_an_engine():
    """Many threads and tasks at once get correct responses."""
    client, expected = ClientV2(base_url="local:"), {}
    texts = [f"tea {i}" for i in range(20)]
    for text in texts:
        expected[text] = client.rerank(model="m", query=text, documents=texts).scores
    async_client = AsyncClientV2(base_url="local:")

    async def main():
        calls = [async_client.rerank(model="m", query=text, documents=texts) for text in texts]
        return [response.scores for response in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == list(expected.values())


# The transport by itself -------------------------------------------------------------------------


def test_the_transport_returns_the_response_of_the_endpoint():
    """Status, headers and body of the transport are those of the endpoint, sync and async."""
    bodies = [json.dumps(CALL).encode(), b"{", json.dumps({**CALL, "x": 1}).encode()]

    async def main():
        async with httpx.AsyncClient(transport=LocalTransport(SCORER_FOR)) as client:
            return [await client.post(URL, content=body) for body in bodies]

    with httpx.Client(transport=LocalTransport(SCORER_FOR)) as client:
        blocking = [client.post(URL, content=body) for body in bodies]
    for body, *replies in zip(bodies, blocking, asyncio.run(main()), strict=True):
        status, headers, content = handle(body, SCORER_FOR)
        for reply in replies:
            assert (reply.status_code, dict(reply.headers), reply.content) == (status, headers, content)


def test_it_serves_a_client_of_the_api():
    """``ClientV2(httpx_client=httpx.Client(transport=LocalTransport(...)))``, with the API's limits."""
    with ClientV2("k", httpx_client=httpx.Client(transport=LocalTransport(SCORER_FOR))) as client:
        assert client.rerank(**CALL) == ClientV2(base_url="local:").rerank(**CALL)
    reply = httpx.Client(transport=LocalTransport(SCORER_FOR)).post(URL, json={**CALL, "documents": ["x"] * 10_001})
    assert reply.status_code == 400


def test_a_scorer_with_a_missing_file_says_so(local, monkeypatch):
    """An error while a scorer is made is raised unchanged."""
    from cohere_rerank.local import registry

    def missing(_options):
        raise FileNotFoundError("no model.onnx")

    monkeypatch.setitem(registry.FACTORIES, "missing", missing)
    with pytest.raises(FileNotFoundError, match=r"model\.onnx"):
        local(base_url="local:missing").rerank(**CALL)
