"""When a request may be sent: a server that enforces the stated limit never rejects one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cohere_rerank import RateLimit
from cohere_rerank.limits.algorithms import Gcra, SlidingWindow, algorithm_for
from tests.limits.servers import Bucket, FixedWindow, SlidingWindowServer, drive

LIMITS = {"requests": st.integers(1, 40), "period_s": st.floats(0.5, 100)}


def most_in_a_period(times_s, period_s):
    """Return the largest number of these times within any stretch shorter than the period."""
    times_s, most = sorted(times_s), 0
    for start, time_s in enumerate(times_s):
        most = max(most, sum(1 for other in times_s[start:] if other < time_s + period_s - 1e-5))
    return most


def granted_at(algorithm, now_s, *, min_wait_s=0.0, most_asks=500):
    """Return when a request is granted to a caller that waits as it is told, and at least *min_wait_s* each time."""
    for _ in range(most_asks):
        wait_s = algorithm.acquire(now_s)
        if wait_s == 0.0:
            return now_s
        now_s += max(wait_s, min_wait_s)
    raise AssertionError("never granted")


# Windows ------------------------------------------------------------------------------------------


@given(**LIMITS, seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_no_stretch_as_long_as_the_period_sees_more_arrivals_than_the_limit(requests, period_s, seed):
    """However long requests take to arrive, up to max_transit_s, and in any order of replies."""
    limit, draw = RateLimit(requests=requests, period_s=period_s), random.Random(seed)

    def delays():
        return draw.uniform(0, limit.max_transit_s), draw.expovariate(5 / period_s)

    sent = drive(algorithm_for(limit), SlidingWindowServer(requests, period_s), until_s=3 * period_s, delays=delays)
    assert most_in_a_period([one.arrived_s for one in sent], period_s) <= requests
    assert {one.status for one in sent} == {200}


@given(**LIMITS, gaps=st.lists(st.floats(0, 30), min_size=1, max_size=80))
@settings(deadline=None)
def test_a_window_holds_for_requests_at_any_time(requests, period_s, gaps):
    """Idle times save nothing up: no stretch as long as the period has more requests than the limit."""
    window, now_s, times_s = SlidingWindow(requests, period_s, 0.25), 1_700_000_000.0, []
    for gap_s in gaps:
        now_s += gap_s
        if window.acquire(now_s) == 0.0:
            times_s.append(now_s)
            window.on_complete(now_s)
    assert most_in_a_period(times_s, period_s) <= requests


@pytest.mark.parametrize("server", [FixedWindow, SlidingWindowServer])
def test_a_window_uses_nearly_the_whole_limit(server):
    """A request whose reply takes 0.5 s counts for a period and half a second."""
    sent = drive(algorithm_for(RateLimit(per_minute=100)), server(100, 60), until_s=600, delays=lambda: (0.1, 0.4))
    assert {one.status for one in sent} == {200}
    assert len(sent) == 1000


def test_a_window_grants_the_whole_limit_at_once():
    """The first calls of a service do not wait."""
    window = algorithm_for(RateLimit(per_minute=10))
    assert [window.acquire(5.0) for _ in range(10)] == [0.0] * 10
    assert window.acquire(5.0) == pytest.approx(60 + 0.6)


def test_a_request_counts_from_its_reply():
    """Without a reply it counts from max_transit_s after it was sent."""
    window = SlidingWindow(1, 60, 2.0)
    window.acquire(0.0)
    assert window.wait_s(0.5) == pytest.approx(61.5)
    window.on_complete(0.5)
    assert window.wait_s(0.5) == pytest.approx(60.0)
    window.acquire(100.0)
    window.on_complete(150.0)
    assert window.wait_s(150.0) == pytest.approx(12.0)


@given(**LIMITS, steps=st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=30), position=st.integers(0, 100))
@settings(deadline=None)
@pytest.mark.parametrize("burst", [None, 1, 2, 5])
@example(requests=36, period_s=4.0625, steps=[(False, 0.0)], position=4)
def test_a_forecast_for_a_later_position_is_a_lower_bound(requests, period_s, steps, position, burst):
    """The last of n requests, each sent as soon as possible, is sent no sooner than forecast."""
    algorithm, now_s = algorithm_for(RateLimit(requests=requests, period_s=period_s, burst=burst)), 0.0
    for ends, gap_s in steps:
        now_s += gap_s
        if algorithm.acquire(now_s) == 0.0 and ends:
            algorithm.on_complete(now_s)
    promised_s, started_s = algorithm.wait_s(now_s, position), now_s
    for _ in range(position + 1):
        # The limiter sleeps a millisecond at least too: while a reply is late, the forecast does not get shorter.
        now_s = granted_at(algorithm, now_s, min_wait_s=0.001, most_asks=2000)
        algorithm.on_complete(now_s)
    assert now_s - started_s >= promised_s - 1e-3


def test_times_as_large_as_seconds_since_the_epoch_cause_no_endless_wait():
    """A clock that cannot tell two moments apart does not keep a caller waiting."""
    for algorithm in (SlidingWindow(1, 0.1, 0.05), Gcra(0.1, 0.0, 0.0, 0.05)):
        now_s = 1.7e9
        for _ in range(50):
            now_s = granted_at(algorithm, now_s)


# Paced --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("reply_s", [0.0, 0.02, 0.3, 2.0, 10.0])
def test_a_bucket_of_the_stated_size_never_rejects_a_paced_request(burst, reply_s):
    """97 % of the rate is used, however long replies take."""
    limit = RateLimit(per_minute=600, burst=burst)
    sent = drive(algorithm_for(limit), Bucket(600, 60, burst), until_s=120, delays=lambda: (0.0, reply_s))
    assert {one.status for one in sent} == {200}
    assert len(sent) >= 0.97 * 600 * (120 - reply_s) / 60


def test_after_a_late_arrival_the_next_requests_do_not_come_too_soon():
    """The first requests wait for connections; the algorithm knows that the bucket is empty once they arrive."""
    slow = iter([0.5] * 9)
    sent = drive(
        algorithm_for(RateLimit(per_minute=600, burst=10)),
        Bucket(600, 60, 10),
        until_s=30,
        delays=lambda: (next(slow, 0.001), 0.02),
    )
    assert {one.status for one in sent} == {200}
    assert len(sent) >= 290


@given(requests=st.integers(1, 50), burst=st.integers(1, 20), gaps=st.lists(st.floats(0, 5), max_size=100))
@settings(deadline=None)
def test_a_paced_limit_exceeds_neither_its_burst_nor_its_rate(requests, burst, gaps):
    """In any stretch of t seconds at most burst + rate x t requests are granted."""
    limit, now_s, times_s = RateLimit(requests=requests, period_s=10, burst=burst), 0.0, []
    algorithm = algorithm_for(limit)
    for gap_s in gaps:
        now_s += gap_s
        while algorithm.acquire(now_s) == 0.0:
            times_s.append(now_s)
            algorithm.on_complete(now_s)
    for first, start_s in enumerate(times_s):
        for last in range(first, len(times_s)):
            assert last - first + 1 <= burst + (times_s[last] - start_s) * requests / 10 + 1e-6


# Both ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [RateLimit(per_minute=60), RateLimit(per_minute=60, burst=10)], ids=["any", "paced"])
def test_nothing_is_granted_during_a_pause(limit):
    """A shorter pause within a longer one changes nothing."""
    algorithm = algorithm_for(limit)
    algorithm.pause(30.0)
    algorithm.pause(10.0)
    assert algorithm.acquire(0.0) == pytest.approx(30.0)
    assert algorithm.acquire(29.0) == pytest.approx(1.0)
    assert algorithm.acquire(30.0) == 0.0


def test_after_a_pause_paced_requests_continue_in_even_steps():
    """A server that asked for a pause has no tokens saved up."""
    algorithm = algorithm_for(RateLimit(per_minute=60, burst=10))
    algorithm.pause(30.0)
    assert algorithm.acquire(30.0) == 0.0
    algorithm.on_complete(30.0)
    assert algorithm.acquire(30.0) == pytest.approx(1.01)


def test_a_forecast_counts_nothing():
    """Only `acquire` does."""
    for limit in (RateLimit(per_minute=1), RateLimit(per_minute=1, burst=1)):
        algorithm = algorithm_for(limit)
        assert algorithm.wait_s(0.0, 3) > 0
        assert algorithm.wait_s(0.0) == 0.0
        assert algorithm.acquire(0.0) == 0.0
        assert math.isfinite(algorithm.wait_s(0.0, 10**6))
