"""Rate limits as an API enforces them. The time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.testing.plan import Limit
from cohere_rerank.testing.plan_file import read_plan
from cohere_rerank.testing.quota import Quota

TRIAL = read_plan({"limit": "trial"}).limit


def test_a_trial_key_has_ten_requests_a_minute_and_headers_that_count():
    """The headers count down. The eleventh request is rejected without headers, and a minute later requests pass."""
    quota = Quota(TRIAL)
    verdicts = [quota.check("k", 100.0 + i) for i in range(11)]
    assert [v.rejection for v in verdicts[:10]] == [None] * 10
    assert [v.headers["x-trial-endpoint-call-remaining"] for v in verdicts[:10]] == [str(n) for n in range(9, -1, -1)]
    assert verdicts[0].headers["x-trial-endpoint-call-limit"] == "10"
    assert verdicts[0].headers["x-endpoint-monthly-call-limit"] == "1000"
    assert "limited to 10 API calls / minute" in verdicts[10].rejection and verdicts[10].headers == {}
    assert quota.check("k", 159.9).rejection is not None
    assert quota.check("k", 160.0).rejection is None


def test_keys_have_separate_limits():
    """Each key has its own limit, and so have requests without a key."""
    quota = Quota(Limit(requests=1))
    assert [quota.check(key, 0.0).rejection is None for key in ("a", "b", None, "a", None)] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_monthly_quota_does_not_renew():
    """Its message says month, which is the only difference from the limit per minute."""
    quota = Quota(Limit(requests=10, period_s=1, per_month=3))
    assert [quota.check("k", float(i)).rejection for i in range(3)] == [None] * 3
    assert "3 API calls / month" in quota.check("k", 10_000.0).rejection


def test_after_the_hint_the_next_request_passes():
    """After the hint, in whole seconds, the next request passes."""
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
    """No sliding window has more accepted requests than the limit. Rejected ones do not count."""
    quota = Quota(Limit(requests=n, period_s=period_s))
    passed = [now for now in times if quota.check("k", now).rejection is None]
    for now in passed:
        assert sum(now - period_s < other <= now for other in passed) <= n
    if len(times) <= n:
        assert passed == times


@pytest.mark.parametrize("name", ["trial", "production"])
def test_named_limits_are_cohere_s(name):
    """Cohere documents 10 and 1,000 requests a minute for rerank."""
    assert read_plan({"limit": name}).limit.requests == {"trial": 10, "production": 1000}[name]
