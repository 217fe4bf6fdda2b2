"""X-Request-Timeout: how long a caller waits for its response."""

from __future__ import annotations

import pytest

from tests.fake_server import Server, stall
from tests.server.request_helpers import error_message
from tests.server.running_server import RERANK_BODY, BlockingScorer, RunningServer, wait_until

SOON = {"x-request-timeout": "0.1"}


@pytest.mark.parametrize("value", ["soon", "", "0", "-1", "nan", "inf", "1,5"])
def test_a_value_that_is_not_a_number_of_seconds_is_rejected(open_server, value):
    """The message names the header, the value and what is allowed."""
    message = error_message(open_server.post(**{"x-request-timeout": value}), 400)
    assert "X-Request-Timeout must be a number of seconds above 0" in message
    assert repr(value) in message


def test_a_request_that_is_ready_in_time_is_answered(open_server):
    """The header changes nothing else."""
    assert open_server.post(**{"x-request-timeout": "20"}).status_code == 200


def test_a_late_ranking_is_a_504_and_a_waiting_one_never_starts():
    """The caller gets an error in the usual form, and no thread works for a caller that no longer waits."""
    scorer = BlockingScorer()
    with RunningServer(scorer=scorer, concurrency=1) as running:
        late = error_message(running.post(body={**RERANK_BODY, "query": "runs"}, **SOON), 504)
        assert "within the 0.1 seconds of X-Request-Timeout" in late
        error_message(running.post(body={**RERANK_BODY, "query": "waits"}, **SOON), 504)
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 0)
        scorer.go.set()
        assert running.post(body={**RERANK_BODY, "query": "later"}).status_code == 200
    assert scorer.queries == ["runs", "later"]


def test_the_lexical_scorer_stops_at_the_deadline():
    """The scorer checks the time, so its thread is soon free for other callers."""
    long = {**RERANK_BODY, "query": "green tea and black coffee " * 20, "documents": ["green tea " * 2000] * 300}
    with RunningServer(concurrency=1) as running:
        error_message(running.post(body=long, **SOON), 504)
        wait_until(lambda: running.metric("cohere_rerank_running") == 0)
        assert running.post().status_code == 200


def test_the_servers_own_limit_is_a_cap():
    """A caller cannot get more time than --request-timeout gives."""
    long = {**RERANK_BODY, "query": "green tea and black coffee " * 20, "documents": ["green tea " * 2000] * 300}
    with RunningServer(request_timeout_s=0.05) as running:
        error_message(running.post(body=long, **{"x-request-timeout": "600"}), 503)


def test_a_slow_upstream_is_not_awaited_any_longer(server: Server):
    """The upstream's time counts too, and the place in the queue is free again."""
    server.script(stall())
    with RunningServer(upstream=server.url) as running:
        error_message(running.post(**SOON), 504)
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 0)


def test_errors_at_tei_paths_have_their_form(open_server):
    """Clients of Text Embeddings Inference read error_type."""
    scorer = BlockingScorer()
    with RunningServer(scorer=scorer) as running:
        reply = running.post("/rerank", {"query": "q", "texts": ["a"]}, **SOON)
        scorer.go.set()
    assert (reply.status_code, reply.json()["error_type"]) == (504, "Overloaded")
