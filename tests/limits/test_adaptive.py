"""limit="auto": finds a hidden limit, stays near it, and takes a trial key's word for its own."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.limits.adaptive import AUTO, Adaptive
from tests.limits.servers import Bucket, FixedWindow, SlidingWindow, drive

SERVERS = st.sampled_from([Bucket, FixedWindow, SlidingWindow])
TRIAL = {"x-trial-endpoint-call-limit": "10"}


def found(server, n, *, has_hints, seed=0, minutes=40, warm_up=15):
    """Share of a hidden limit that is used after the warm-up, and 429s a minute then."""
    draw = random.Random(seed)
    sent = drive(
        Adaptive(AUTO),
        server(n, 60, 10),
        until_s=minutes * 60,
        delays=lambda: (0.0, draw.uniform(0.05, 0.5)),
        has_hints=has_hints,
    )
    late = [one for one in sent if one.came_s >= warm_up * 60]
    n_good = sum(one.status == 200 for one in late)
    return n_good / (n * (minutes - warm_up)), (len(late) - n_good) / (minutes - warm_up)


@given(server=SERVERS, n=st.integers(2, 200), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_hidden_limit_is_found_when_the_server_hints(server, n, seed):
    """At least three quarters of it are used, and few requests are refused."""
    used, refused_a_minute = found(server, n, has_hints=True, seed=seed)
    assert used >= 0.75
    assert refused_a_minute <= 2 + 0.02 * n


@given(server=SERVERS, n=st.integers(2, 200), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_hidden_limit_is_found_from_bare_429s(server, n, seed):
    """At least half of it is used: each 429 costs the rest of a minute."""
    used, refused_a_minute = found(server, n, has_hints=False, seed=seed)
    assert used >= 0.5
    assert refused_a_minute <= 2 + 0.02 * n


@pytest.mark.exhaustive
@pytest.mark.parametrize("n", [1, 5, 10, 40, 100, 600, 1000, 3000])
@pytest.mark.parametrize("server", [Bucket, FixedWindow, SlidingWindow])
def test_limits_of_every_size_are_found(server, n):
    assert found(server, n, has_hints=True, minutes=60, warm_up=20)[0] >= (0.85 if n > 1 else 0.5)


def test_a_429_cuts_the_rate_once_a_period():
    """What was sent before the cut, and is refused after it, says nothing new."""
    auto = Adaptive(AUTO)
    auto.heard(0.0, 429, {})
    assert auto.rate == 500  # nothing is known to go through
    for now_s in (0.1, 5.0, 59.9):
        auto.heard(now_s, 429, {})
    assert auto.rate == 500
    auto.heard(60.0, 429, {})
    assert auto.rate == 250


def test_the_cut_goes_to_what_went_through():
    """800 good replies in the last minute are what the server allows."""
    auto = Adaptive(AUTO)
    for k in range(800):
        auto.heard(k * 60 / 800, 200, {})
    auto.heard(60.0, 429, {})
    assert auto.rate == pytest.approx(800, abs=1)


def test_the_rate_never_falls_below_one_a_period():
    auto = Adaptive(AUTO)
    for k in range(100):
        auto.heard(k * 61.0, 429, {})
    assert auto.rate == 1
    assert auto.take(1e6) == 0.0


def test_the_rate_grows_only_while_someone_has_to_wait():
    """A key that is hardly used learns nothing about its limit from being hardly used."""
    auto = Adaptive(AUTO)
    for k in range(1000):
        assert auto.take(float(k)) == 0.0
        auto.ended(float(k))
        auto.heard(float(k), 200, {})
    assert auto.rate == AUTO.requests
    while auto.take(2000.0) == 0.0:
        pass
    auto.heard(2000.1, 200, {})
    assert auto.rate > AUTO.requests


def test_other_errors_teach_nothing():
    auto = Adaptive(AUTO)
    while auto.take(0.0) == 0.0:
        pass
    for status in (400, 401, 500, 503):
        auto.heard(0.1, status, {})
    assert auto.rate == AUTO.requests


def test_a_trial_keys_limit_is_taken_from_its_headers():
    """Ten in any minute, what was sent before included."""
    auto = Adaptive(AUTO)
    for _ in range(3):
        assert auto.take(0.0) == 0.0
    auto.heard(0.1, 200, {**TRIAL, "x-trial-endpoint-call-remaining": "7"})
    assert auto.rate == 10
    assert [auto.take(0.2) for _ in range(8)][-2:] == [0.0, pytest.approx(60.5, abs=0.5)]


def test_a_trial_limit_without_the_number_left_starts_with_nothing_left():
    auto = Adaptive(AUTO)
    auto.heard(0.0, 200, TRIAL)
    assert auto.take(0.1) == pytest.approx(60.5, abs=0.5)
    assert auto.take(62.0) == 0.0


def test_a_known_limit_is_not_cut_by_a_429():
    """The header is the better word; the pause that follows a 429 is enough."""
    auto = Adaptive(AUTO)
    auto.heard(0.0, 200, TRIAL)
    auto.heard(70.0, 429, {})
    auto.rest(80.0)
    assert auto.rate == 10
    assert auto.take(75.0) == pytest.approx(5.0)
    assert auto.take(80.0) == 0.0


@pytest.mark.parametrize("value", ["", "0", "-1", "ten", "1e3"])
def test_a_trial_header_that_makes_no_sense_is_passed_over(value):
    auto = Adaptive(AUTO)
    auto.heard(0.0, 200, {"x-trial-endpoint-call-limit": value})
    assert auto.rate == AUTO.requests
