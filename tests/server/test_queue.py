"""Requests wait for a thread in a bounded queue, and can be cancelled there."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

from cohere_rerank.server import backends
from cohere_rerank.server.executor import BoundedExecutor
from tests.server.request_helpers import error_message, request_head
from tests.server.running_server import RERANK_BODY, BlockingScorer, RunningServer, wait_until


def in_thread(running, path="/v2/rerank", **changes):
    """Send a request in a thread. Its response appears in the returned list."""
    got = []
    thread = threading.Thread(target=lambda: got.append(running.post(path, {**RERANK_BODY, **changes})), daemon=True)
    thread.start()
    return got


def test_a_full_queue_rejects_at_once_and_empties():
    """A request beyond the queue gets 503 with Retry-After. The admitted ones are ranked, and then the next."""
    held = BlockingScorer()
    with RunningServer(scorer=held, concurrency=1, queue=2) as running:
        accepted = [in_thread(running) for _ in range(3)]
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 3)
        refused = running.post()
        assert "queue is full" in error_message(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert error_message(running.http.get("/ready"), 503)
        assert running.http.get("/health").status_code == 200
        assert len(held.queries) == 1
        held.go.set()
        wait_until(lambda: all(accepted))
        assert [got[0].status_code for got in accepted] == [200] * 3
        assert running.post().status_code == 200
        assert running.http.get("/ready").status_code == 200


def test_scoring_does_not_block_the_event_loop():
    """While two requests are scored, a third waits and /health responds."""
    held = BlockingScorer()
    with RunningServer(scorer=held, concurrency=2) as running:
        accepted = [in_thread(running) for _ in range(3)]
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 3)
        wait_until(lambda: running.metric("cohere_rerank_running") == 2)
        assert running.http.get("/health").status_code == 200
        assert len(held.queries) == 2
        held.go.set()
        wait_until(lambda: all(accepted))
        wait_until(lambda: running.metric("cohere_rerank_running") == 0)


def test_a_request_that_leaves_the_queue_is_never_scored():
    """A disconnect in the queue frees the place at once, and the request is never scored."""
    held = BlockingScorer()
    with RunningServer(scorer=held, concurrency=1, queue=1) as running:
        body = json.dumps({**RERANK_BODY, "query": "left"}).encode()
        first = in_thread(running, query="first")
        wait_until(lambda: held.queries == ["first"])
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(request_head(len(body)) + body)
            wait_until(lambda: running.metric("cohere_rerank_admitted") == 2)
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 1)
        last = in_thread(running, query="last")
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 2)
        held.go.set()
        wait_until(lambda: first and last)
        assert held.queries == ["first", "last"]


def test_a_disconnect_during_scoring_frees_the_place_but_not_the_thread():
    """A thread cannot be stopped, and no other thread starts instead."""
    held = BlockingScorer()
    with RunningServer(scorer=held, concurrency=1, queue=0) as running:
        body = json.dumps({**RERANK_BODY, "query": "left"}).encode()
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(request_head(len(body)) + body)
            wait_until(lambda: held.queries == ["left"])
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 0)
        assert running.metric("cohere_rerank_running") == 1
        following = in_thread(running, query="following")
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 1)
        assert held.queries == ["left"]
        held.go.set()
        wait_until(lambda: following)
        assert held.queries == ["left", "following"]


@pytest.mark.parametrize("changes", [{}, {"model": "local-lexical"}, {"documents": ["black tea"] * 1000}])
def test_a_small_request_needs_no_thread(changes, monkeypatch):
    """A thread would take longer than the ranking. The response is the same in both cases."""
    jobs = []
    run = BoundedExecutor.run

    async def recording(self, function, *arguments):
        jobs.append(function.__name__)
        return await run(self, function, *arguments)

    monkeypatch.setattr(BoundedExecutor, "run", recording)
    body = {**RERANK_BODY, **changes}
    with RunningServer() as running:
        jobs.clear()  # the scorer was loaded
        replies = [running.post(body=body, **{"x-request-id": "one"})]
        assert jobs == ([] if not changes else ["rank_locally"])
        monkeypatch.setattr(backends, "_MAX_BYTES_NOW", 0)
        replies.append(running.post(body=body, **{"x-request-id": "one"}))
        assert jobs[-1] == "rank_locally"
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].content == replies[1].content


def test_small_requests_leave_the_event_loop_its_turns():
    """When they have used up the time of a turn, further ones wait for a thread until the loop's next turn."""

    async def turn():
        budget = backends._TurnBudget()
        with budget.used():
            budget._used_s += 1.0
        states = [budget.is_used_up]
        await asyncio.sleep(0)
        return [*states, budget.is_used_up]

    assert asyncio.run(turn()) == [True, False]
