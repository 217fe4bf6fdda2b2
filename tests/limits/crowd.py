"""A gate, and tasks and threads that want to pass it."""

from __future__ import annotations

import pytest

from cohere_rerank import RateLimit
from cohere_rerank._clock import Deadline
from cohere_rerank.limits.limiter import Gate
from cohere_rerank.limits.memory import MemoryStore
from tests.limits.timeline import Timeline

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def new_gate(**limit):
    limit = RateLimit(**limit)
    return Gate(limit, MemoryStore())


def refuse(gate, clock, retry_after_s=None):
    gate.heard(clock, 429, {}, retry_after_s)


class Crowd:
    """Tasks that each want one send of a gate; ``went`` lists (name, when), in order."""

    def __init__(self, gate, *, reply_s=0.0, deadline_s=1e6):
        self.gate, self.reply_s, self.deadline_s = gate, reply_s, deadline_s
        self.clock, self.went, self.tasks = Timeline(), [], []
        self.n_busy = self.max_busy = 0

    def add(self, name, lane=0, *, after_s=0.0):
        async def one():
            if after_s:
                await self.clock.async_sleep(after_s)
            await self.gate.enter_async(self.clock, Deadline(self.clock, self.deadline_s), lane)
            self.went.append((name, self.clock.now_s - 1_000.0))
            self.n_busy += 1
            self.max_busy = max(self.max_busy, self.n_busy)
            try:
                if self.reply_s:
                    await self.clock.async_sleep(self.reply_s)
            finally:
                self.n_busy -= 1
                self.gate.leave()

        self.tasks.append(one)

    def run(self, backend="asyncio"):
        self.clock.run(backend, *self.tasks)
        return self.went
