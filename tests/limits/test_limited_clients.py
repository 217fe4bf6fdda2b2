"""Clients with a limit and a real server that enforces the same limit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cohere_rerank
from cohere_rerank import ClientV2, QuotaExceededError, RateLimit, RateLimitWaitError, TooManyRequestsError
from tests.fake_server import error, good_reply, reply
from tests.limits.servers import Bucket

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}
STRICT = RateLimit(requests=20, period_s=1, burst=10)


@pytest.fixture
def strict(server):
    """The server with a bucket of ten tokens and twenty a second; hints in whole seconds."""
    bucket = Bucket(20, 1, 10)

    async def send(exchange):
        hint_s = bucket.wait_s(time.monotonic())
        rejection = error(429, "please wait and try again later", headers={"retry-after": f"{hint_s:g}"})
        await (rejection if hint_s else good_reply())(exchange)

    server.default = send
    return server


def test_all_tasks_at_once_are_answered_with_few_retries(strict, make_async_client):
    """60 calls start together, three times as many as the server accepts in a second."""

    async def main():
        async with make_async_client(limit=STRICT) as client:
            # New connections take long on a busy machine, and the server counts from the arrival of a request.
            await asyncio.gather(*(client.rerank(**CALL) for _ in range(10)))
            await asyncio.sleep(1)
            strict.requests.clear()
            return await asyncio.gather(*(client.rerank(**CALL) for _ in range(60)))

    assert len(asyncio.run(main())) == 60
    assert len(strict.requests) <= 1.05 * 60


def test_all_threads_at_once_are_answered_with_few_retries(strict, make_client):
    """40 calls in 30 threads cost at most two retries."""
    client = make_client(limit=STRICT)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: client.rerank(**CALL), range(40)))
    assert len(answers) == 40
    assert len(strict.requests) <= 1.05 * 40


def test_clients_with_the_same_key_share_the_limit(make_client, clock):
    """The second client waits because of the first one's request; a client with another key does not."""
    limit = RateLimit(per_minute=1)
    make_client(limit=limit, clock=clock).rerank(**CALL)
    make_client("other-key", limit=limit, clock=clock).rerank(**CALL)
    assert clock.sleeps == []
    make_client(limit=limit, clock=clock).rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(60)


def test_a_429_without_a_hint_is_retried_when_the_period_has_ended(server, make_either, clock):
    """The period began with the first request, so the wait is its rest and not a backoff."""
    client = make_either(limit=RateLimit(per_minute=100), clock=clock)
    client.rerank(**CALL)
    clock.advance(45)
    server.script(error(429, "please wait"))
    client.rerank(**CALL)
    assert len(server.requests) == 3
    assert sum(clock.sleeps) == pytest.approx(15)


def test_a_429_with_a_hint_is_retried_after_it(server, make_either, clock):
    """The wait is exactly the hint."""
    server.script(error(429, "please wait", headers={"retry-after": "7"}))
    make_either(limit=RateLimit(per_minute=100, burst=5), clock=clock).rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(7)


def test_a_wait_longer_than_the_deadline_fails_at_once_and_nothing_is_sent(server, make_either, clock):
    """The error is RateLimitWaitError and not TooManyRequestsError."""
    client = make_either(limit="trial", clock=clock, deadline=30)
    for _ in range(10):
        client.rerank(**CALL)
    with pytest.raises(RateLimitWaitError) as caught:
        client.rerank(**CALL)
    assert not isinstance(caught.value, TooManyRequestsError)
    assert (len(server.requests), clock.sleeps) == (10, [])
    assert caught.value.wait_s == pytest.approx(60, abs=1)


def test_the_fallback_answers_when_the_limit_would_delay_a_call_too_long(server, make_either, clock):
    """As it does after a 429."""
    client = make_either(limit=RateLimit(per_minute=1), clock=clock, deadline=5, fallback="local")
    client.rerank(**CALL)
    assert len(client.rerank(**CALL).results) == 2
    assert len(server.requests) == 1


def test_a_used_up_quota_is_raised_at_once(server, make_either, clock):
    """No wait helps, so there is no retry."""
    server.default = error(429, "You have used up your monthly quota of calls")
    with pytest.raises(QuotaExceededError):
        make_either(limit="production", clock=clock).rerank(**CALL)
    assert len(server.requests) == 1
    assert clock.sleeps == []


def test_a_used_up_quota_causes_no_pause(server, make_either, clock):
    """Each call asks the server again, so that the first call of a new month succeeds."""
    client = make_either(limit=RateLimit(per_minute=100), clock=clock)
    server.script(error(429, "You have used up the 1000 calls a month of a trial key"))
    with pytest.raises(QuotaExceededError):
        client.rerank(**CALL)
    client.rerank(**CALL)
    assert clock.sleeps == []


def test_a_call_that_the_limit_did_not_let_through_has_zero_attempts(server, make_either, clock):
    """``error.attempts`` counts requests that were sent."""
    client = make_either(limit=RateLimit(per_minute=1), clock=clock)
    client.rerank(**CALL)
    with pytest.raises(RateLimitWaitError) as refused:
        client.rerank(**CALL, deadline=5)
    assert refused.value.attempts == 0


def test_auto_adopts_the_limit_of_a_trial_key(server, make_either, clock):
    """The eleventh call waits for a minute, without a single 429."""
    body = {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.4}]}
    for left in range(9, -1, -1):
        headers = {"x-trial-endpoint-call-limit": "10", "x-trial-endpoint-call-remaining": str(left)}
        server.script(reply(json=body, headers=headers))
    client = make_either(limit="auto", clock=clock)
    for _ in range(11):
        client.rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(60, abs=1)


def test_a_failed_request_frees_its_slot(server, make_either, clock):
    """Any kind of failure does."""
    client = make_either(limit=RateLimit(per_minute=100, concurrency=1), clock=clock, max_retries=0)
    server.script(reply(400), reply(503), error(429, "no", headers={"retry-after": "1"}))
    for _ in range(3):
        with pytest.raises(cohere_rerank.CohereRerankError):
            client.rerank(**CALL)
    client.rerank(**CALL)
    assert len(server.requests) == 4


def test_the_local_engine_is_not_limited():
    """A ``local:`` address ignores ``limit=``."""
    with ClientV2(base_url="local:", limit=RateLimit(per_minute=1), deadline=5) as client:
        assert len([client.rerank(**CALL) for _ in range(3)]) == 3


def test_a_client_without_a_limit_does_not_import_limits(server):
    """A feature that is not used costs nothing."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(cohere_rerank.__file__).parent.parent)!r})
from cohere_rerank import ClientV2
ClientV2("k", base_url={server.url!r}).rerank(**{CALL!r})
print([name for name in sys.modules if name.startswith("cohere_rerank.limits")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
