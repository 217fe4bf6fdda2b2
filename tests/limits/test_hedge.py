"""When a second request is sent: after the percentile, within its share, and never near a rate limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import Hedge, InvalidRequestError
from cohere_rerank.limits.hedge import HedgeRule


def rule(**settings):
    return HedgeRule(Hedge(**settings))


def learn(learning, latencies, now_s=0.0):
    for latency_s in latencies:
        learning.on_response("m", now_s, latency_s, 200, {})


def saved(learning, n):
    """Count so many first requests."""
    for _ in range(n):
        learning.delay_s("other", 0.0)


def test_the_delay_is_the_percentile_of_the_newest_latencies():
    """It is known after so many answers of the same kind, and old ones are forgotten."""
    learning = rule(min_samples=20, max_extra=0.5)
    saved(learning, 10)
    learn(learning, [n / 100 for n in range(19)])
    assert learning.delay_s("m", 0.0) is None
    learn(learning, [0.19])
    assert learning.delay_s("m", 0.0) == 0.19
    assert learning.delay_s("other", 0.0) is None
    learn(learning, [1.0] * 200)
    assert learning.delay_s("m", 0.0) == 1.0


@given(max_extra=st.floats(0.001, 0.5), n=st.integers(1, 400), latency_s=st.floats(0, 10))
def test_second_requests_never_exceed_their_share(max_extra, n, latency_s):
    """However many requests are late, and whenever."""
    learning = rule(max_extra=max_extra, min_samples=1)
    learn(learning, [latency_s])
    n_second = 0
    for _ in range(n):
        if learning.delay_s("m", 0.0) is not None:
            n_second += learning.try_acquire("m", 0.0, 100.0)
    assert n_second <= max_extra * n + 1e-9


def test_a_quiet_time_saves_up_only_a_few():
    """When a server becomes slow at once, it gets few second requests."""
    learning = rule(max_extra=0.5, min_samples=1)
    learn(learning, [0.1])
    saved(learning, 1000)
    assert sum(learning.try_acquire("m", 0.0, 100.0) for _ in range(100)) == 5
    learning.refund()
    assert learning.try_acquire("m", 0.0, 100.0)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {}),
        (200, {"x-trial-endpoint-call-remaining": "5"}),
        (200, {"x-ratelimit-remaining": "0"}),
        (500, {"ratelimit-remaining": "9"}),
    ],
)
def test_no_second_request_near_a_rate_limit(status, headers):
    """For a minute after a 429, or after a header that states few remaining requests."""
    learning = rule(max_extra=0.5, min_samples=1)
    learn(learning, [0.1])
    saved(learning, 10)
    learning.on_response("m", 100.0, 0.1, status, headers)
    assert learning.delay_s("m", 159.0) is None
    assert not learning.try_acquire("m", 159.0, 100.0)
    assert learning.delay_s("m", 160.0) == 0.1
    assert learning.try_acquire("m", 160.0, 100.0)


def test_a_header_that_states_many_remaining_requests_changes_nothing():
    """Nor does one that is not a number."""
    learning = rule(max_extra=0.5, min_samples=1)
    saved(learning, 10)
    for text in ("900", "9" * 5000, "many", ""):
        learning.on_response("m", 0.0, 0.1, 200, {"x-ratelimit-remaining": text})
    assert learning.delay_s("m", 0.0) == 0.1


def test_no_second_request_that_the_deadline_would_cut():
    """At least the usual latency must remain."""
    learning = rule(max_extra=0.5, min_samples=1)
    learn(learning, [0.1, 0.2, 0.3])
    saved(learning, 10)
    assert not learning.try_acquire("m", 0.0, 0.19)
    assert learning.try_acquire("m", 0.0, 0.2)


def test_memory_is_bounded():
    """Kinds that were used long ago are forgotten."""
    learning = rule()
    for n in range(1000):
        learning.on_response(n, 0.0, 0.1, 200, {})
    assert len(learning._latencies) <= 100


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"percentile": 95}, r"percentile must be a number above 0 and below 1, got 95; pass 0\.95"),
        ({"percentile": None}, "percentile must be a number above 0 and below 1, got None"),
        ({"percentile": "x"}, "percentile must be a number above 0 and below 1, got 'x'"),
        ({"max_extra": 0}, r"max_extra must be a number above 0 and at most 0\.5, got 0"),
        ({"max_extra": True}, r"max_extra must be a number above 0 and at most 0\.5, got True"),
        ({"min_samples": 0}, "min_samples must be a whole number, between 1 and 200, got 0"),
        ({"min_samples": None}, "min_samples must be a whole number, between 1 and 200, got None"),
    ],
)
def test_values_out_of_range_are_refused(settings, says):
    """The error names the setting, the value, and what is allowed."""
    with pytest.raises(InvalidRequestError, match=says):
        Hedge(**settings)
