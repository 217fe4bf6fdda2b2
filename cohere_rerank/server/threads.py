"""Work off the event loop: so much at once, so much more waiting, the rest refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .http import Refused

_T = TypeVar("_T")
_RETRY_AFTER_S = 1


class Threads:
    """A bounded pool of threads with a bounded queue, for one event loop.

    A thread that is free takes the next piece of work itself: were it handed out by the loop, a flood of requests to
    refuse would keep it waiting.

    Args:
        n_threads: Pieces of work that run at the same time.
        n_waiting: Requests that may be admitted beyond those.
        changed: Told how many requests are admitted and how many threads at work, whenever that changes; from any
            thread, one at a time.
    """

    def __init__(self, n_threads: int, n_waiting: int, changed: Callable[[int, int], None]) -> None:
        self._executor = ThreadPoolExecutor(n_threads, thread_name_prefix="cohere_rerank_score")
        self._n_places = n_threads + n_waiting
        self._n_admitted = self._n_running = 0
        self._lock = threading.Lock()
        self._changed = changed

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused."""
        return self._n_admitted >= self._n_places

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, from before its body is read until it is answered.

        Raises:
            Refused: 503, all places are taken.
        """
        if self.is_full:
            message = "the server is busy: its queue is full, please wait and try again later"
            raise Refused(503, message, {"retry-after": str(_RETRY_AFTER_S)})
        with self._counted(admitted=1):
            yield

    async def run(self, work: Callable[..., _T], *arguments: object) -> _T:
        """The outcome of *work* in a thread. Cancelled while it waits, it never runs; a thread cannot be stopped."""
        held = [(work, arguments)]

        def job() -> _T:
            with self._counted(running=1):
                function, given = held.pop()
                return function(*given)

        future = self._executor.submit(job)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # A cancelled job stays in the executor's queue for a while: without the request that it was for.
            held.clear()

    @contextmanager
    def _counted(self, **kinds: int) -> Iterator[None]:
        self._count(**kinds)
        try:
            yield
        finally:
            self._count(**{kind: -n for kind, n in kinds.items()})

    def _count(self, *, admitted: int = 0, running: int = 0) -> None:
        with self._lock:
            self._n_admitted += admitted
            self._n_running += running
            self._changed(self._n_admitted, self._n_running)

    def close(self) -> None:
        """Take no more; what runs ends by itself."""
        self._executor.shutdown(wait=False)
