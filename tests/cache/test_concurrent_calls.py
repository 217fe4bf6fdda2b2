"""Concurrent calls in threads, tasks and event loops share their requests."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from itertools import chain
from typing import Any

import anyio
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import ABC, CALL, TIMEOUT_S, pairs, sent
from tests.fake_server import error, hang, score


def test_identical_concurrent_calls_share_one_request(server, make_client):
    """Eight threads send one request."""
    client = make_client(cache=ScoreCache())
    answers: list[Any] = []
    with server.hold_replies():
        threads = [
            threading.Thread(target=lambda: answers.append(client.rerank(**CALL, documents=ABC)), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(answers) == 8
    assert all(pairs(one) == pairs(answers[0]) for one in answers)
    assert sent(server) == [ABC]
    assert (client.usage.cache_misses, client.usage.cache_hits) == (3, 21)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_overlapping_concurrent_calls_send_each_document_once(server, make_async_client, backend):
    """Eight tasks with overlapping lists do not deadlock."""
    answers: dict[int, Any] = {}

    async def ask(client, number):
        documents = [f"document {(number + i) % 8}" for i in range(4)]
        answers[number] = documents, await client.rerank(**CALL, documents=documents)

    async def main():
        async with make_async_client(cache=ScoreCache()) as client, anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(ask, client, number)

    anyio.run(main, backend=backend)
    assert len(answers) == 8
    for documents, response in answers.values():
        assert response.scores == [score("q", document) for document in documents]
    assert sorted(chain.from_iterable(sent(server))) == [f"document {i}" for i in range(8)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_does_not_cancel_others(server, make_async_client, backend):
    """A call that waited for it sends the documents itself."""
    server.script(hang())
    answers = []

    async def ask(client):
        answers.append(await client.rerank(**CALL, documents=ABC))

    async def main():
        async with make_async_client(cache=ScoreCache()) as client, anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as leaders:
                    leaders.start_soon(ask, client)
                    await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 1)
                    group.start_soon(ask, client)
                    await anyio.sleep(0.01)
                    scope.cancel()

    anyio.run(main, backend=backend)
    assert len(answers) == 1
    assert sent(server) == [ABC, ABC]


def test_a_failed_call_does_not_fail_others(server, make_client):
    """A call that waited for it sends its own request."""
    client = make_client(cache=ScoreCache(), max_retries=0)
    outcomes: list[Any] = []

    def ask():
        try:
            outcomes.append(client.rerank(**CALL, documents=ABC))
        except errors.CohereRerankError as failure:
            outcomes.append(failure)

    server.script(error(503, "down"))
    with server.hold_replies():
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ServiceUnavailableError", "V2RerankResponse"]
    assert len(server.requests) == 2


def test_a_waiting_call_keeps_its_own_deadline(server, make_either):
    """The deadline of the call that it waits for does not matter."""
    cache = ScoreCache()
    server.script(hang())
    first = ClientV2("test-key", base_url=server.url, cache=cache, max_retries=0, deadline=5)

    def lead():
        with suppress(errors.ConnectionFailedError):
            first.rerank(**CALL, documents=ABC)

    leader = threading.Thread(target=lead)
    leader.start()
    server.wait_until(lambda s: s.n_in_flight == 1)
    with pytest.raises(errors.DeadlineExceededError):
        make_either(cache=cache).rerank(**CALL, documents=ABC, deadline=0.05)
    assert len(server.requests) == 1
    server.drop_connections()
    leader.join(TIMEOUT_S)
    first.close()


def test_event_loops_share_a_cache(server):
    """Three event loops in three threads send one request."""
    cache = ScoreCache()
    answers = []

    async def ask():
        async with AsyncClientV2("test-key", base_url=server.url, cache=cache) as client:
            answers.append(pairs(await client.rerank(**CALL, documents=ABC)))

    with server.hold_replies():
        threads = [threading.Thread(target=lambda: asyncio.run(ask()), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(answers) == 3
    assert len(server.requests) == 1
