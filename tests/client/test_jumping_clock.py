"""A machine that sleeps, or a debugger that stops: the clock jumps in the middle of a call."""

from __future__ import annotations

import re

import pytest

from cohere_rerank import CircuitBreaker, RateLimit, errors
from cohere_rerank.testing import FakeClock
from tests.client.calls import CALL
from tests.fake_server import error, good_reply, reply

NEGATIVE = re.compile(r"(?<![\w.])-\s?\d")


class JumpingClock(FakeClock):
    """Jumps by an hour at one of the times that code asks for the time."""

    def __init__(self, n_before):
        super().__init__()
        self._n_left = n_before

    def monotonic(self):
        self._n_left -= 1
        if self._n_left == 0:
            self.advance(3600)
        return super().monotonic()


REPLIES = {
    "good": good_reply(),
    "server error": error(503, "no"),
    "wait": reply(429, json={"message": "slow down"}, headers={"retry-after": "5"}),
    "loading": reply(503, json={"error": {"message": "Loading model"}}),
}
OPTIONS = {
    "plain": {},
    "timeout": {"timeout": 2},
    "limit": {"limit": RateLimit(per_minute=1, name="jumping")},
    "breaker": {"circuit_breaker": CircuitBreaker(max_failures=1)},
    "chain": "another client",
}


@pytest.mark.parametrize("answer", REPLIES)
@pytest.mark.parametrize("options", OPTIONS)
def test_no_message_shows_negative_seconds(server, make_either, answer, options):
    """Wherever in a call the clock jumps past the deadline."""
    server.default = REPLIES[answer]
    failures = []
    for n_before in range(1, 25, 2):
        clock = JumpingClock(n_before)
        settings = OPTIONS[options]
        if options == "chain":
            settings = {"fallback": make_either(clock=clock, deadline=10).client}
        client = make_either(clock=clock, **{"deadline": 10, **settings})
        for _ in range(2):
            try:
                client.rerank(**CALL)
            except errors.CohereRerankError as failure:
                failures.append(failure)
    assert failures or answer == "good"
    assert not {str(failure) for failure in failures if NEGATIVE.search(str(failure))}
    for name in ("waited_s", "left_s", "wait_s"):
        assert all(getattr(failure, name, 0) >= 0 for failure in failures)
