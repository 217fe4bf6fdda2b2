"""The state of a shared limit grants never too many requests, and no wait is longer than necessary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.limits import RateLimit
from cohere_rerank.limits.memory import MemoryStore
from cohere_rerank.limits.shared_state import SharedState

PERIODS = st.sampled_from([0.5, 1.0, 60.0])
WINDOWS = st.builds(RateLimit, requests=st.integers(1, 12), period_s=PERIODS)
PACES = st.builds(RateLimit, requests=st.integers(1, 12), period_s=PERIODS, burst=st.integers(1, 12))
# Seconds until the next request asks; None: as long as the last one was told to wait.
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 2).map(lambda s: round(s, 3)), st.none()), max_size=80)


def grants(limit, gaps):
    """Return the times of the grants to a caller that asks with these gaps, from 100 s on."""
    counts, now_s, wait_s, granted_s = SharedState(), 100.0, 0.0, []
    for gap in gaps:
        now_s += wait_s if gap is None else gap
        wait_s = counts.acquire(limit, now_s)
        if wait_s == 0.0:
            granted_s.append(now_s)
    return granted_s


@given(limit=WINDOWS, gaps=GAPS)
def test_no_stretch_as_long_as_the_period_has_more_than_n_grants(limit, gaps):
    """Even if a request arrives as late as max_transit_s."""
    granted_s = grants(limit, gaps)
    for first_s, last_s in zip(granted_s, granted_s[limit.requests :]):
        assert last_s - first_s >= limit.period_s + limit.max_transit_s - 1e-5


@given(limit=PACES, gaps=GAPS)
def test_a_paced_limit_grants_no_more_than_its_burst_and_one_per_interval(limit, gaps):
    """In any stretch of time, short or long."""
    granted_s = grants(limit, gaps)
    for i, first_s in enumerate(granted_s):
        for n, last_s in enumerate(granted_s[i:], start=1):
            assert n <= limit.burst + (last_s - first_s + 1e-4) / limit.emission_interval_s


@given(limit=st.one_of(WINDOWS, PACES), gaps=GAPS, pause_s=st.floats(0.001, 5))
def test_a_wait_is_exactly_as_long_as_necessary(limit, gaps, pause_s):
    """A caller that waits as told gets a grant; one that asks sooner is told the rest of the wait."""
    counts, now_s = SharedState(), 100.0
    counts.pause(limit, pause_s, now_s)
    for gap in gaps:
        now_s += gap or 0.0
        wait_s = counts.acquire(limit, now_s)
        if wait_s > 1e-3:
            assert counts.acquire(limit, now_s + wait_s / 2) == pytest.approx(wait_s / 2)
            now_s += wait_s
            assert counts.acquire(limit, now_s) == 0.0


@given(limit=WINDOWS, gaps=GAPS)
def test_a_window_answers_as_the_store_in_memory_does(limit, gaps):
    """All waits are equal if that store sees no replies either."""
    counts, memory, now_s = SharedState(), MemoryStore(), 100.0
    for gap in gaps:
        now_s += gap or 0.0
        assert counts.acquire(limit, now_s) == pytest.approx(memory.acquire(limit, now_s), abs=1e-5)


@given(limit=st.one_of(WINDOWS, PACES), gaps=GAPS)
def test_a_state_survives_a_file(limit, gaps):
    """The state read from bytes equals the one written, and answers as it does."""
    counts, now_s = SharedState(), 100.0
    for gap in gaps:
        now_s += gap or 0.0
        again = SharedState.from_bytes(counts.to_bytes())
        assert again == counts
        assert again.acquire(limit, again.advance(now_s)) == counts.acquire(limit, counts.advance(now_s))


@given(st.binary(min_size=1).filter(lambda content: not content.startswith(b"crlimit1")))
def test_other_content_is_rejected(content):
    """It counts neither as a state nor as an empty file."""
    with pytest.raises(ValueError, match="not a file of a limit"):
        SharedState.from_bytes(content)
