"""A client travels in pickles without its key, and serves loops of asyncio and trio."""

from __future__ import annotations

import asyncio
import pickle

import httpx
import pytest

from cohere_rerank import AsyncClientV2, errors
from tests.adapters import client_with_handler, resolve
from tests.client.calls import BEST_FIRST, CALL, SECRET, ranking
from tests.fake_server import error


def made_key() -> str:
    return "made at home"


def test_a_pickled_client_leaves_its_key_behind(server, make_either, monkeypatch):
    """A key has no place on a disk; the process that loads the client uses its own. Settings travel."""
    adapter = make_either(SECRET, client_name="shop", max_retries=0)
    adapter.rerank(**CALL)
    data = pickle.dumps(adapter.client)
    assert SECRET.encode() not in data
    monkeypatch.setenv("CO_API_KEY", "of this process")
    loaded = pickle.loads(data)
    assert ranking(resolve(adapter, loaded.rerank(**CALL))) == BEST_FIRST
    resolve(adapter, loaded.close())
    assert server.requests[1].header("authorization") == "Bearer of this process"
    assert server.requests[1].header("x-client-name") == "shop"
    assert adapter.rerank(**CALL) is not None  # closing the one closes nothing of the other


def test_a_pickled_client_without_a_key_at_its_new_home_says_so(make_either):
    """Not when it is loaded but when it is used, as a client that lacks one."""
    adapter = make_either(SECRET)
    loaded = pickle.loads(pickle.dumps(adapter.client))
    with pytest.raises(errors.MissingApiKeyError, match="CO_API_KEY"):
        resolve(adapter, loaded.rerank(**CALL))


@pytest.mark.parametrize(("key", "sent"), [(made_key, "Bearer made at home"), ("", None)])
def test_a_key_function_and_an_empty_key_travel(server, make_either, monkeypatch, key, sent):
    """They are no secrets."""
    monkeypatch.setenv("CO_API_KEY", "other")
    adapter = make_either(key)
    loaded = pickle.loads(pickle.dumps(adapter.client))
    resolve(adapter, loaded.rerank(**CALL))
    resolve(adapter, loaded.close())
    assert server.requests[0].header("authorization") == sent


def test_what_cannot_travel_is_named(make_either):
    """A client that brings its own httpx client says why it cannot be pickled."""
    adapter = client_with_handler(make_either, lambda request: httpx.Response(200))
    with pytest.raises(TypeError, match="httpx_client"):
        pickle.dumps(adapter.client)


def test_several_event_loops_in_a_row_share_a_client(server, make_async_client):
    """``asyncio.run`` may be called again and again; old loops leave nothing open."""
    client = make_async_client()
    for _ in range(3):
        assert ranking(asyncio.run(client.rerank(**CALL))) == BEST_FIRST
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


def test_trio_runs_the_async_client(server, clock, make_async_client):
    """Repeats, splits and the local engine included."""
    trio = pytest.importorskip("trio")

    class TrioClock(type(clock)):  # type: ignore[misc]
        async def async_sleep(self, seconds):
            self.sleep(seconds)
            await trio.lowlevel.checkpoint()

    async def main():
        async with make_async_client(clock=TrioClock()) as client:
            server.script(error(503, "later"))
            whole = await client.rerank(**CALL)
            split = await client.rerank(**CALL, max_documents_per_request=1)
        async with AsyncClientV2(base_url="local:") as local:
            assert (await local.rerank(**CALL)).results
        return whole, split

    whole, split = trio.run(main)
    assert ranking(whole) == ranking(split) == BEST_FIRST
