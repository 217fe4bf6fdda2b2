"""Scores that were paid for once, kept by document: in memory, or on disk for all processes of a machine.

`keys` names what is kept (pure), `stores` keep it, `lookup` decides what to ask (pure but for the stores' answers);
here are the two shells that ask. Nobody wakes anybody: who waits for another's answer looks again after a nap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lookup import Lookup
from .score_cache import ScoreCache

if TYPE_CHECKING:
    from cohere_rerank._transport.http import Reply
    from cohere_rerank._wire.call import Call
    from cohere_rerank.client import AsyncClientV2, ClientV2
    from cohere_rerank.types import V2RerankResponse

__all__ = ["ScoreCache", "answer", "answer_async"]


def answer(client: ClientV2, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """What the client answers to the call; only documents without a known score are sent."""
    lookup, reply = Lookup.of(client, call), None
    if lookup is None:
        return client._answer_fresh(call)
    store, clock = lookup.store, client._clock()
    while lookup.is_open:
        with lookup.leading() as keys:
            missing = lookup.found(store.get(keys, clock.time()))
            if missing:
                response, reply = client._answer_fresh(lookup.part(missing))
                if response.is_fallback:
                    return lookup.by_fallback(response), None
                store.put(lookup.learned(missing, response), clock.time())
        while nap_s := lookup.nap_s():
            clock.sleep(nap_s)
    return lookup.response(), reply


async def answer_async(client: AsyncClientV2, call: Call) -> tuple[V2RerankResponse, Reply | None]:
    """As `answer`, in a task."""
    lookup, reply = Lookup.of(client, call), None
    if lookup is None:
        return await client._answer_fresh(call)
    store, clock = lookup.store, client._clock()
    while lookup.is_open:
        with lookup.leading() as keys:
            missing = lookup.found(await _aside(store.waits, store.get, keys, clock.time()))
            if missing:
                response, reply = await client._answer_fresh(lookup.part(missing))
                if response.is_fallback:
                    return await _aside(True, lookup.by_fallback, response), None
                await _aside(store.waits, store.put, lookup.learned(missing, response), clock.time())
        while nap_s := lookup.nap_s():
            await clock.async_sleep(nap_s)
    return lookup.response(), reply


async def _aside(waits: bool, function: Any, *arguments: Any) -> Any:
    """Call it, in a worker thread if it may keep the event loop waiting."""
    if not waits:
        return function(*arguments)
    from anyio import to_thread

    return await to_thread.run_sync(function, *arguments)
