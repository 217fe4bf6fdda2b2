"""Clients are closed, copied and changed; copies share their connections and their end."""

from __future__ import annotations

import asyncio
import copy

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.adapters import client_with_handler, resolve
from tests.client.calls import BEST_FIRST, CALL, SECRET, ranking


def test_a_context_manager_closes(server):
    """At the end of the block the connection is gone, and a later call is an error that says so."""
    with ClientV2("k", base_url=server.url) as client:
        client.rerank(**CALL)
        assert server.n_open == 1
    server.wait_until(lambda s: s.n_open == 0)
    with pytest.raises(errors.ClientClosedError, match="closed") as caught:
        client.rerank(**CALL)
    assert isinstance(caught.value, RuntimeError)


def test_an_async_context_manager_closes(server):
    """The same with ``async with``."""

    async def main():
        async with AsyncClientV2("k", base_url=server.url) as client:
            await client.rerank(**CALL)
            assert server.n_open == 1
        with pytest.raises(errors.ClientClosedError):
            await client.rerank(**CALL)

    asyncio.run(main())
    server.wait_until(lambda s: s.n_open == 0)


def test_closing_twice_or_unused_is_fine(make_either):
    """close() before any call, and again."""
    adapter = make_either()
    resolve(adapter, adapter.client.close())
    resolve(adapter, adapter.client.close())
    with pytest.raises(errors.ClientClosedError):
        adapter.rerank(**CALL)


def test_a_copy_shares_the_connections(server, make_either):
    """with_options changes the copy alone; one connection serves both."""
    adapter = make_either()
    twin = adapter.client.with_options(client_name="twin", api_key="other", timeout=None).with_options(max_retries=0)
    adapter.rerank(**CALL)
    resolve(adapter, twin.rerank(**CALL))
    adapter.rerank(**CALL)
    assert [request.header("x-client-name") for request in server.requests] == [None, "twin", None]
    assert [request.header("authorization") for request in server.requests][:2] == ["Bearer test-key", "Bearer other"]
    assert server.n_connections == 1
    assert type(twin) is type(adapter.client)


@pytest.mark.parametrize("is_used", [True, False])
def test_closing_closes_copies_too(server, make_either, is_used):
    """They share the connections, so they share their end; from either side."""
    adapter = make_either()
    twin = adapter.client.with_options(max_retries=0)
    if is_used:
        adapter.rerank(**CALL)
    resolve(adapter, twin.close())
    with pytest.raises(errors.ClientClosedError):
        adapter.rerank(**CALL)


@pytest.mark.parametrize("name", ["httpx_client", "retries", "environment"])
def test_with_options_names_what_it_does_not_take(make_either, name):
    """A typing mistake is an error."""
    with pytest.raises(errors.InvalidRequestError, match=name):
        make_either().client.with_options(**{name: 1})


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_client_can_be_copied(server, make_either, duplicate):
    """Frameworks deep-copy what they hold: the copy works like the original, key included."""
    adapter = make_either(SECRET)
    twin = duplicate(adapter.client)
    assert ranking(resolve(adapter, twin.rerank(**CALL))) == BEST_FIRST
    assert server.requests[0].header("authorization") == f"Bearer {SECRET}"


def test_a_client_with_its_own_httpx_client_can_be_copied(make_either):
    """What cannot be pickled can still be shared."""
    adapter = client_with_handler(make_either, lambda request: httpx.Response(200, json={"results": []}), strict=False)
    assert resolve(adapter, copy.deepcopy(adapter.client).rerank(**CALL)).results == []


def test_a_copy_for_another_local_scorer_is_answered_by_it():
    """Copies share a pool, not the engine of another address."""
    client = ClientV2(base_url="local:lexical")
    client.rerank(model="m", query="q", documents=["d"])
    with pytest.raises(errors.InvalidRequestError, match="nosuch"):
        client.with_options(base_url="local:nosuch").rerank(model="m", query="q", documents=["d"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timout", "with_options has no option 'timout'; did you mean timeout?"),
        ("zzz", "with_options has no option 'zzz'; the options are api_key, "),
        ("max_connections", "with_options cannot change max_connections; create a new client"),
        ("httpx_client", "with_options cannot change httpx_client; create a new client"),
    ],
)
def test_an_option_that_cannot_be_changed_is_named(name, words):
    """A misspelled name gets the name that it is close to."""
    client = ClientV2(base_url="local:")
    with pytest.raises(errors.InvalidRequestError) as caught:
        client.with_options(**{name: 3})
    assert words in str(caught.value)
