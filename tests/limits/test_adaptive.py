"""limit="auto" finds a hidden limit, stays near it, and adopts the limit that a trial key's replies state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.limits.adaptive import AUTO, Adaptive
from tests.limits.servers import Bucket, FixedWindow, SlidingWindowServer, drive

SERVERS = st.sampled_from([Bucket, FixedWindow, SlidingWindowServer])
TRIAL = {"x-trial-endpoint-call-limit": "10"}


def found(server, n, *, has_hints, seed=0, minutes=40, warm_up=15):
    """Return the share of a hidden limit that is used after the warm-up, and the 429s a minute then."""
    draw = random.Random(seed)
    sent = drive(
        Adaptive(AUTO),
        server(n, 60, 10),
        until_s=minutes * 60,
        delays=lambda: (0.0, draw.uniform(0.05, 0.5)),
        has_hints=has_hints,
    )
    late = [one for one in sent if one.arrived_s >= warm_up * 60]
    n_good = sum(one.status == 200 for one in late)
    return n_good / (n * (minutes - warm_up)), (len(late) - n_good) / (minutes - warm_up)


@given(server=SERVERS, n=st.integers(2, 200), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_hidden_limit_is_found_when_the_server_hints(server, n, seed):
    """At least three quarters of it are used, and few requests are rejected."""
    used, rejected_a_minute = found(server, n, has_hints=True, seed=seed)
    assert used >= 0.75
    assert rejected_a_minute <= 2 + 0.02 * n


@given(server=SERVERS, n=st.integers(2, 200), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_hidden_limit_is_found_from_bare_429s(server, n, seed):
    """At least half of it is used, although each 429 costs the rest of a minute."""
    used, rejected_a_minute = found(server, n, has_hints=False, seed=seed)
    assert used >= 0.5
    assert rejected_a_minute <= 2 + 0.02 * n


@pytest.mark.exhaustive
@pytest.mark.parametrize("n", [1, 5, 10, 40, 100, 600, 1000, 3000])
@pytest.mark.parametrize("server", [Bucket, FixedWindow, SlidingWindowServer])
def test_limits_of_every_size_are_found(server, n):
    """At least 85 % of a hidden limit of 1 to 3,000 a minute is used (half of it for 1)."""
    assert found(server, n, has_hints=True, minutes=60, warm_up=20)[0] >= (0.85 if n > 1 else 0.5)


def test_a_429_cuts_the_rate_once_a_period():
    """Requests that were sent before the cut and are rejected after it carry no new information."""
    auto = Adaptive(AUTO)
    auto.on_response(0.0, 429, {})
    assert auto.rate == 500  # no request has succeeded yet
    for now_s in (0.1, 5.0, 59.9):
        auto.on_response(now_s, 429, {})
    assert auto.rate == 500
    auto.on_response(60.0, 429, {})
    assert auto.rate == 250


def test_a_cut_goes_to_the_rate_of_successes():
    """800 successes in the last minute are the rate that the server allows."""
    auto = Adaptive(AUTO)
    for k in range(800):
        auto.on_response(k * 60 / 800, 200, {})
    auto.on_response(60.0, 429, {})
    assert auto.rate == pytest.approx(800, abs=1)


def test_the_rate_never_falls_below_one_a_period():
    """100 rejections in a row leave one request a period."""
    auto = Adaptive(AUTO)
    for k in range(100):
        auto.on_response(k * 61.0, 429, {})
    assert auto.rate == 1
    assert auto.acquire(1e6) == 0.0


def test_the_rate_grows_only_while_requests_have_to_wait():
    """Rare requests prove nothing about the limit of a key."""
    auto = Adaptive(AUTO)
    for k in range(1000):
        assert auto.acquire(float(k)) == 0.0
        auto.on_complete(float(k))
        auto.on_response(float(k), 200, {})
    assert auto.rate == AUTO.requests
    while auto.acquire(2000.0) == 0.0:
        pass
    auto.on_response(2000.1, 200, {})
    assert auto.rate > AUTO.requests


def test_other_errors_leave_the_rate():
    """Only successes and 429s change it."""
    auto = Adaptive(AUTO)
    while auto.acquire(0.0) == 0.0:
        pass
    for status in (400, 401, 500, 503):
        auto.on_response(0.1, status, {})
    assert auto.rate == AUTO.requests


def test_the_limit_of_a_trial_key_is_read_from_the_headers():
    """Ten in any minute, earlier requests included."""
    auto = Adaptive(AUTO)
    for _ in range(3):
        assert auto.acquire(0.0) == 0.0
    auto.on_response(0.1, 200, {**TRIAL, "x-trial-endpoint-call-remaining": "7"})
    assert auto.rate == 10
    assert [auto.acquire(0.2) for _ in range(8)][-2:] == [0.0, pytest.approx(60.5, abs=0.5)]


def test_a_trial_limit_without_the_remaining_number_starts_at_zero_remaining():
    """The safe assumption is that the minute is used up."""
    auto = Adaptive(AUTO)
    auto.on_response(0.0, 200, TRIAL)
    assert auto.acquire(0.1) == pytest.approx(60.5, abs=0.5)
    assert auto.acquire(62.0) == 0.0


def test_a_known_limit_is_not_cut_by_a_429():
    """The stated limit stays; the pause that follows a 429 is enough."""
    auto = Adaptive(AUTO)
    auto.on_response(0.0, 200, TRIAL)
    auto.on_response(70.0, 429, {})
    auto.pause(80.0)
    assert auto.rate == 10
    assert auto.acquire(75.0) == pytest.approx(5.0)
    assert auto.acquire(80.0) == 0.0


@pytest.mark.parametrize("value", ["", "0", "-1", "ten", "1e3"])
def test_an_invalid_trial_header_is_ignored(value):
    """The rate stays as it was."""
    auto = Adaptive(AUTO)
    auto.on_response(0.0, 200, {"x-trial-endpoint-call-limit": value})
    assert auto.rate == AUTO.requests
