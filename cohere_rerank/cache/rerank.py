"""Answer calls with a cache, in threads and in tasks. No call wakes another: a waiting call polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cached_call import CachedCall

if TYPE_CHECKING:
    from cohere_rerank._transport.http import Reply
    from cohere_rerank._wire.call import Call
    from cohere_rerank.async_client import AsyncClientV2
    from cohere_rerank.client import ClientV2
    from cohere_rerank.types import V2RerankResponse


def rerank_cached(client: ClientV2, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """Answer the call, and send only the documents that have no known score."""
    cached, reply = CachedCall.of(client, call), None
    if cached is None:
        return client._answer_fresh(call)
    store, clock = cached.store, client._clock()
    while cached.is_open:
        with cached.single_flight() as keys:
            missing = cached.add_cached(store.get(keys, clock.time()))
            if missing:
                response, reply = client._answer_fresh(cached.call_for_missing(missing))
                if response.is_fallback:
                    return cached.fallback_response(response), None
                store.put(cached.add_scored(missing, response), clock.time())
        while sleep_s := cached.sleep_s():
            clock.sleep(sleep_s)
    return cached.response(), reply


async def rerank_cached_async(client: AsyncClientV2, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """Do the same as `rerank_cached` in a task."""
    cached, reply = CachedCall.of(client, call), None
    if cached is None:
        return await client._answer_fresh(call)
    store, clock = cached.store, client._clock()
    while cached.is_open:
        with cached.single_flight() as keys:
            missing = cached.add_cached(await _maybe_in_thread(store.blocks, store.get, keys, clock.time()))
            if missing:
                response, reply = await client._answer_fresh(cached.call_for_missing(missing))
                if response.is_fallback:
                    return await _maybe_in_thread(True, cached.fallback_response, response), None
                scored = cached.add_scored(missing, response)
                await _maybe_in_thread(store.blocks, store.put, scored, clock.time())
        while sleep_s := cached.sleep_s():
            await clock.async_sleep(sleep_s)
    return cached.response(), reply


async def _maybe_in_thread(blocks: bool, function: Any, *arguments: Any) -> Any:
    """Call the function, in a worker thread if it would block the event loop."""
    if not blocks:
        return function(*arguments)
    from anyio import to_thread

    return await to_thread.run_sync(function, *arguments)
