"""A gate on a shared store: asked without blocking a loop, and left whole when it fails."""

from __future__ import annotations

import threading

import anyio
import pytest

from cohere_rerank import RateLimit, RateLimitStoreError
from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank.limits.limiter import Gate
from cohere_rerank.limits.memory import MemoryStore
from tests.limits.crowd import BACKENDS, Crowd, refuse


class SlowStore:
    """A store like one across a network: it may only be asked in a worker thread, or awaited."""

    def __init__(self, wait_s=()):
        self.counts, self.asked_in, self.pauses, self.paused = MemoryStore(), [], [], threading.Event()

    def take(self, limit, now_s):
        self.asked_in.append(threading.current_thread())
        return self.counts.take(limit, now_s)

    def pause(self, limit, seconds, now_s):
        self.pauses.append((limit, seconds))
        self.paused.set()


class AwaitedStore(SlowStore):
    async def take_async(self, limit, now_s):
        await anyio.lowlevel.checkpoint()
        return self.counts.take(limit, now_s)


def test_a_store_that_blocks_is_asked_in_a_worker_thread():
    """The event loop goes on meanwhile."""
    store = SlowStore()
    gate, clock = Gate(RateLimit(per_minute=100), store), SystemClock()

    async def main():
        await gate.enter_async(clock, Deadline(clock, 10), 0)
        gate.leave()

    anyio.run(main)
    assert store.asked_in
    assert threading.current_thread() not in store.asked_in


@BACKENDS
def test_a_store_that_can_be_awaited_is_and_only_the_first_in_line_asks(backend):
    """Order and pace hold as in a process of its own; who waits further back does not ask."""
    store = AwaitedStore()
    crowd = Crowd(Gate(RateLimit(per_minute=60, burst=3), store))
    asked = []
    take, store.counts.take = store.counts.take, lambda limit, now_s: asked.append(now_s) or take(limit, now_s)
    for name in range(30):
        crowd.add(name)
    went = crowd.run(backend)
    assert [name for name, _ in went] == list(range(30))
    assert went[-1][1] == pytest.approx(28 * 1.01, abs=1.0)
    assert len(asked) < 90


@pytest.mark.parametrize("failing", ["take", "take_async"])
def test_a_store_that_fails_leaves_the_gate_as_it_was(failing, clock):
    """The error reaches the caller; the slot and the place are free again."""
    store = AwaitedStore() if failing == "take_async" else SlowStore()
    limit = RateLimit(per_minute=100, concurrency=1)
    gate, good = Gate(limit, store), getattr(store, failing)

    def bad(*_):
        raise RuntimeError("store is down")

    setattr(store, failing, bad)

    async def enter():
        await gate.enter_async(clock, Deadline(clock, 10), 0)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="down"):
            anyio.run(enter)
    setattr(store, failing, good)
    anyio.run(enter)


def test_a_shared_store_is_told_of_a_pause_without_waiting_for_it(clock):
    """Others learn of a 429; a shorter pause inside a longer one is no news."""
    store = SlowStore()
    gate = Gate(RateLimit(per_minute=100), store)
    refuse(gate, clock, 5.0)
    assert store.paused.wait(10)
    refuse(gate, clock, 2.0)
    assert store.pauses == [(RateLimit(per_minute=100), 5.0)]
    started_s = clock.monotonic()
    gate.enter(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(5.0)


class LostStore(SlowStore):
    def pause(self, limit, seconds, now_s):
        self.paused.set()
        raise RateLimitStoreError("the folder is gone")


def test_a_pause_that_cannot_be_shared_is_logged_and_ends_nothing(clock, caplog):
    """Not as a traceback of a thread that nobody knows."""
    store = LostStore()
    refuse(Gate(RateLimit(per_minute=100), store), clock, 5.0)
    assert store.paused.wait(10)
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank":
            thread.join(10)
    assert [record.getMessage() for record in caplog.records] == ["a pause could not be shared: the folder is gone"]
