"""Runs work in a bounded number of threads, with a bounded wait queue. Rejects the rest."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from .http import HttpError

_T = TypeVar("_T")
_RETRY_AFTER_S = 1


class BoundedExecutor:
    """A bounded thread pool with a bounded wait queue, for one event loop.

    A free thread takes the next job directly from the queue. If the event loop assigned the jobs, a flood of rejected
    requests would delay the jobs. The threads are daemons, unlike those of `concurrent.futures`. So the process can
    exit while a job still runs.

    Args:
        n_threads: The number of jobs that run at the same time.
        n_waiting: The number of further requests that are admitted and wait.
        on_change: Called with the number of admitted requests and the number of busy threads when one of them changes.
            Any thread may call it, but only one at a time.
    """

    def __init__(self, n_threads: int, n_waiting: int, on_change: Callable[[int, int], None]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._n_threads = n_threads
        self._capacity = n_threads + n_waiting
        self._n_admitted = 0
        self._started_s: dict[int, float] = {}  # of the running jobs, by thread
        self._lock = threading.Lock()
        self._on_change = on_change

    @property
    def is_full(self) -> bool:
        """Whether the next request would be rejected."""
        return self._n_admitted >= self._capacity

    def is_stuck(self, seconds: float) -> bool:
        """Return whether every thread has been busy with its current job for longer than this."""
        limit_s = time.monotonic() - seconds
        with self._lock:
            return len(self._started_s) == self._n_threads and max(self._started_s.values()) < limit_s

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place for one request, from before its body is read until its response is ready.

        Raises:
            HttpError: 503, if the queue is full.
        """
        if self.is_full:
            message = "the server is busy: its queue is full, please wait and try again later"
            raise HttpError(503, message, {"retry-after": str(_RETRY_AFTER_S)})
        self._count_admitted(1)
        try:
            yield
        finally:
            self._count_admitted(-1)

    async def run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Return the result of the function, which runs in a thread.

        A job that is cancelled while it waits never runs. A job that runs cannot be stopped.
        """
        pending = [(function, arguments)]

        def job() -> _T:
            pending_function, pending_arguments = pending.pop()
            return pending_function(*pending_arguments)

        future: Future[_T] = Future()
        self._start_threads()
        self._jobs.put((future, job))
        try:
            return await asyncio.wrap_future(future)
        finally:
            # A cancelled job stays in the queue for a while. It must not keep its request in memory.
            pending.clear()

    def _start_threads(self) -> None:
        while len(self._threads) < self._n_threads:
            name = f"cohere_rerank_score_{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            future, job = entry
            if future.set_running_or_notify_cancel():
                self._run_job(future, job)
            del entry, future, job  # else they would live until the next job

    def _run_job(self, future: Future[Any], job: Callable[[], Any]) -> None:
        thread = threading.get_ident()
        with self._lock:
            self._started_s[thread] = time.monotonic()
            self._on_change(self._n_admitted, len(self._started_s))
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            self._count_ended(thread)
            future.set_exception(error)
            del future  # the traceback has this frame, so the exception would refer to itself
        else:
            self._count_ended(thread)
            future.set_result(result)

    def _count_ended(self, thread: int) -> None:
        with self._lock:
            del self._started_s[thread]
            self._on_change(self._n_admitted, len(self._started_s))

    def _count_admitted(self, change: int) -> None:
        with self._lock:
            self._n_admitted += change
            self._on_change(self._n_admitted, len(self._started_s))

    def close(self) -> None:
        """Accept no more jobs. Running jobs finish by themselves."""
        for _ in self._threads:
            self._jobs.put(None)
