"""When a send may go: no server that counts as the limit says ever has a reason to refuse one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cohere_rerank import RateLimit
from cohere_rerank.limits.algorithms import Gcra, Window, decision_for
from tests.limits.servers import Bucket, FixedWindow, SlidingWindow, drive

LIMITS = {"requests": st.integers(1, 40), "period_s": st.floats(0.5, 100)}


def most_in_a_period(times_s, period_s):
    """The most of these moments that lie in one stretch shorter than the period."""
    times_s, most = sorted(times_s), 0
    for start, time_s in enumerate(times_s):
        most = max(most, sum(1 for other in times_s[start:] if other < time_s + period_s - 1e-5))
    return most


def granted_at(decision, now_s, *, nap_s=0.0, most_asks=500):
    """When a caller gets its send who asks from now on, as often as it is told to; its naps are that long at least."""
    for _ in range(most_asks):
        wait_s = decision.take(now_s)
        if wait_s == 0.0:
            return now_s
        now_s += max(wait_s, nap_s)
    raise AssertionError("asked again and again")


# Windows ------------------------------------------------------------------------------------------


@given(**LIMITS, seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_no_stretch_as_long_as_the_period_sees_more_arrivals_than_the_limit(requests, period_s, seed):
    """However long requests take to arrive, up to max_delay_s, and in whatever order replies come."""
    limit, draw = RateLimit(requests=requests, period_s=period_s), random.Random(seed)

    def delays():
        return draw.uniform(0, limit.max_delay_s), draw.expovariate(5 / period_s)

    sent = drive(decision_for(limit), SlidingWindow(requests, period_s), until_s=3 * period_s, delays=delays)
    assert most_in_a_period([one.came_s for one in sent], period_s) <= requests
    assert {one.status for one in sent} == {200}


@given(**LIMITS, gaps=st.lists(st.floats(0, 30), min_size=1, max_size=80))
@settings(deadline=None)
def test_a_window_is_kept_whenever_sends_are_wanted(requests, period_s, gaps):
    """Idle times give nothing away: never more than the limit in any stretch, whenever it is asked."""
    window, now_s, times_s = Window(requests, period_s, 0.25), 1_700_000_000.0, []
    for gap_s in gaps:
        now_s += gap_s
        if window.take(now_s) == 0.0:
            times_s.append(now_s)
            window.ended(now_s)
    assert most_in_a_period(times_s, period_s) <= requests


@pytest.mark.parametrize("server", [FixedWindow, SlidingWindow])
def test_a_window_uses_nearly_all_there_is(server):
    """A send whose reply takes 0.5 s holds its place for a period and half a second."""
    sent = drive(decision_for(RateLimit(per_minute=100)), server(100, 60), until_s=600, delays=lambda: (0.1, 0.4))
    assert {one.status for one in sent} == {200}
    assert len(sent) == 1000


def test_a_window_lets_the_whole_limit_go_at_once():
    """A service's first calls do not wait."""
    window = decision_for(RateLimit(per_minute=10))
    assert [window.take(5.0) for _ in range(10)] == [0.0] * 10
    assert window.take(5.0) == pytest.approx(60 + 0.6)


def test_a_reply_shows_that_a_send_has_arrived_so_it_counts_from_then():
    """Without one it counts from max_delay_s after it was let go."""
    window = Window(1, 60, 2.0)
    window.take(0.0)
    assert window.wait_s(0.5) == pytest.approx(61.5)
    window.ended(0.5)
    assert window.wait_s(0.5) == pytest.approx(60.0)
    window.take(100.0)
    window.ended(150.0)
    assert window.wait_s(150.0) == pytest.approx(12.0)


@given(**LIMITS, steps=st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=30), n_ahead=st.integers(0, 100))
@settings(deadline=None)
@pytest.mark.parametrize("burst", [None, 1, 2, 5])
@example(requests=36, period_s=4.0625, steps=[(False, 0.0)], n_ahead=4)
def test_a_forecast_for_those_further_back_comes_true(requests, period_s, steps, n_ahead, burst):
    """The last of n sends that go as soon as they may goes no sooner than was said."""
    decision, now_s = decision_for(RateLimit(requests=requests, period_s=period_s, burst=burst)), 0.0
    for ends, gap_s in steps:
        now_s += gap_s
        if decision.take(now_s) == 0.0 and ends:
            decision.ended(now_s)
    promised_s, started_s = decision.wait_s(now_s, n_ahead), now_s
    for _ in range(n_ahead + 1):
        # As the gate naps: while a reply is late, the next send is ever as far off as at the last look.
        now_s = granted_at(decision, now_s, nap_s=0.001, most_asks=2000)
        decision.ended(now_s)
    assert now_s - started_s >= promised_s - 1e-3


def test_times_as_large_as_seconds_since_the_epoch_lose_no_send():
    """A clock that cannot tell two moments apart does not keep a caller asking for ever."""
    for decision in (Window(1, 0.1, 0.05), Gcra(0.1, 0.0, 0.0, 0.05)):
        now_s = 1.7e9
        for _ in range(50):
            now_s = granted_at(decision, now_s)


# Paced --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("burst", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("reply_s", [0.0, 0.02, 0.3, 2.0, 10.0])
def test_a_bucket_of_the_stated_size_never_refuses_a_paced_send(burst, reply_s):
    """And 97 % of its rate are used, however long replies take."""
    limit = RateLimit(per_minute=600, burst=burst)
    sent = drive(decision_for(limit), Bucket(600, 60, burst), until_s=120, delays=lambda: (0.0, reply_s))
    assert {one.status for one in sent} == {200}
    assert len(sent) >= 0.97 * 600 * (120 - reply_s) / 60


def test_sends_that_arrive_late_do_not_make_the_next_ones_come_too_soon():
    """The first ones wait for connections; once they have arrived the bucket is empty, and that is known."""
    slow = iter([0.5] * 9)
    sent = drive(
        decision_for(RateLimit(per_minute=600, burst=10)),
        Bucket(600, 60, 10),
        until_s=30,
        delays=lambda: (next(slow, 0.001), 0.02),
    )
    assert {one.status for one in sent} == {200}
    assert len(sent) >= 290


@given(requests=st.integers(1, 50), burst=st.integers(1, 20), gaps=st.lists(st.floats(0, 5), max_size=100))
@settings(deadline=None)
def test_no_more_than_burst_go_at_once_and_no_more_than_the_rate_in_the_long_run(requests, burst, gaps):
    """Over any stretch of t seconds, at most burst + rate x t, whenever sends are wanted."""
    limit, now_s, times_s = RateLimit(requests=requests, period_s=10, burst=burst), 0.0, []
    decision = decision_for(limit)
    for gap_s in gaps:
        now_s += gap_s
        while decision.take(now_s) == 0.0:
            times_s.append(now_s)
            decision.ended(now_s)
    for first, start_s in enumerate(times_s):
        for last in range(first, len(times_s)):
            assert last - first + 1 <= burst + (times_s[last] - start_s) * requests / 10 + 1e-6


# Both ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [RateLimit(per_minute=60), RateLimit(per_minute=60, burst=10)], ids=["any", "paced"])
def test_a_rest_holds_everything_back_and_a_shorter_one_changes_nothing(limit):
    decision = decision_for(limit)
    decision.rest(30.0)
    decision.rest(10.0)
    assert decision.take(0.0) == pytest.approx(30.0)
    assert decision.take(29.0) == pytest.approx(1.0)
    assert decision.take(30.0) == 0.0


def test_after_a_rest_paced_sends_go_on_in_even_steps():
    """What a server refuses has no burst saved up behind it."""
    decision = decision_for(RateLimit(per_minute=60, burst=10))
    decision.rest(30.0)
    assert decision.take(30.0) == 0.0
    decision.ended(30.0)
    assert decision.take(30.0) == pytest.approx(1.01)


def test_asking_how_long_counts_nothing():
    """Only `take` does."""
    for limit in (RateLimit(per_minute=1), RateLimit(per_minute=1, burst=1)):
        decision = decision_for(limit)
        assert decision.wait_s(0.0, 3) > 0
        assert decision.wait_s(0.0) == 0.0
        assert decision.take(0.0) == 0.0
        assert math.isfinite(decision.wait_s(0.0, 10**6))
