"""A limiter, and tasks and threads that want to send requests through it."""

from __future__ import annotations

import pytest

from cohere_rerank import RateLimit
from cohere_rerank._clock import Deadline
from cohere_rerank._transport.errors import rate_limit_wait_error
from cohere_rerank.limits.limiter import Limiter
from cohere_rerank.limits.memory import MemoryStore
from tests.limits.virtual_clock import VirtualClock

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def new_limiter(**limit):
    return limiter_on(MemoryStore(), **limit)


def limiter_on(store, **limit):
    return Limiter(RateLimit(**limit), store, rate_limit_wait_error)


def reject(limiter, clock, retry_after_s=None):
    """Let the limiter see a 429."""
    limiter.on_response(clock, 429, {}, retry_after_s)


class Workload:
    """Tasks that each send one request through a limiter; ``sent`` lists (name, seconds from the start), in order."""

    def __init__(self, limiter, *, reply_s=0.0, deadline_s=1e6):
        self.limiter, self.reply_s, self.deadline_s = limiter, reply_s, deadline_s
        self.clock, self.sent, self.tasks = VirtualClock(), [], []
        self.n_in_flight = self.max_in_flight = 0

    def add(self, name, traffic_class=0, *, after_s=0.0):
        async def send():
            if after_s:
                await self.clock.async_sleep(after_s)
            await self.limiter.acquire_async(self.clock, Deadline(self.clock, self.deadline_s), traffic_class)
            self.sent.append((name, self.clock.now_s - 1_000.0))
            self.n_in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.n_in_flight)
            try:
                if self.reply_s:
                    await self.clock.async_sleep(self.reply_s)
            finally:
                self.n_in_flight -= 1
                self.limiter.release()

        self.tasks.append(send)

    def run(self, backend="asyncio"):
        self.clock.run(backend, *self.tasks)
        return self.sent
