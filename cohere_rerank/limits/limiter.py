"""Where requests wait for their turn. The shell around the decisions: it alone waits, and asks stores.

Whoever waits sleeps on the clock it was given and looks again: no lock is held and no thread, loop or task is woken by
another, so that all of them can share a gate. How long to sleep is known well enough: the decisions can tell when a
send can go that so many others go before.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import rerank_url
from cohere_rerank._wire.contract import TOO_MANY_REQUESTS

from .adaptive import AUTO, Adaptive
from .memory import MemoryStore
from .queue import Turns
from .rate_limit import PRESETS

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock, Deadline
    from cohere_rerank._settings import Config

    from .rate_limit import RateLimit, Store

__all__ = ["Gate", "gate_for"]

_NAP_MIN_S, _NAP_MAX_S = 0.001, 1.0  # who waits longer than the latter looks again after half of it
_GAP_MAX_S = 0.05  # between two looks at whether a slot is free, which nobody can foresee
_PAUSE_MIN_S = 1.0  # after a 429 without a hint
_MANY, _IDLE_S = 1000, 3600.0  # gates of keys that nobody has used for so long are forgotten when there are many


class _Waiter:
    """One request in front of a gate."""

    __slots__ = ("has_slot", "is_served", "place")

    def __init__(self, turns: Turns, lane: int) -> None:
        self.place = turns.join(lane)
        self.has_slot = False
        self.is_served = False


class Gate:
    """Lets requests go one by one as a limit allows, interactive ones before those of a batch.

    Args:
        limit: What is allowed.
        store: Where that is counted.
    """

    def __init__(self, limit: RateLimit, store: Store) -> None:
        self._limit = limit
        self._store = store
        self._memory = store if isinstance(store, MemoryStore) else None
        self._lock = threading.Lock()
        self._turns = Turns()
        self._n_busy = 0  # requests under way, and the one about to be if the store grants it
        self._gap_s = 0.0  # from the end of one request to that of the next, of late
        self._ended_s: float | None = None  # when the last request ended
        self._next_s: float | None = None  # when a shared store is likely to grant again; None: perhaps at once
        self._window_s = -math.inf  # when the period began in which requests are sent now
        self._pause_until_s = -math.inf
        self._clock: Clock | None = None

    def enter(self, clock: Clock, deadline: Deadline, lane: int) -> None:
        """Wait for a turn. Each time it returns, one `leave` must follow.

        Args:
            clock: The time, and how to wait.
            deadline: When the call must have ended.
            lane: 0 for interactive calls, 1 for those of a batch; lower ones go first.

        Raises:
            RateLimitWaitError: The turn cannot come before the deadline. Raised as soon as that is certain.
            RateLimitStoreError: The limit's store cannot say.
        """
        with self._waiting(clock, lane) as waiter:
            while not waiter.is_served:
                now_s = clock.monotonic()
                if self._may_ask(waiter, now_s):
                    self._told(waiter, self._store.take(self._limit, now_s), now_s)
                if not waiter.is_served:
                    clock.sleep(self._nap_s(waiter, now_s, deadline))

    async def enter_async(self, clock: Clock, deadline: Deadline, lane: int) -> None:
        """As `enter`, in a task; one that is cancelled leaves its turn to the next."""
        with self._waiting(clock, lane) as waiter:
            while not waiter.is_served:
                now_s = clock.monotonic()
                if self._may_ask(waiter, now_s):
                    self._told(waiter, await self._take_async(now_s), now_s)
                if not waiter.is_served:
                    await clock.async_sleep(self._nap_s(waiter, now_s, deadline))

    def leave(self) -> None:
        """A request that was let go has ended, however it did."""
        assert self._clock is not None, "leave() comes after enter()"
        now_s = self._clock.monotonic()
        with self._lock:
            self._n_busy -= 1
            if self._ended_s is not None:
                self._gap_s += (now_s - self._ended_s - self._gap_s) / 8  # a moving mean over some eight of them
            self._ended_s = now_s
        if self._memory is not None:
            self._memory.ended(self._limit, now_s)

    def heard(self, clock: Clock, status: int, headers: Mapping[str, str], retry_after_s: float | None) -> None:
        """Learn from a reply. A 429 makes all who share the limit pause.

        The pause is as long as the server asks for, or lasts until the period ends that began with its first request.

        Args:
            clock: The time.
            status: The reply's status.
            headers: Its headers, names in lower case.
            retry_after_s: The wait that it asks for, in seconds; None if it does not.
        """
        now_s = clock.monotonic()
        if self._memory is not None:
            self._memory.heard(self._limit, now_s, status, headers)
        if status != TOO_MANY_REQUESTS:
            return
        if retry_after_s is None:
            retry_after_s = max(_PAUSE_MIN_S, self._window_s + self._limit.period_s - now_s)
        with self._lock:
            is_news = now_s + retry_after_s > self._pause_until_s
            self._pause_until_s = max(self._pause_until_s, now_s + retry_after_s)
        if is_news:
            self._pause(retry_after_s, now_s)

    def is_forgettable(self) -> bool:
        """Whether nobody waits or is under way, and nothing it remembers matters any more."""
        if self._turns or self._n_busy or self._ended_s is None or self._clock is None:
            return False
        return self._clock.monotonic() - self._ended_s > max(_IDLE_S, self._limit.period_s)

    def _pause(self, seconds: float, now_s: float) -> None:
        """Tell all who share the limit."""
        from logging import getLogger

        getLogger("cohere_rerank").info("429: nobody who shares this limit sends for %.3g s", seconds)
        pause = (self._limit, seconds, now_s)
        if self._memory is not None:
            self._memory.pause(*pause)
        else:  # a reply may be heard in an event loop, which must not wait for a store
            threading.Thread(target=self._tell_store, args=pause, name="cohere_rerank", daemon=True).start()

    def _tell_store(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        try:
            self._store.pause(limit, seconds, now_s)
        except Exception as error:  # noqa: BLE001 - of any store; who sends next is told of it
            from logging import getLogger

            getLogger("cohere_rerank").warning("a pause could not be shared: %s", error)

    async def _take_async(self, now_s: float) -> float:
        if self._memory is not None:
            return self._memory.take(self._limit, now_s)
        take_async: Any = getattr(self._store, "take_async", None)
        if take_async is not None:
            wait_s: float = await take_async(self._limit, now_s)
            return wait_s
        from anyio import to_thread

        return await to_thread.run_sync(self._store.take, self._limit, now_s)

    @contextmanager
    def _waiting(self, clock: Clock, lane: int) -> Iterator[_Waiter]:
        """A place in the queue, which is given up if the wait is."""
        self._clock = clock
        with self._lock:
            waiter = _Waiter(self._turns, lane)
        try:
            yield waiter
        finally:
            if not waiter.is_served:
                with self._lock:
                    self._n_busy -= waiter.has_slot
                    self._turns.leave(waiter.place)

    def _may_ask(self, waiter: _Waiter, now_s: float) -> bool:
        """Whether it is this one's turn, with a slot for it, so that the store decides."""
        with self._lock:
            waiter.has_slot = (
                now_s >= self._pause_until_s
                and self._turns.first() == waiter.place
                and (self._limit.concurrency is None or self._n_busy < self._limit.concurrency)
            )
            self._n_busy += waiter.has_slot
        return waiter.has_slot

    def _told(self, waiter: _Waiter, wait_s: float, now_s: float) -> None:
        """The store has decided: 0.0 lets the request go."""
        with self._lock:
            if wait_s > 0:
                self._n_busy -= 1
                waiter.has_slot = False
                self._next_s = now_s + wait_s
                return
            waiter.is_served = True
            self._turns.serve(waiter.place)
            if now_s >= self._window_s + self._limit.period_s:
                self._window_s = now_s
            if not self._turns:
                self._next_s = None
            elif self._next_s is not None:
                self._next_s += self._limit.step_s

    def _nap_s(self, waiter: _Waiter, now_s: float, deadline: Deadline) -> float:
        """How long to sleep before looking again.

        Raises:
            RateLimitWaitError: Until after the deadline.
        """
        with self._lock:
            n_ahead = self._turns.n_ahead(waiter.place)
            is_full = self._limit.concurrency is not None and self._n_busy >= self._limit.concurrency
            gap_s = min(self._gap_s, _GAP_MAX_S)
        wait_s, left_s = self._wait_s(now_s, n_ahead), deadline.remaining()
        if wait_s >= left_s:
            from cohere_rerank._transport.errors import turn_after_deadline

            raise turn_after_deadline(wait_s, deadline)
        nap_s = wait_s if wait_s <= _NAP_MAX_S else max(_NAP_MAX_S, wait_s / 2)
        least_s = max(gap_s, _NAP_MIN_S) * (n_ahead + 1) if is_full else min(_NAP_MIN_S * (n_ahead + 1), _GAP_MAX_S)
        return min(left_s, max(nap_s, least_s))

    def _wait_s(self, now_s: float, n_ahead: int) -> float:
        """Seconds until a request can go that so many others go before; not more than it will be."""
        wait_s = max(0.0, self._pause_until_s - now_s)
        if self._memory is not None:
            return max(wait_s, self._memory.wait_s(self._limit, now_s, n_ahead))
        if self._next_s is None:
            return wait_s
        # Without a burst, all of a period may go at once.
        limit = self._limit
        ahead_s = n_ahead // limit.requests * limit.period_s if limit.burst is None else n_ahead * limit.step_s
        return max(wait_s, self._next_s - now_s) + ahead_s


_gates: dict[tuple[object, ...], Gate] = {}


def gate_for(config: Config) -> Gate:
    """The gate for a client's settings: one for each limit, address and key in a process.

    A forked process has gates of its own, and so a count of its own; a store with processes in mind shares it.
    """
    assert config.limit is not None, "a client without a limit has no gate"
    limit = PRESETS.get(config.limit, config.limit) if isinstance(config.limit, str) else config.limit
    key = getattr(config.api_key, "value", None)
    who = key if isinstance(key, Hashable) else id(key)  # a function that gives keys, as an object of any class
    at: tuple[object, ...] = (os.getpid(), limit, rerank_url(config.base_url), who, config.clock)
    gate = _gates.get(at)
    if gate is None:
        if len(_gates) >= _MANY:
            for old in [at for at, gate in list(_gates.items()) if gate.is_forgettable()]:
                _gates.pop(old, None)
        gate = _gates.setdefault(at, _new_gate(limit))  # atomic: two threads get the same one
    return gate


def _new_gate(limit: RateLimit | str) -> Gate:
    if isinstance(limit, str):  # "auto"
        return Gate(AUTO, MemoryStore(Adaptive))
    return Gate(limit, limit.store or MemoryStore())
