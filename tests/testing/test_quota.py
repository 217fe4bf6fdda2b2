"""Limits as an API keeps them, on time that is passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.testing.plan import Limit
from cohere_rerank.testing.plan_file import read_plan
from cohere_rerank.testing.quota import Quota

TRIAL = read_plan({"limit": "trial"}).limit


def test_a_trial_key_has_ten_a_minute_and_the_headers_say_so():
    """The headers count down; the eleventh is refused, without headers; a minute later all is well."""
    quota = Quota(TRIAL)
    verdicts = [quota.check("k", 100.0 + i) for i in range(11)]
    assert [v.rejection for v in verdicts[:10]] == [None] * 10
    assert [v.headers["x-trial-endpoint-call-remaining"] for v in verdicts[:10]] == [str(n) for n in range(9, -1, -1)]
    assert verdicts[0].headers["x-trial-endpoint-call-limit"] == "10"
    assert verdicts[0].headers["x-endpoint-monthly-call-limit"] == "1000"
    assert "limited to 10 API calls / minute" in verdicts[10].rejection and verdicts[10].headers == {}
    assert quota.check("k", 159.9).rejection is not None
    assert quota.check("k", 160.0).rejection is None


def test_keys_are_counted_apart():
    """One key's limit is not another's; no key is one of them."""
    quota = Quota(Limit(requests=1))
    assert [quota.check(key, 0.0).rejection is None for key in ("a", "b", None, "a", None)] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_monthly_quota_does_not_come_back():
    """Its message says month, which is all that tells it from the minute's."""
    quota = Quota(Limit(requests=10, period_s=1, per_month=3))
    assert [quota.check("k", float(i)).rejection for i in range(3)] == [None] * 3
    assert "3 API calls / month" in quota.check("k", 10_000.0).rejection


def test_a_hint_is_the_wait_that_helps():
    """After it, in whole seconds, the next request passes."""
    quota = Quota(Limit(requests=1, period_s=2.5, hint=True))
    quota.check("k", 0.0)
    refused = quota.check("k", 0.2)
    assert refused.headers == {"retry-after": "3"}
    assert quota.check("k", 0.2 + 3).rejection is None


@given(
    st.lists(st.floats(0, 10), max_size=60).map(sorted),
    st.integers(1, 5),
    st.floats(0.1, 5),
)
def test_no_window_has_more_than_the_limit(times, n, period_s):
    """Whenever the requests come, and refused ones do not count."""
    quota = Quota(Limit(requests=n, period_s=period_s))
    passed = [now for now in times if quota.check("k", now).rejection is None]
    for now in passed:
        assert sum(now - period_s < other <= now for other in passed) <= n
    if len(times) <= n:
        assert passed == times


@pytest.mark.parametrize("name", ["trial", "production"])
def test_named_limits_are_cohere_s(name):
    """As its documentation states for rerank: 10 and 1,000 requests a minute."""
    assert read_plan({"limit": name}).limit.requests == {"trial": 10, "production": 1000}[name]
