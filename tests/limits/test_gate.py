"""Waiting for a turn: in threads and in tasks, alone and shared, in order, and no longer than a call may take."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import anyio
import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, RateLimit, RateLimitStoreError, RateLimitWaitError
from cohere_rerank._retry import Deadline, SystemClock
from cohere_rerank.limits import gate as gate_module
from cohere_rerank.limits.gate import Gate, gate_for
from cohere_rerank.limits.store import MemoryStore
from tests.clock import FakeClock
from tests.limits.test_decisions import most_in_a_period
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


# Tasks ----------------------------------------------------------------------------------------------


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


# Deadlines ------------------------------------------------------------------------------------------


def test_a_turn_after_the_deadline_is_refused_at_once(clock):
    """The error says how long it would take and what was left, and is one that timeouts are caught by."""
    gate = new_gate(per_minute=1)
    gate.enter(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError) as caught:
        gate.enter(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() == started_s
    assert caught.value.wait_s == pytest.approx(60.6)
    assert caught.value.left_s == pytest.approx(10)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, httpx.TimeoutException)
    assert "60.6 s" in str(caught.value)
    assert "10 s" in str(caught.value)


def test_those_ahead_count_when_a_deadline_is_checked():
    """The first of three waits a second, the third would wait three."""
    crowd = Crowd(new_gate(per_minute=60, burst=1), deadline_s=2.5)
    refused = []

    def guarded(task):
        async def one():
            try:
                await task()
            except RateLimitWaitError as error:
                refused.append((crowd.clock.now_s, error.wait_s))

        return one

    for name in range(4):
        crowd.add(name)
    crowd.tasks = [guarded(task) for task in crowd.tasks]
    crowd.run()
    assert [name for name, _ in crowd.went] == [0, 1, 2]
    assert refused == [(1_000.0, pytest.approx(3.03))]


def test_a_slot_that_never_comes_free_is_waited_for_until_the_deadline(clock):
    gate = new_gate(per_minute=100, concurrency=1)
    gate.enter(clock, Deadline(clock, 10), 0)
    started_s = clock.monotonic()
    with pytest.raises(RateLimitWaitError):
        gate.enter(clock, Deadline(clock, 10), 0)
    assert clock.monotonic() - started_s == pytest.approx(10)
    gate.leave()
    gate.enter(clock, Deadline(clock, 10), 0)


# 429 ------------------------------------------------------------------------------------------------


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


# Threads --------------------------------------------------------------------------------------------


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


# Shared stores --------------------------------------------------------------------------------------


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


# One gate a key -------------------------------------------------------------------------------------


def gate_of(key="k", url="https://api.example", limit="trial", client=ClientV2, **options):
    return gate_for(client(key, base_url=url, limit=limit, **options)._config)


def test_clients_with_the_same_key_limit_and_address_share_a_gate():
    """However the address is written, and whichever client it is."""
    gate = gate_of(limit=RateLimit(per_minute=7))
    assert gate_of(limit=RateLimit(requests=7, period_s=60.0)) is gate
    assert gate_of(limit=RateLimit(per_minute=7), url="https://api.example/v2/") is gate
    assert gate_of(limit=RateLimit(per_minute=7), client=AsyncClientV2) is gate
    assert gate_of(limit=RateLimit(per_minute=7), timeout=5) is gate


def test_another_key_limit_name_or_address_has_a_gate_of_its_own():
    gates = [
        gate_of(),
        gate_of(key="other"),
        gate_of(url="https://other.example"),
        gate_of(limit="production"),
        gate_of(limit="auto"),
        gate_of(limit=RateLimit(per_minute=10, name="other")),
    ]
    assert len(set(gates)) == len(gates)


def test_a_function_that_gives_keys_stands_for_its_keys():
    class Keys:
        __hash__ = None

        def __call__(self):
            return "k"

    keys = Keys()
    assert gate_of(key=keys) is gate_of(key=keys)
    assert gate_of(key=Keys()) is not gate_of(key=keys)


def test_gates_of_keys_that_are_no_longer_used_do_not_pile_up(monkeypatch):
    """A service with a key for each of its users keeps those of the last hour."""
    monkeypatch.setattr(gate_module, "_gates", {})
    clock = FakeClock()

    def used(key):
        gate = gate_of(key, clock=clock)
        gate.enter(clock, Deadline(clock, 10), 0)
        return gate

    busy, waited_for = used("busy"), used("recent")
    for number in range(1200):
        used(f"key {number}").leave()
    assert len(gate_module._gates) == 1202
    clock.advance(3000)
    waited_for.leave()
    clock.advance(700)
    used("new")
    assert len(gate_module._gates) == 3
    assert gate_of("busy", clock=clock) is busy
    assert gate_of("recent", clock=clock) is waited_for


def test_the_presets_mean_what_they_say():
    assert gate_of(limit="trial") is gate_of(limit=RateLimit(per_minute=10))
    assert gate_of(limit="production") is gate_of(limit=RateLimit(per_minute=1000))


def _child(config, queue):
    clock = SystemClock()
    gate = gate_for(config)
    gate.enter(clock, Deadline(clock, 5), 0)
    gate.leave()
    queue.put(os.getpid())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_gate_of_its_own():
    """Even when the parent's is held by a thread that waits at that moment."""
    config = ClientV2("fork", base_url="https://api.example", limit=RateLimit(per_minute=1))._config
    clock, gate = SystemClock(), gate_for(config)
    gate.enter(clock, Deadline(clock, 5), 0)
    gate.leave()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with gate._lock:
        child = context.Process(target=_child, args=(config, queue))
        child.start()
    assert queue.get(timeout=20) == child.pid
    child.join(20)
    assert child.exitcode == 0
