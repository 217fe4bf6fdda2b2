"""A request never waits for a limit longer than its deadline allows."""

from __future__ import annotations

import httpx
import pytest

from cohere_rerank import RateLimitWaitError
from cohere_rerank._clock import Deadline
from tests.limits.workload import Workload, new_limiter


def test_a_wait_longer_than_the_deadline_fails_at_once(clock):
    """The error has the wait and the time left, and is a TimeoutError and an httpx.TimeoutException."""
    limiter = new_limiter(per_minute=1)
    limiter.acquire(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError) as caught:
        limiter.acquire(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() == started_s
    assert caught.value.wait_s == pytest.approx(60.6)
    assert caught.value.left_s == pytest.approx(10)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, httpx.TimeoutException)
    assert "60.6 s" in str(caught.value)
    assert "10 s" in str(caught.value)


def test_requests_ahead_in_the_queue_count_when_a_deadline_is_checked():
    """With a deadline of 2.5 s, the fourth request fails because it would wait three seconds."""
    workload = Workload(new_limiter(per_minute=60, burst=1), deadline_s=2.5)
    refused = []

    def guarded(task):
        async def one():
            try:
                await task()
            except RateLimitWaitError as error:
                refused.append((workload.clock.now_s, error.wait_s))

        return one

    for name in range(4):
        workload.add(name)
    workload.tasks = [guarded(task) for task in workload.tasks]
    workload.run()
    assert [name for name, _ in workload.sent] == [0, 1, 2]
    assert refused == [(1_000.0, pytest.approx(3.03))]


def test_a_request_waits_for_a_free_slot_until_the_deadline(clock):
    """When a slot becomes free cannot be foreseen, so the error comes at the deadline."""
    limiter = new_limiter(per_minute=100, concurrency=1)
    limiter.acquire(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError):
        limiter.acquire(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() - started_s == pytest.approx(10)
    limiter.release()
    limiter.acquire(clock, Deadline(clock, 10), 0)
