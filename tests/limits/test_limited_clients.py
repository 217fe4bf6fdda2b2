"""Clients with a limit, against a real server that is strict about its own."""

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
    """The server with a bucket of ten tokens, twenty a second; hints in whole seconds."""
    bucket = Bucket(20, 1, 10)

    async def send(exchange):
        hint_s = bucket.wait_s(time.monotonic())
        refusal = error(429, "please wait and try again later", headers={"retry-after": f"{hint_s:g}"})
        await (refusal if hint_s else good_reply())(exchange)

    server.default = send
    return server


def test_all_tasks_at_once_are_answered_and_hardly_anything_is_sent_twice(strict, make_async_client):
    """60 calls started together, three times what the server takes in a second."""

    async def main():
        async with make_async_client(limit=STRICT) as client:
            return await asyncio.gather(*(client.rerank(**CALL) for _ in range(60)))

    assert len(asyncio.run(main())) == 60
    assert len(strict.requests) <= 1.05 * 60


def test_all_threads_at_once_are_answered_and_hardly_anything_is_sent_twice(strict, make_client):
    client = make_client(limit=STRICT)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: client.rerank(**CALL), range(40)))
    assert len(answers) == 40
    assert len(strict.requests) <= 1.05 * 40


def test_clients_with_the_same_key_share_the_limit_and_others_do_not(make_client, clock):
    """The second client waits for what the first has sent; another key does not."""
    limit = RateLimit(per_minute=1)
    make_client(limit=limit, clock=clock).rerank(**CALL)
    make_client("other-key", limit=limit, clock=clock).rerank(**CALL)
    assert clock.sleeps == []
    make_client(limit=limit, clock=clock).rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(60)


def test_a_429_without_a_hint_is_repeated_when_the_period_has_ended(server, make_either, clock):
    """The limit knows better than a spread-out retry: it began with the first request."""
    client = make_either(limit=RateLimit(per_minute=100), clock=clock)
    client.rerank(**CALL)
    clock.advance(45)
    server.script(error(429, "please wait"))
    client.rerank(**CALL)
    assert len(server.requests) == 3
    assert sum(clock.sleeps) == pytest.approx(15)


def test_a_429_with_a_hint_is_repeated_after_it(server, make_either, clock):
    server.script(error(429, "please wait", headers={"retry-after": "7"}))
    make_either(limit=RateLimit(per_minute=100, burst=5), clock=clock).rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(7)


def test_a_turn_after_the_deadline_fails_at_once_and_nothing_is_sent(server, make_either, clock):
    """With our own error, not the API's."""
    client = make_either(limit="trial", clock=clock, deadline=30)
    for _ in range(10):
        client.rerank(**CALL)
    with pytest.raises(RateLimitWaitError) as caught:
        client.rerank(**CALL)
    assert not isinstance(caught.value, TooManyRequestsError)
    assert (len(server.requests), clock.sleeps) == (10, [])
    assert caught.value.wait_s == pytest.approx(60, abs=1)


def test_the_fallback_answers_what_the_limit_would_keep_too_long(server, make_either, clock):
    """As it answers a 429."""
    client = make_either(limit=RateLimit(per_minute=1), clock=clock, deadline=5, fallback="local")
    client.rerank(**CALL)
    assert len(client.rerank(**CALL).results) == 2
    assert len(server.requests) == 1


def test_a_used_up_quota_is_raised_at_once(server, make_either, clock):
    """No wait clears it; it is not repeated."""
    server.default = error(429, "You have used up your monthly quota of calls")
    with pytest.raises(QuotaExceededError):
        make_either(limit="production", clock=clock).rerank(**CALL)
    assert len(server.requests) == 1
    assert clock.sleeps == []


def test_a_used_up_quota_makes_nobody_wait(server, make_either, clock):
    """No pause mends it: each call asks for itself, and hears at once when the month is new."""
    client = make_either(limit=RateLimit(per_minute=100), clock=clock)
    server.script(error(429, "You have used up the 1000 calls a month of a trial key"))
    with pytest.raises(QuotaExceededError):
        client.rerank(**CALL)
    client.rerank(**CALL)
    assert clock.sleeps == []


def test_a_call_that_never_had_its_turn_has_made_no_attempt(server, make_either, clock):
    client = make_either(limit=RateLimit(per_minute=1), clock=clock)
    client.rerank(**CALL)
    with pytest.raises(RateLimitWaitError) as refused:
        client.rerank(**CALL, deadline=5)
    assert refused.value.attempts == 0


def test_auto_learns_a_trial_keys_limit_from_its_replies(server, make_either, clock):
    """Eleven calls: the eleventh waits for a minute, and no 429 was needed to know that."""
    body = {"results": [{"index": 0, "relevance_score": 0.5}]}
    for left in range(9, -1, -1):
        headers = {"x-trial-endpoint-call-limit": "10", "x-trial-endpoint-call-remaining": str(left)}
        server.script(reply(json=body, headers=headers))
    client = make_either(limit="auto", clock=clock)
    for _ in range(11):
        client.rerank(**CALL)
    assert sum(clock.sleeps) == pytest.approx(60, abs=1)


def test_a_failed_request_frees_its_slot(server, make_either, clock):
    """Whatever the failure."""
    client = make_either(limit=RateLimit(per_minute=100, concurrency=1), clock=clock, max_retries=0)
    server.script(reply(400), reply(503), error(429, "no", headers={"retry-after": "1"}))
    for _ in range(3):
        with pytest.raises(cohere_rerank.CohereRerankError):
            client.rerank(**CALL)
    client.rerank(**CALL)
    assert len(server.requests) == 4


def test_what_this_process_answers_itself_is_not_limited():
    """`local:` has no limit to keep."""
    with ClientV2(base_url="local:", limit=RateLimit(per_minute=1), deadline=5) as client:
        assert len([client.rerank(**CALL) for _ in range(3)]) == 3


def test_a_client_without_a_limit_loads_none_of_this(server):
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
