"""No turn is waited for longer than a call may take."""

from __future__ import annotations

import httpx
import pytest

from cohere_rerank import RateLimitWaitError
from cohere_rerank._clock import Deadline
from tests.limits.crowd import Crowd, new_gate


def test_a_turn_after_the_deadline_is_refused_at_once(clock):
    """The error says how long it would take and what was left, and is one that timeouts are caught by."""
    gate = new_gate(per_minute=1)
    gate.enter(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError) as caught:
        gate.enter(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() == started_s
    assert caught.value.wait_s == pytest.approx(60.6)
    assert caught.value.left_s == pytest.approx(10)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, httpx.TimeoutException)
    assert "60.6 s" in str(caught.value)
    assert "10 s" in str(caught.value)


def test_those_ahead_count_when_a_deadline_is_checked():
    """The first of three waits a second, the third would wait three."""
    crowd = Crowd(new_gate(per_minute=60, burst=1), deadline_s=2.5)
    refused = []

    def guarded(task):
        async def one():
            try:
                await task()
            except RateLimitWaitError as error:
                refused.append((crowd.clock.now_s, error.wait_s))

        return one

    for name in range(4):
        crowd.add(name)
    crowd.tasks = [guarded(task) for task in crowd.tasks]
    crowd.run()
    assert [name for name, _ in crowd.went] == [0, 1, 2]
    assert refused == [(1_000.0, pytest.approx(3.03))]


def test_a_slot_that_never_comes_free_is_waited_for_until_the_deadline(clock):
    gate = new_gate(per_minute=100, concurrency=1)
    gate.enter(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError):
        gate.enter(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() - started_s == pytest.approx(10)
    gate.leave()
    gate.enter(clock, Deadline(clock, 10), 0)
