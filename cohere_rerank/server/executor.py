"""Runs work in a bounded number of threads, with a bounded wait queue. Rejects the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .http import HttpError

_T = TypeVar("_T")
_RETRY_AFTER_S = 1


class BoundedExecutor:
    """A bounded thread pool with a bounded wait queue, for one event loop.

    A free thread takes the next job by itself. If the event loop assigned the jobs, a flood of rejected requests would
    delay the jobs.

    Args:
        n_threads: The number of jobs that run at the same time.
        n_waiting: The number of further requests that are admitted and wait.
        on_change: Called with the number of admitted requests and the number of busy threads when one of them changes.
            Any thread may call it, but only one at a time.
    """

    def __init__(self, n_threads: int, n_waiting: int, on_change: Callable[[int, int], None]) -> None:
        self._executor = ThreadPoolExecutor(n_threads, thread_name_prefix="cohere_rerank_score")
        self._capacity = n_threads + n_waiting
        self._n_admitted = self._n_running = 0
        self._lock = threading.Lock()
        self._on_change = on_change

    @property
    def is_full(self) -> bool:
        """Whether the next request would be rejected."""
        return self._n_admitted >= self._capacity

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for one request, from before its body is read until its response is ready.

        Raises:
            HttpError: 503, if the queue is full.
        """
        if self.is_full:
            message = "the server is busy: its queue is full, please wait and try again later"
            raise HttpError(503, message, {"retry-after": str(_RETRY_AFTER_S)})
        with self._counting(admitted=1):
            yield

    async def run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Return the result of the function, which runs in a thread.

        A job that is cancelled while it waits never runs. A job that runs cannot be stopped.
        """
        pending = [(function, arguments)]

        def job() -> _T:
            with self._counting(running=1):
                pending_function, pending_arguments = pending.pop()
                return pending_function(*pending_arguments)

        future = self._executor.submit(job)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # A cancelled job stays in the executor's queue for a while. It must not keep its request in memory.
            pending.clear()

    @contextmanager
    def _counting(self, **changes: int) -> Iterator[None]:
        self._count(**changes)
        try:
            yield
        finally:
            self._count(**{name: -n for name, n in changes.items()})

    def _count(self, *, admitted: int = 0, running: int = 0) -> None:
        with self._lock:
            self._n_admitted += admitted
            self._n_running += running
            self._on_change(self._n_admitted, self._n_running)

    def close(self) -> None:
        """Accept no more jobs. Running jobs finish by themselves."""
        self._executor.shutdown(wait=False)
