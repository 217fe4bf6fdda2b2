"""Work off the event loop: so much at once, so much more waiting, the rest refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .http import Refused

_T = TypeVar("_T")
_RETRY_AFTER_S = 1


class Threads:
    """A bounded pool of threads with a bounded queue, for one event loop.

    Args:
        n_threads: Pieces of work that run at the same time.
        n_waiting: Requests that may be admitted beyond those.
        changed: Told how many requests are admitted and how many threads at work, whenever that changes.
    """

    def __init__(self, n_threads: int, n_waiting: int, changed: Callable[[int, int], None]) -> None:
        self._executor = ThreadPoolExecutor(n_threads, thread_name_prefix="cohere_rerank_score")
        self._free = asyncio.Semaphore(n_threads)
        self._n_places = n_threads + n_waiting
        self._n_admitted = self._n_running = 0
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
        self._count(admitted=1)
        try:
            yield
        finally:
            self._count(admitted=-1)

    async def run(self, work: Callable[..., _T], *arguments: object) -> _T:
        """The outcome of *work* in a thread. Cancelled while it waits, it never runs; a thread cannot be stopped."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        self._count(running=1)
        future = self._executor.submit(work, *arguments)

        def over(_: Future[_T]) -> None:
            loop.call_soon_threadsafe(self._release)

        future.add_done_callback(over)  # when the thread is free, not when the caller stopped waiting for it
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._count(running=-1)
        self._free.release()

    def _count(self, *, admitted: int = 0, running: int = 0) -> None:
        self._n_admitted += admitted
        self._n_running += running
        self._changed(self._n_admitted, self._n_running)

    def close(self) -> None:
        """Take no more; what runs ends by itself."""
        self._executor.shutdown(wait=False)
