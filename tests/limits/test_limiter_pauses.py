"""A 429 pauses all requests under a limit, for as long as its hint says."""

from __future__ import annotations

import pytest

from cohere_rerank._clock import Deadline
from tests.limits.workload import Workload, new_limiter, reject


@pytest.mark.parametrize("burst", [None, 5])
def test_a_429_pauses_all_requests_for_as_long_as_its_hint_says(clock, burst):
    """A later hint that ends sooner changes nothing."""
    limiter = new_limiter(per_minute=100, burst=burst)
    limiter.acquire(clock, Deadline(clock, 100), 0)
    reject(limiter, clock, 7.0)
    reject(limiter, clock, 3.0)
    started_s = clock.monotonic()
    limiter.acquire(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(7.0)


def test_a_pause_is_logged_with_its_length_only(clock, caplog):
    """The log line contains nothing of the request."""
    caplog.set_level("INFO", "cohere_rerank")
    reject(new_limiter(per_minute=100), clock, 7.0)
    assert caplog.messages == ["status 429: pausing all requests under this limit for 7 s"]


@pytest.mark.parametrize(("passed_s", "wait_s"), [(20.0, 40.0), (59.5, 1.0), (70.0, 1.0)])
def test_without_a_hint_the_pause_lasts_until_the_period_ends(clock, passed_s, wait_s):
    """The period began with its first request; the pause is at least one second."""
    limiter = new_limiter(per_minute=100)
    limiter.acquire(clock, Deadline(clock, 100), 0)
    clock.advance(passed_s)
    reject(limiter, clock)
    started_s = clock.monotonic()
    limiter.acquire(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(wait_s)


def test_requests_that_already_wait_observe_a_pause():
    """A 429 that comes while tasks sleep delays them too."""
    workload = Workload(new_limiter(per_minute=60, burst=1))
    for name in range(6):
        workload.add(name)

    async def rejection():
        await workload.clock.async_sleep(2.5)
        reject(workload.limiter, workload.clock, 30.0)

    workload.tasks.append(rejection)
    times_s = [at_s for _, at_s in workload.run()]
    assert [at_s for at_s in times_s if 2.5 < at_s < 32.5] == []
    assert times_s[3:] == pytest.approx([32.5, 33.51, 34.52], abs=0.05)


def test_other_statuses_cause_no_pause(clock):
    """Only a 429 does, even if a 503 has a hint."""
    limiter = new_limiter(per_minute=100)
    limiter.acquire(clock, Deadline(clock, 100), 0)
    for status in (200, 400, 500, 503):
        limiter.on_response(clock, status, {}, 5.0 if status == 503 else None)
    limiter.acquire(clock, Deadline(clock, 100), 0)
    assert clock.sleeps == []


@pytest.mark.parametrize("burst", [None, 5])
def test_a_hint_that_is_far_too_long_pauses_for_three_periods(clock, burst):
    """A hint of 10^12 seconds is a mistake of the server. It never stops a limit for good."""
    limiter = new_limiter(per_minute=100, burst=burst)
    reject(limiter, clock, 1e12)
    started_s = clock.monotonic()
    limiter.acquire(clock, Deadline(clock, 1000), 0)
    assert clock.monotonic() - started_s == pytest.approx(180)


def test_after_a_pause_that_was_cut_one_request_probes_the_server():
    """The others follow once it has succeeded. If it is rejected, all pause again."""
    workload = Workload(new_limiter(per_minute=100), reply_s=2.0)
    limiter, clock = workload.limiter, workload.clock
    reject(limiter, clock, 3600.0)
    for name in range(5):
        workload.add(name)

    async def server():
        await clock.async_sleep(181.0)
        reject(limiter, clock, 3600.0)
        await clock.async_sleep(180.5)
        limiter.on_response(clock, 200, {}, None)

    workload.tasks.append(server)
    sent = [round(at_s) for _, at_s in workload.run()]
    assert sent == [180, 361, 362, 362, 362]


def test_late_responses_of_before_the_pause_do_not_end_the_probing(clock):
    """They say nothing about the server after the pause."""
    limiter = new_limiter(per_minute=100)
    reject(limiter, clock, 3600.0)
    limiter.on_response(clock, 200, {}, None)
    assert limiter._must_probe
    clock.advance(181.0)
    limiter.on_response(clock, 200, {}, None)
    assert not limiter._must_probe
