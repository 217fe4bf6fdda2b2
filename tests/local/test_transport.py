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
    """``local(**options)``: a adapter on a client of a ``local:`` address."""
    return lambda api_key=None, **options: make_either(api_key, **{"base_url": "local:", **options})


# Clients -----------------------------------------------------------------------------------------


def test_no_key_is_needed(local, monkeypatch):
    """By argument or by environment, the address is all."""
    assert ranking(local().rerank(**CALL))[0] == 1
    monkeypatch.setenv("CO_API_URL", "local:")
    assert ranking(local(base_url=None).rerank(**CALL))[0] == 1


def test_a_key_does_no_harm(local):
    """Programs that pass one run on; a function is not even asked for more than it gives."""
    assert local("key").rerank(**CALL).results
    assert local(lambda: "key").rerank(**CALL).results


@pytest.mark.parametrize("model", ["rerank-v4.0-pro", "rerank-v3.5", "local-lexical", "anything"])
def test_any_model_is_accepted(local, model):
    """The engine stands in for all of them, and says so in ``meta.warnings``."""
    response = local().rerank(**{**CALL, "model": model})
    assert "local-lexical" in response.meta.warnings[0]


def test_the_same_call_gets_the_same_answer(local):
    """From any client, id included."""
    first, second = local().rerank(**CALL), local("key", client_name="x").rerank(**CALL)
    assert first == second
    assert first.id == second.id is not None


def test_sync_and_async_agree():
    """To the byte."""
    blocking = ClientV2(base_url="local:").rerank(**CALL)

    async def main():
        return await AsyncClientV2(base_url="local:").rerank(**CALL)

    assert asyncio.run(main()).model_dump_json() == blocking.model_dump_json()


def test_errors_are_the_apis(local):
    """What reaches the endpoint and is refused there comes as the same class, with an id and a message."""
    with pytest.raises(errors.UnprocessableEntityError, match="top_k") as caught:
        local().rerank(**CALL, request_options={"additional_body_parameters": {"top_k": 1}})
    assert caught.value.request_id
    assert caught.value.attempts == 1


def test_a_function_may_score(local):
    """``scorer=``: for tests with scores that can be told."""
    response = local(scorer=lambda query, documents: [0.1, 0.2, 0.3]).rerank(**CALL)
    assert response.scores == [0.1, 0.2, 0.3]


def test_a_scorer_that_fails_is_a_typed_error(local, clock):
    """Not repeated; also a ValueError; the cause is what it raised."""
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
    """It names those that are known."""
    with pytest.raises(errors.InvalidRequestError, match="local:lexical"):
        local(base_url="local:bm52").rerank(**CALL)


def test_a_copy_may_have_another_engine(local):
    """with_options changes scorer or address; the original keeps its own."""
    adapter = local()
    zero = adapter.client.with_options(scorer=lambda query, documents: [0.0] * len(documents))
    assert resolve(adapter, zero.rerank(**CALL)).scores == [0, 0, 0]
    assert adapter.rerank(**CALL).scores != [0, 0, 0]


def test_a_client_of_the_api_may_go_local(server, make_either):
    """And the copy leaves the network alone."""
    adapter = make_either()
    offline = adapter.client.with_options(base_url="local:")
    assert resolve(adapter, offline.rerank(**CALL)).results
    assert server.n_connections == 0
    adapter.rerank(**CALL)
    assert len(server.requests) == 1


def test_a_local_client_travels(local):
    """Without a key there is nothing to leave behind."""
    adapter = local()
    assert resolve(adapter, pickle.loads(pickle.dumps(adapter.client)).rerank(**CALL)) == adapter.rerank(**CALL)


def test_closing_works_as_ever(local):
    """A closed client is closed, though there is no connection."""
    adapter = local()
    adapter.rerank(**CALL)
    resolve(adapter, adapter.client.close())
    with pytest.raises(errors.ClientClosedError):
        adapter.rerank(**CALL)


def test_the_event_loop_is_not_blocked():
    """A scorer that waits for the loop to go on would otherwise never end."""

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
    """The task ends at once, though its thread goes on."""
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


def test_the_deadline_ends_a_slow_scorer():
    """As it would end a slow server."""
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
    """It keeps nothing between calls."""
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


def test_it_answers_what_the_endpoint_answers():
    """Raw bytes through httpx, sync and async: status, headers, body."""
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


def test_a_scorer_whose_file_is_missing_says_so(local, monkeypatch):
    """Making a scorer may fail too; its own error comes through."""
    from cohere_rerank.local import registry

    def missing(_options):
        raise FileNotFoundError("no model.onnx")

    monkeypatch.setitem(registry.FACTORIES, "missing", missing)
    with pytest.raises(FileNotFoundError, match=r"model\.onnx"):
        local(base_url="local:missing").rerank(**CALL)
