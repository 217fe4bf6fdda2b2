"""A 429 pauses all who share a gate, for as long as it hints."""

from __future__ import annotations

import pytest

from cohere_rerank._clock import Deadline
from tests.limits.crowd import Crowd, new_gate, refuse


@pytest.mark.parametrize("burst", [None, 5])
def test_a_429_pauses_all_for_as_long_as_it_hints(clock, burst):
    gate = new_gate(per_minute=100, burst=burst)
    gate.enter(clock, Deadline(clock, 100), 0)
    refuse(gate, clock, 7.0)
    refuse(gate, clock, 3.0)
    started_s = clock.monotonic()
    gate.enter(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(7.0)


def test_a_pause_is_logged_without_a_word_of_the_request(clock, caplog):
    caplog.set_level("INFO", "cohere_rerank")
    refuse(new_gate(per_minute=100), clock, 7.0)
    assert caplog.messages == ["429: nobody who shares this limit sends for 7 s"]


@pytest.mark.parametrize(("passed_s", "wait_s"), [(20.0, 40.0), (59.5, 1.0), (70.0, 1.0)])
def test_without_a_hint_the_pause_lasts_until_the_period_ends(clock, passed_s, wait_s):
    """The period that began with its first request; a second at least."""
    gate = new_gate(per_minute=100)
    gate.enter(clock, Deadline(clock, 100), 0)
    clock.advance(passed_s)
    refuse(gate, clock)
    started_s = clock.monotonic()
    gate.enter(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(wait_s)


def test_those_who_already_wait_notice_a_pause():
    """A 429 heard while tasks sleep holds them back too."""
    crowd = Crowd(new_gate(per_minute=60, burst=1))
    for name in range(6):
        crowd.add(name)

    async def refusal():
        await crowd.clock.async_sleep(2.5)
        refuse(crowd.gate, crowd.clock, 30.0)

    crowd.tasks.append(refusal)
    times_s = [at_s for _, at_s in crowd.run()]
    assert [at_s for at_s in times_s if 2.5 < at_s < 32.5] == []
    assert times_s[3:] == pytest.approx([32.5, 33.51, 34.52], abs=0.05)


def test_other_replies_pause_nobody(clock):
    gate = new_gate(per_minute=100)
    gate.enter(clock, Deadline(clock, 100), 0)
    for status in (200, 400, 500, 503):
        gate.heard(clock, status, {}, 5.0 if status == 503 else None)
    gate.enter(clock, Deadline(clock, 100), 0)
    assert clock.sleeps == []
