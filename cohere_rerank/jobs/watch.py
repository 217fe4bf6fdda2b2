"""The task that runs while a job ranks rows. It writes checkpoints, reports progress, and ends waits on a stop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from cohere_rerank._calls import calls_of
from cohere_rerank._clock import SystemClock

if TYPE_CHECKING:
    from cohere_rerank._calls import AsyncCalls
    from cohere_rerank._clock import Clock
    from cohere_rerank.async_client import AsyncClientV2

    from .job import Job
    from .report import JobReport

__all__ = ["WaitAbandoned", "checkpoint_loop", "interruptible", "run_with_companion"]

_CHECKPOINT_S = 1.0
_POLL_S = 0.1  # how often the loop looks whether the job is stopped: a signal handler can wake no task


async def checkpoint_loop(job: Job, progress: Callable[[JobReport], object], stop_event: anyio.Event) -> None:
    """Write a checkpoint and report progress about once a second, whether responses arrive or not.

    A stop is reported at once.

    Args:
        job: The running job.
        progress: Called with each report.
        stop_event: Is set when rows that wait are to be abandoned.
    """
    due_s, is_stop_reported = time.monotonic() + _CHECKPOINT_S, False
    while True:
        await anyio.sleep(_POLL_S)
        job.check_deadline()
        if job.abandons_waiting:
            stop_event.set()
        if time.monotonic() >= due_s:
            await to_thread.run_sync(job.checkpoint)
            due_s = time.monotonic() + _CHECKPOINT_S
        elif job.stopped is None or is_stop_reported:
            continue
        is_stop_reported = job.stopped is not None
        progress(job.report())


async def run_with_companion(companion: Callable[[], Awaitable[None]], work: Callable[[], Awaitable[None]]) -> None:
    """Run *work*, and *companion* until *work* ends. Errors of both are raised without an exception group."""
    failures: list[BaseException] = []

    async def run(task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below; a KeyboardInterrupt would come in a group too
            failures.append(error)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(run, companion)
        await run(work)
    if failures:
        raise failures[0]


class WaitAbandoned(Exception):
    """The job was stopped while a row waited for its rate limit or for a retry."""


def interruptible(client: AsyncClientV2, stop_event: anyio.Event) -> AsyncCalls:
    """Return the calls of the client with a clock whose sleeps end once the event is set."""
    calls = calls_of(client)
    return calls.with_clock(_InterruptibleClock(calls.clock, stop_event))


class _InterruptibleClock:
    def __init__(self, clock: Clock, stop_event: anyio.Event) -> None:
        self._clock = clock
        self._stop_event = stop_event
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.sleep = clock.sleep

    async def async_sleep(self, seconds: float) -> None:
        """Sleep in a task.

        Raises:
            WaitAbandoned: The event is set.
        """
        if isinstance(self._clock, SystemClock):
            with anyio.move_on_after(seconds):
                await self._stop_event.wait()
        else:
            await self._clock.async_sleep(seconds)
        if self._stop_event.is_set():
            raise WaitAbandoned
