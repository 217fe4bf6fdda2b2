"""Answer calls with a cache, in threads and in tasks. No call wakes another: a waiting call polls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cohere_rerank._result_base import replace
from cohere_rerank.errors import CohereRerankError

from .cached_call import CachedCall

if TYPE_CHECKING:
    from cohere_rerank._calls import AsyncCalls, Calls
    from cohere_rerank._transport.reply import Reply
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse


def rerank_cached(calls: Calls, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """Answer the call, and send only the documents that have no known score."""
    cached, reply = CachedCall.of(calls, call), None
    if cached is None:
        return calls.rerank_uncached(call)
    store, clock = cached.store, calls.clock
    while cached.is_open:
        with cached.single_flight() as keys:
            missing = cached.add_cached(store.get(keys, clock.time()))
            if missing:
                response, reply = calls.rerank_uncached(cached.call_for_missing(missing))
                if response.is_fallback:
                    whole = calls.fall_back(call, CohereRerankError("see above"), cached.deadline)
                    return replace(whole, meta=response.meta), None  # its scores cannot be mixed with cached ones
                store.put(cached.add_scored(missing, response), clock.time())
        while sleep_s := cached.sleep_s():
            clock.sleep(sleep_s)
    return cached.response(), reply


async def rerank_cached_async(calls: AsyncCalls, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """Do the same as `rerank_cached` in a task."""
    cached, reply = CachedCall.of(calls, call), None
    if cached is None:
        return await calls.rerank_uncached(call)
    store, clock = cached.store, calls.clock
    while cached.is_open:
        with cached.single_flight() as keys:
            missing = cached.add_cached(await _maybe_in_thread(store.blocks, store.get, keys, clock.time()))
            if missing:
                response, reply = await calls.rerank_uncached(cached.call_for_missing(missing))
                if response.is_fallback:
                    whole = await calls.fall_back(call, CohereRerankError("see above"), cached.deadline)
                    return replace(whole, meta=response.meta), None
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
