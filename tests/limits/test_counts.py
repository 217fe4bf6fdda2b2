"""What is kept of a shared limit's sends: never too many, and no wait longer than it has to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.limits import RateLimit
from cohere_rerank.limits.counts import Counts
from cohere_rerank.limits.memory import MemoryStore

PERIODS = st.sampled_from([0.5, 1.0, 60.0])
WINDOWS = st.builds(RateLimit, requests=st.integers(1, 12), period_s=PERIODS)
PACES = st.builds(RateLimit, requests=st.integers(1, 12), period_s=PERIODS, burst=st.integers(1, 12))
# Whether the next asks at once, after a while, or when the last one asked was told to come back.
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 2).map(lambda s: round(s, 3)), st.none()), max_size=80)


def sends(limit, gaps):
    """When sends were granted to someone who asks at these times, from 100."""
    counts, now_s, wait_s, granted_s = Counts(), 100.0, 0.0, []
    for gap in gaps:
        now_s += wait_s if gap is None else gap
        wait_s = counts.take(limit, now_s)
        if wait_s == 0.0:
            granted_s.append(now_s)
    return granted_s


@given(limit=WINDOWS, gaps=GAPS)
def test_no_stretch_as_long_as_the_period_holds_more_than_n_sends(limit, gaps):
    """However late one send arrives, as long as it takes no more than a send is taken to take."""
    granted_s = sends(limit, gaps)
    for first_s, last_s in zip(granted_s, granted_s[limit.requests :]):
        assert last_s - first_s >= limit.period_s + limit.max_delay_s - 1e-5


@given(limit=PACES, gaps=GAPS)
def test_a_paced_limit_sends_no_more_than_its_burst_and_one_each_step(limit, gaps):
    """In any stretch of time, short or long."""
    granted_s = sends(limit, gaps)
    for i, first_s in enumerate(granted_s):
        for n, last_s in enumerate(granted_s[i:], start=1):
            assert n <= limit.burst + (last_s - first_s + 1e-4) / limit.step_s


@given(limit=st.one_of(WINDOWS, PACES), gaps=GAPS, pause_s=st.floats(0.001, 5))
def test_a_wait_is_as_long_as_it_has_to_be(limit, gaps, pause_s):
    """Who comes back when told to is granted a send; who comes back sooner is not, and is told the rest of the wait."""
    counts, now_s = Counts(), 100.0
    counts.pause(limit, pause_s, now_s)
    for gap in gaps:
        now_s += gap or 0.0
        wait_s = counts.take(limit, now_s)
        if wait_s > 1e-3:
            assert counts.take(limit, now_s + wait_s / 2) == pytest.approx(wait_s / 2)
            now_s += wait_s
            assert counts.take(limit, now_s) == 0.0


@given(limit=WINDOWS, gaps=GAPS)
def test_a_window_says_what_the_memory_of_one_process_would(limit, gaps):
    """Wait for wait, if that one, too, hears no reply."""
    counts, memory, now_s = Counts(), MemoryStore(), 100.0
    for gap in gaps:
        now_s += gap or 0.0
        assert counts.take(limit, now_s) == pytest.approx(memory.take(limit, now_s), abs=1e-5)


@given(limit=st.one_of(WINDOWS, PACES), gaps=GAPS)
def test_counts_come_back_from_a_file_as_they_were(limit, gaps):
    """Nothing is lost between two processes."""
    counts, now_s = Counts(), 100.0
    for gap in gaps:
        now_s += gap or 0.0
        again = Counts.unpacked(counts.packed())
        assert again == counts
        assert again.take(limit, again.at(now_s)) == counts.take(limit, counts.at(now_s))


@given(st.binary(min_size=1).filter(lambda content: not content.startswith(b"crlimit1")))
def test_content_of_something_else_is_refused(content):
    """It is taken neither for counts nor for none."""
    with pytest.raises(ValueError, match="something else"):
        Counts.unpacked(content)
