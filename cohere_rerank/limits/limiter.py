"""Make requests wait until a limit allows them. Only this module waits and calls stores.

Each waiter sleeps on its own clock and checks again. No waiter holds a lock while it sleeps, and none wakes another,
so threads, tasks and event loops can share one limiter. The algorithms forecast the wait for each position in the
queue, so that a waiter checks rarely.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from cohere_rerank._wire.contract import TOO_MANY_REQUESTS

from .adaptive import AUTO, Adaptive
from .memory import MemoryStore
from .queue import WaitQueue
from .rate_limit import PRESETS

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock, Deadline
    from cohere_rerank.errors import RateLimitWaitError

    from .rate_limit import RateLimit, Store

    WaitError = Callable[[float, Deadline], RateLimitWaitError]  # of the wait in seconds

__all__ = ["Limiter", "limiter_for"]

_POLL_MIN_S, _POLL_MAX_S = 0.001, 1.0  # a longer wait than the maximum is checked again after half of it
_COMPLETION_POLL_MAX_S = 0.05  # between two checks for a free slot: when a request completes cannot be foreseen
_COMPLETION_SMOOTHING = 1 / 8  # weight of the newest interval in the moving average
_HEADROOM = 5  # a request without need is sent only while a fifth of the burst remains
_MIN_PAUSE_S = 1.0  # after a 429 without a hint; doubles each time if the period of the server is not known
_MAX_LIMITERS, _IDLE_S = 1000, 3600.0  # above this number, limiters unused for this long are evicted


class _Waiter:
    """One request that waits for a limiter."""

    __slots__ = ("has_slot", "is_granted", "ticket")

    def __init__(self, queue: WaitQueue, traffic_class: int) -> None:
        self.ticket = queue.enqueue(traffic_class)
        self.has_slot = False
        self.is_granted = False


class Limiter:
    """Lets requests through one by one as a limit allows, interactive requests before those of a batch.

    Args:
        limit: The limit to enforce.
        store: Where the requests are counted.
        wait_error: Returns the error for a wait in seconds that is longer than a deadline allows.
        knows_period: Whether the server counts by the period of the limit.
    """

    def __init__(self, limit: RateLimit, store: Store, wait_error: WaitError, *, knows_period: bool = True) -> None:
        self._limit = limit
        self._store = store
        self._memory = store if isinstance(store, MemoryStore) else None
        self._wait_error = wait_error
        self._knows_period = knows_period
        self._lock = threading.Lock()
        self._queue = WaitQueue()
        self._n_in_flight = 0  # includes the request that is asking the store at the moment
        self._completion_interval_s = 0.0  # recent average time between two completions
        self._completed_s: float | None = None  # when the last request completed
        self._next_grant_s: float | None = None  # when a shared store will probably grant again; None: perhaps at once
        self._period_start_s = -math.inf  # when the current period of requests began
        self._paused_until_s = -math.inf
        self._must_probe = False  # after the pause, one request at a time until one of them is not rejected
        self._n_pauses_without_hint = 0  # since the last response that was not a 429
        self._clock: Clock | None = None

    def acquire(self, clock: Clock, deadline: Deadline, traffic_class: int) -> None:
        """Wait until one request may be sent. Each return must be followed by one `release`.

        Args:
            clock: Tells the time and waits.
            deadline: When the call must have ended.
            traffic_class: 0 for interactive calls, 1 for calls of a batch. Lower classes go first.

        Raises:
            RateLimitWaitError: The request cannot be sent before the deadline. Raised as soon as that is certain.
            RateLimitStoreError: The store of the limit cannot answer.
        """
        with self._waiting(clock, traffic_class) as waiter:
            while not waiter.is_granted:
                now_s = clock.monotonic()
                if self._try_reserve(waiter, now_s):
                    self._apply_decision(waiter, self._store.acquire(self._limit, now_s), now_s)
                if not waiter.is_granted:
                    clock.sleep(self._sleep_s(waiter, now_s, deadline))

    async def acquire_async(self, clock: Clock, deadline: Deadline, traffic_class: int) -> None:
        """Do the same as `acquire` in a task. A cancelled task leaves its place to the next one."""
        with self._waiting(clock, traffic_class) as waiter:
            while not waiter.is_granted:
                now_s = clock.monotonic()
                if self._try_reserve(waiter, now_s):
                    self._apply_decision(waiter, await self._acquire_from_store(now_s), now_s)
                if not waiter.is_granted:
                    await clock.async_sleep(self._sleep_s(waiter, now_s, deadline))

    def try_acquire(self, clock: Clock) -> bool:
        """Return whether a request may be sent at once, with room for several more. It must then be released.

        Never if other processes share the limit, because they may need the room.
        """
        memory, limit = self._memory, self._limit
        if memory is None:
            return False
        now_s, n_more = clock.monotonic(), max(1, (limit.burst or limit.requests) // _HEADROOM)
        with self._lock:
            if self._queue or self._is_full() or self._must_probe or now_s < self._paused_until_s:
                return False
            if limit is not AUTO and memory.wait_s(limit, now_s, n_more) > 0:
                return False
            if memory.acquire(limit, now_s) > 0:
                return False
            self._n_in_flight += 1
            self._clock = clock
            return True

    def release(self) -> None:
        """Record that a request has completed, successfully or not."""
        assert self._clock is not None, "release() without acquire()"
        now_s = self._clock.monotonic()
        with self._lock:
            self._n_in_flight -= 1
            if self._completed_s is not None:
                change_s = now_s - self._completed_s - self._completion_interval_s
                self._completion_interval_s += change_s * _COMPLETION_SMOOTHING
            self._completed_s = now_s
        if self._memory is not None:
            self._memory.on_complete(self._limit, now_s)

    def expected_wait_s(self, now_s: float) -> float:
        """Return how long a request that comes now would wait at least, in seconds."""
        with self._lock:
            position, is_full = len(self._queue), self._is_full()
        wait_s = self._wait_s(now_s, position)
        return max(wait_s, (position + 1) * max(self._completion_interval_s, _POLL_MIN_S)) if is_full else wait_s

    def on_response(self, clock: Clock, status: int, headers: Mapping[str, str], retry_after_s: float | None) -> None:
        """Learn from a response. A 429 pauses all requests under this limit.

        The pause lasts as long as the server asks for. Without a hint it lasts until the period ends that began with
        its first request, and at least one second; if the period of the server is not known, it lasts one second, and
        twice as long each time. No pause is longer than `RateLimit.max_pause_s`. After a pause that was cut or guessed,
        one request probes the server before the others follow.

        Args:
            clock: Tells the time.
            status: The status code.
            headers: The headers, with names in lower case.
            retry_after_s: The wait in seconds that the response asks for. None: it asks for none.
        """
        now_s = clock.monotonic()
        if self._memory is not None:
            self._memory.on_response(self._limit, now_s, status, headers)
        with self._lock:
            is_pause_over = now_s >= self._paused_until_s
            if status != TOO_MANY_REQUESTS:
                if is_pause_over:
                    self._must_probe, self._n_pauses_without_hint = False, 0
                return
            pause_s = self._pause_s(now_s, retry_after_s)
            if now_s + pause_s <= self._paused_until_s:
                return
            if retry_after_s is None and is_pause_over:
                self._n_pauses_without_hint += 1
            self._paused_until_s = now_s + pause_s
            is_guess = not self._knows_period if retry_after_s is None else retry_after_s > pause_s
            self._must_probe = self._must_probe or is_guess
        self._pause_store(pause_s, now_s)

    def _pause_s(self, now_s: float, retry_after_s: float | None) -> float:
        longest_s = self._limit.max_pause_s
        if retry_after_s is not None:
            return min(retry_after_s, longest_s)
        if self._knows_period:
            return max(_MIN_PAUSE_S, self._period_start_s + self._limit.period_s - now_s)
        return min(_MIN_PAUSE_S * 2.0**self._n_pauses_without_hint, self._limit.period_s)

    def is_evictable(self) -> bool:
        """Return whether nothing waits or is in flight, and the state no longer matters."""
        if self._queue or self._n_in_flight or self._completed_s is None or self._clock is None:
            return False
        return self._clock.monotonic() - self._completed_s > max(_IDLE_S, self._limit.period_s)

    def _pause_store(self, seconds: float, now_s: float) -> None:
        from logging import getLogger

        getLogger("cohere_rerank").info("status 429: pausing all requests under this limit for %.3g s", seconds)
        pause = (self._limit, seconds, now_s)
        if self._memory is not None:
            self._memory.pause(*pause)
        else:  # the caller may be an event loop, which must not wait for a store
            run, arguments = copy_context().run, (self._pause_shared_store, *pause)
            threading.Thread(target=run, args=arguments, name="cohere_rerank", daemon=True).start()

    def _pause_shared_store(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        try:
            self._store.pause(limit, seconds, now_s)
        except Exception as error:  # noqa: BLE001 - of any store; the next acquire reports that it does not work
            from logging import getLogger

            getLogger("cohere_rerank").warning("could not share a pause with other processes: %s", error)

    async def _acquire_from_store(self, now_s: float) -> float:
        if self._memory is not None:
            return self._memory.acquire(self._limit, now_s)
        acquire_async: Any = getattr(self._store, "acquire_async", None)
        if acquire_async is not None:
            wait_s: float = await acquire_async(self._limit, now_s)
            return wait_s
        from anyio import to_thread

        return await to_thread.run_sync(self._store.acquire, self._limit, now_s)

    @contextmanager
    def _waiting(self, clock: Clock, traffic_class: int) -> Iterator[_Waiter]:
        """Add a waiter to the queue, and remove it if the wait ends without a grant."""
        self._clock = clock
        with self._lock:
            waiter = _Waiter(self._queue, traffic_class)
        try:
            yield waiter
        finally:
            if not waiter.is_granted:
                with self._lock:
                    self._n_in_flight -= waiter.has_slot
                    self._queue.cancel(waiter.ticket)

    def _try_reserve(self, waiter: _Waiter, now_s: float) -> bool:
        """Reserve a slot if this waiter may ask the store now."""
        with self._lock:
            waiter.has_slot = now_s >= self._paused_until_s and not self._is_full() and self._is_next(waiter, now_s)
            self._n_in_flight += waiter.has_slot
        return waiter.has_slot

    def _is_next(self, waiter: _Waiter, now_s: float) -> bool:
        """Return whether the waiter is at the head of the queue, or all that wait could be granted now."""
        if self._queue.head() == waiter.ticket:
            return True
        if self._memory is None or self._limit.concurrency is not None or self._must_probe:
            return False
        # The others are asleep for a moment. To wait for them would limit the rate to one request per sleep.
        return self._memory.wait_s(self._limit, now_s, len(self._queue) - 1) == 0.0

    def _is_full(self) -> bool:
        concurrency = 1 if self._must_probe else self._limit.concurrency
        return concurrency is not None and self._n_in_flight >= concurrency

    def _apply_decision(self, waiter: _Waiter, wait_s: float, now_s: float) -> None:
        """Apply the answer of the store: 0.0 grants the request."""
        with self._lock:
            if wait_s > 0:
                self._n_in_flight -= 1
                waiter.has_slot = False
                self._next_grant_s = now_s + wait_s
                return
            waiter.is_granted = True
            self._queue.dequeue(waiter.ticket)
            if now_s >= self._period_start_s + self._limit.period_s:
                self._period_start_s = now_s
            if not self._queue:
                self._next_grant_s = None
            elif self._next_grant_s is not None:
                self._next_grant_s += self._limit.emission_interval_s

    def _sleep_s(self, waiter: _Waiter, now_s: float, deadline: Deadline) -> float:
        """Return the seconds to sleep before the next check.

        Raises:
            RateLimitWaitError: The wait lasts longer than the deadline allows.
        """
        with self._lock:
            position = self._queue.position(waiter.ticket)
            is_full = self._is_full()
            interval_s = min(self._completion_interval_s, _COMPLETION_POLL_MAX_S)
        wait_s, left_s = self._wait_s(now_s, position), deadline.remaining()
        if wait_s >= left_s:
            raise self._wait_error(wait_s, deadline)
        sleep_s = wait_s if wait_s <= _POLL_MAX_S else max(_POLL_MAX_S, wait_s / 2)
        if is_full:
            min_sleep_s = max(interval_s, _POLL_MIN_S) * (position + 1)
        else:
            min_sleep_s = min(_POLL_MIN_S * (position + 1), _COMPLETION_POLL_MAX_S)
        return min(left_s, max(sleep_s, min_sleep_s))

    def _wait_s(self, now_s: float, position: int) -> float:
        """Return a lower bound of the seconds until the request after *position* others can be sent."""
        wait_s = max(0.0, self._paused_until_s - now_s)
        if self._memory is not None:
            return max(wait_s, self._memory.wait_s(self._limit, now_s, position))
        if self._next_grant_s is None:
            return wait_s
        limit = self._limit
        if limit.burst is None:  # all requests of a period may be sent at once
            ahead_s = position // limit.requests * limit.period_s
        else:
            ahead_s = position * limit.emission_interval_s
        return max(wait_s, self._next_grant_s - now_s) + ahead_s


_limiters: dict[tuple[object, ...], Limiter] = {}


def limiter_for(
    limit: RateLimit | str,
    *,
    address: str,
    key: Any,
    clock: Clock | None,
    is_cohere: bool,
    wait_error: WaitError,
) -> Limiter:
    """Return the limiter of a client: a process has one for each limit, address, key and clock.

    A forked process gets new limiters. It counts its requests separately, unless a store shares the count.

    Args:
        limit: A limit or the name of one: "trial", "production" or "auto".
        address: The URL that the requests go to.
        key: The API key, or a function that returns keys.
        clock: The clock in the settings of the client.
        is_cohere: Whether Cohere's published limits hold at the address.
        wait_error: As for `Limiter`.
    """
    limit = PRESETS.get(limit, limit) if isinstance(limit, str) else limit
    key_id = key if isinstance(key, Hashable) else id(key)  # a function can be an object of a class without a hash
    limiter_id: tuple[object, ...] = (os.getpid(), limit, address, key_id, clock)
    limiter = _limiters.get(limiter_id)
    if limiter is None:
        if len(_limiters) >= _MAX_LIMITERS:
            for old in [old for old, limiter in list(_limiters.items()) if limiter.is_evictable()]:
                _limiters.pop(old, None)
        limiter = _limiters.setdefault(limiter_id, _new_limiter(limit, is_cohere, wait_error))  # atomic
    return limiter


def _new_limiter(limit: RateLimit | str, is_cohere: bool, wait_error: WaitError) -> Limiter:
    if not isinstance(limit, str):
        return Limiter(limit, limit.store or MemoryStore(), wait_error)
    if is_cohere:
        return Limiter(AUTO, MemoryStore(Adaptive), wait_error)
    return Limiter(AUTO, MemoryStore(partial(Adaptive, slow_start=True)), wait_error, knows_period=False)
