"""Waiting for a turn, in threads and in tasks: in order, and as soon as the limit allows."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from cohere_rerank._clock import Deadline, SystemClock
from tests.limits.crowd import BACKENDS, Crowd, new_gate
from tests.limits.test_algorithms import most_in_a_period
from tests.limits.timeline import Timeline


@BACKENDS
def test_tasks_go_in_order_of_arrival_and_as_soon_as_the_limit_allows(backend):
    """25 wanted at once of 10 a minute: 10 now, 10 a minute later, 5 after two."""
    crowd = Crowd(new_gate(per_minute=10))
    for name in range(25):
        crowd.add(name)
    went = crowd.run(backend)
    assert [name for name, _ in went] == list(range(25))
    assert [round(at_s) for _, at_s in went] == [0] * 10 + [60] * 10 + [120] * 5


@BACKENDS
def test_paced_tasks_go_one_by_one(backend):
    """After the burst, of which one is kept back, one a step."""
    crowd = Crowd(new_gate(per_minute=60, burst=4))
    for name in range(10):
        crowd.add(name)
    times_s = [at_s for _, at_s in crowd.run(backend)]
    assert times_s[:3] == [0.0] * 3
    assert times_s[3:] == pytest.approx([1.01 * k for k in range(1, 8)], abs=0.02)


def test_each_waiting_task_looks_only_now_and_then():
    """300 tasks that wait for up to five minutes are not a load."""
    crowd = Crowd(new_gate(per_minute=60, burst=1))
    naps = []
    sleep, crowd.clock.async_sleep = crowd.clock.async_sleep, lambda s: naps.append(s) or sleep(s)
    for name in range(300):
        crowd.add(name)
    assert len(crowd.run()) == 300
    assert len(naps) < 300 * 15


@BACKENDS
def test_interactive_calls_overtake_a_batch(backend):
    """A call that comes while a batch waits gets the next turn."""
    crowd = Crowd(new_gate(per_minute=60, burst=1))
    for k in range(20):
        crowd.add(f"bulk {k}", lane=1)
    crowd.add("call", lane=0, after_s=3.5)
    names = [name for name, _ in crowd.run(backend)]
    assert names.index("call") == 4
    assert [name for name in names if name != "call"] == [f"bulk {k}" for k in range(20)]


def test_a_batch_is_not_starved_by_interactive_calls():
    """Every tenth turn is its own, counted from when it came: the very first call was served before."""
    crowd = Crowd(new_gate(per_minute=60, burst=1))
    for _ in range(60):
        crowd.add("call")
        crowd.add("bulk", lane=1)
    names = [name for name, _ in crowd.run()][:60]
    assert [k for k, name in enumerate(names) if name == "bulk"] == [10, 20, 30, 40, 50]


@BACKENDS
def test_no_more_than_the_concurrency_are_under_way(backend):
    """A cap of 3 holds, and is used."""
    crowd = Crowd(new_gate(per_minute=1000, concurrency=3), reply_s=0.5)
    for name in range(12):
        crowd.add(name)
    went = crowd.run(backend)
    assert crowd.max_busy == 3
    assert [name for name, _ in went] == list(range(12))
    assert went[-1][1] <= 1.5 + 0.3


@BACKENDS
def test_a_cancelled_task_gives_its_turn_to_the_next(backend):
    """No turn is lost, and none taken out of order."""
    gate, clock, went = new_gate(per_minute=60, burst=1), Timeline(), []

    async def main():
        scopes = [anyio.CancelScope() for _ in range(5)]

        async def one(name):
            with scopes[name]:
                await gate.enter_async(clock, Deadline(clock, 1e6), 0)
                went.append((name, round(clock.now_s - 1_000.0)))
                gate.leave()

        async with anyio.create_task_group() as group:
            for name in range(5):
                group.start_soon(one, name)
                await clock.async_sleep(0.1)
            scopes[1].cancel()
            scopes[3].cancel()

    clock.run(backend, main)
    assert went == [(0, 0), (2, 1), (4, 2)]


def test_threads_share_a_gate():
    """Four threads with five sends each: all go, never more than five in half a second."""
    gate, clock, times_s = new_gate(requests=5, period_s=0.5), SystemClock(), []

    def work():
        for _ in range(5):
            gate.enter(clock, Deadline(clock, 60), 0)
            times_s.append(time.monotonic())
            gate.leave()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times_s) == 20
    assert most_in_a_period(times_s, 0.45) <= 5  # a thread may be held up between its turn and its clock


def test_threads_and_tasks_share_a_gate(clock):
    """What a thread has sent counts for a task."""
    gate, crowd_clock = new_gate(per_minute=1), Timeline(clock.monotonic())
    gate.enter(clock, Deadline(clock, 100), 0)
    gate.leave()

    async def one():
        await gate.enter_async(crowd_clock, Deadline(crowd_clock, 100), 0)

    crowd_clock.run("asyncio", one)
    assert crowd_clock.now_s - clock.monotonic() == pytest.approx(60, abs=0.1)
