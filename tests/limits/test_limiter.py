"""Threads and tasks wait for a limiter in order, and send as soon as the limit allows."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from cohere_rerank._clock import Deadline, SystemClock
from tests.limits.test_algorithms import most_in_a_period
from tests.limits.virtual_clock import VirtualClock
from tests.limits.workload import BACKENDS, Workload, new_limiter


@BACKENDS
def test_tasks_send_in_order_of_arrival_and_as_soon_as_the_limit_allows(backend):
    """Of 25 requests under 10 a minute, 10 are sent at once, 10 after a minute and 5 after two."""
    workload = Workload(new_limiter(per_minute=10))
    for name in range(25):
        workload.add(name)
    sent = workload.run(backend)
    assert [name for name, _ in sent] == list(range(25))
    assert [round(at_s) for _, at_s in sent] == [0] * 10 + [60] * 10 + [120] * 5


@BACKENDS
def test_paced_tasks_send_one_by_one(backend):
    """After the burst, of which one request is reserved, one request is sent per interval."""
    workload = Workload(new_limiter(per_minute=60, burst=4))
    for name in range(10):
        workload.add(name)
    times_s = [at_s for _, at_s in workload.run(backend)]
    assert times_s[:3] == [0.0] * 3
    assert times_s[3:] == pytest.approx([1.01 * k for k in range(1, 8)], abs=0.02)


def test_each_waiting_task_polls_rarely():
    """300 tasks that wait for up to five minutes wake up fewer than 15 times each."""
    workload = Workload(new_limiter(per_minute=60, burst=1))
    sleeps = []
    sleep, workload.clock.async_sleep = workload.clock.async_sleep, lambda s: sleeps.append(s) or sleep(s)
    for name in range(300):
        workload.add(name)
    assert len(workload.run()) == 300
    assert len(sleeps) < 300 * 15


@BACKENDS
def test_interactive_calls_overtake_a_batch(backend):
    """A call that comes while a batch waits is the next one to be sent."""
    workload = Workload(new_limiter(per_minute=60, burst=1))
    for k in range(20):
        workload.add(f"bulk {k}", traffic_class=1)
    workload.add("call", traffic_class=0, after_s=3.5)
    names = [name for name, _ in workload.run(backend)]
    assert names.index("call") == 4
    assert [name for name in names if name != "call"] == [f"bulk {k}" for k in range(20)]


def test_a_batch_is_not_starved_by_interactive_calls():
    """Every tenth request is of the batch, counted from its arrival: the first call was sent before that."""
    workload = Workload(new_limiter(per_minute=60, burst=1))
    for _ in range(60):
        workload.add("call")
        workload.add("bulk", traffic_class=1)
    names = [name for name, _ in workload.run()][:60]
    assert [k for k, name in enumerate(names) if name == "bulk"] == [10, 20, 30, 40, 50]


@BACKENDS
def test_no_more_requests_than_the_concurrency_are_in_flight(backend):
    """A cap of 3 holds and is used in full."""
    workload = Workload(new_limiter(per_minute=1000, concurrency=3), reply_s=0.5)
    for name in range(12):
        workload.add(name)
    sent = workload.run(backend)
    assert workload.max_in_flight == 3
    assert [name for name, _ in sent] == list(range(12))
    assert sent[-1][1] <= 1.5 + 0.3


@BACKENDS
def test_a_cancelled_task_leaves_its_place_to_the_next(backend):
    """No grant is lost, and the order stays."""
    limiter, clock, sent = new_limiter(per_minute=60, burst=1), VirtualClock(), []

    async def main():
        scopes = [anyio.CancelScope() for _ in range(5)]

        async def one(name):
            with scopes[name]:
                await limiter.acquire_async(clock, Deadline(clock, 1e6), 0)
                sent.append((name, round(clock.now_s - 1_000.0)))
                limiter.release()

        async with anyio.create_task_group() as group:
            for name in range(5):
                group.start_soon(one, name)
                await clock.async_sleep(0.1)
            scopes[1].cancel()
            scopes[3].cancel()

    clock.run(backend, main)
    assert sent == [(0, 0), (2, 1), (4, 2)]


def test_threads_share_a_limiter():
    """Four threads send five requests each: all are sent, never more than five in half a second."""
    limiter, clock, times_s = new_limiter(requests=5, period_s=0.5), SystemClock(), []

    def work():
        for _ in range(5):
            limiter.acquire(clock, Deadline(clock, 60), 0)
            times_s.append(time.monotonic())
            limiter.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times_s) == 20
    assert most_in_a_period(times_s, 0.45) <= 5  # a thread may be delayed between its grant and its clock


def test_threads_and_tasks_share_a_limiter(clock):
    """A request that a thread sent counts for a task."""
    limiter, virtual_clock = new_limiter(per_minute=1), VirtualClock(clock.monotonic())
    limiter.acquire(clock, Deadline(clock, 100), 0)
    limiter.release()

    async def one():
        await limiter.acquire_async(virtual_clock, Deadline(virtual_clock, 100), 0)

    virtual_clock.run("asyncio", one)
    assert virtual_clock.now_s - clock.monotonic() == pytest.approx(60, abs=0.1)
