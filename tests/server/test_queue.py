"""Callers wait for a scorer in a queue that may be full, and may leave it."""

from __future__ import annotations

import json
import socket
import threading

from tests.server.request_helpers import error_message, request_head
from tests.server.running_server import RERANK_BODY, BlockingScorer, RunningServer, wait_until


def in_thread(running, path="/v2/rerank", **changes):
    """Post in a thread; its answer is in the list when there is one."""
    got = []
    thread = threading.Thread(target=lambda: got.append(running.post(path, {**RERANK_BODY, **changes})), daemon=True)
    thread.start()
    return got


def test_a_full_queue_is_answered_at_once_and_empties():
    """503 with Retry-After for what finds no place; all that found one are served; then the next."""
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


def test_scoring_keeps_the_loop_free_and_within_its_threads():
    """While two requests are scored the third waits, and the server still answers."""
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


def test_a_caller_who_leaves_the_queue_is_never_scored():
    """The place is free at once; what already runs ends by itself."""
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


def test_a_caller_who_leaves_while_being_scored_frees_the_place_but_not_the_thread():
    """A thread cannot be stopped: no other starts in its stead."""
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
