"""A limiter with a shared store: it never blocks an event loop, and it survives failures of the store."""

from __future__ import annotations

import threading

import anyio
import pytest

from cohere_rerank import RateLimit, RateLimitStoreError
from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank.limits.memory import MemoryStore
from tests.limits.workload import BACKENDS, Workload, limiter_on, reject


class SlowStore:
    """A store like one across a network: it must be called in a worker thread or awaited."""

    def __init__(self, wait_s=()):
        self.counts, self.called_in, self.pauses, self.paused = MemoryStore(), [], [], threading.Event()

    def acquire(self, limit, now_s):
        self.called_in.append(threading.current_thread())
        return self.counts.acquire(limit, now_s)

    def pause(self, limit, seconds, now_s):
        self.pauses.append((limit, seconds))
        self.paused.set()


class AwaitedStore(SlowStore):
    async def acquire_async(self, limit, now_s):
        await anyio.lowlevel.checkpoint()
        return self.counts.acquire(limit, now_s)


def test_a_store_that_blocks_is_called_in_a_worker_thread():
    """The event loop is not blocked meanwhile."""
    store = SlowStore()
    limiter, clock = limiter_on(store, per_minute=100), SystemClock()

    async def main():
        await limiter.acquire_async(clock, Deadline(clock, 10), 0)
        limiter.release()

    anyio.run(main)
    assert store.called_in
    assert threading.current_thread() not in store.called_in


@BACKENDS
def test_only_the_head_of_the_queue_asks_an_asynchronous_store(backend):
    """Order and pace are those of a store in memory; waiters further back do not ask."""
    store = AwaitedStore()
    workload = Workload(limiter_on(store, per_minute=60, burst=3))
    asked = []
    acquire, store.counts.acquire = store.counts.acquire, lambda *of: asked.append(of) or acquire(*of)
    for name in range(30):
        workload.add(name)
    sent = workload.run(backend)
    assert [name for name, _ in sent] == list(range(30))
    assert sent[-1][1] == pytest.approx(28 * 1.01, abs=1.0)
    assert len(asked) < 90


@pytest.mark.parametrize("failing", ["acquire", "acquire_async"])
def test_a_store_that_fails_leaves_the_limiter_as_it_was(failing, clock):
    """The caller gets the error, and the slot and the place in the queue are free again."""
    store = AwaitedStore() if failing == "acquire_async" else SlowStore()
    limiter, good = limiter_on(store, per_minute=100, concurrency=1), getattr(store, failing)

    def bad(*_):
        raise RuntimeError("store is down")

    setattr(store, failing, bad)

    async def acquire():
        await limiter.acquire_async(clock, Deadline(clock, 10), 0)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="down"):
            anyio.run(acquire)
    setattr(store, failing, good)
    anyio.run(acquire)


def test_a_pause_reaches_a_shared_store_without_a_wait(clock):
    """The store learns of a 429; a shorter pause within a longer one is not passed on."""
    store = SlowStore()
    limiter = limiter_on(store, per_minute=100)
    reject(limiter, clock, 5.0)
    assert store.paused.wait(10)
    reject(limiter, clock, 2.0)
    assert store.pauses == [(RateLimit(per_minute=100), 5.0)]
    started_s = clock.monotonic()
    limiter.acquire(clock, Deadline(clock, 100), 0)
    assert clock.monotonic() - started_s == pytest.approx(5.0)


class LostStore(SlowStore):
    def pause(self, limit, seconds, now_s):
        self.paused.set()
        raise RateLimitStoreError("the folder is gone")


def test_a_pause_that_cannot_be_shared_is_logged(clock, caplog):
    """One line in the log and no traceback of a background thread."""
    store = LostStore()
    reject(limiter_on(store, per_minute=100), clock, 5.0)
    assert store.paused.wait(10)
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank":
            thread.join(10)
    assert [record.getMessage() for record in caplog.records] == [
        "could not share a pause with other processes: the folder is gone"
    ]
