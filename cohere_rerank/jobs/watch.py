"""What goes on beside a job's rows: its checkpoints, and the end of all waiting once the job is stopped."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from cohere_rerank._clock import SystemClock

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock
    from cohere_rerank.async_client import AsyncClientV2

    from .job import Job
    from .report import JobReport

__all__ = ["GivenUp", "beside", "impatient", "watch"]

_CHECKPOINT_S = 1.0
_LOOK_S = 0.1  # between two looks at whether the job is stopped: a handler of signals can wake no task


async def watch(job: Job, tell: Callable[[JobReport], object], hurry: anyio.Event) -> None:
    """Save and tell about once a second, whether answers come or not; also tell, at once, that the job is stopped.

    Args:
        job: The job at work.
        tell: Is given its numbers.
        hurry: Is set when rows that wait are to be given up.
    """
    due_s, is_stop_told = time.monotonic() + _CHECKPOINT_S, False
    while True:
        await anyio.sleep(_LOOK_S)
        if job.gives_up:
            hurry.set()
        if time.monotonic() >= due_s:
            await to_thread.run_sync(job.save)
            due_s = time.monotonic() + _CHECKPOINT_S
        elif job.stopped is None or is_stop_told:
            continue
        is_stop_told = job.stopped is not None
        tell(job.report())


async def beside(companion: Callable[[], Awaitable[None]], work: Callable[[], Awaitable[None]]) -> None:
    """Do the work while its companion runs, which ends with it; what either raises comes as it is, in no group."""
    failures: list[BaseException] = []

    async def run(task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below; a KeyboardInterrupt, too, would come in a group
            failures.append(error)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(run, companion)
        await run(work)
    if failures:
        raise failures[0]


class GivenUp(Exception):
    """A row waited, for its turn or a repeat, when the job was stopped."""


def impatient(client: AsyncClientV2, hurry: anyio.Event) -> AsyncClientV2:
    """The client, on a clock on which nobody sleeps once there is hurry."""
    return client._on_clock(_ImpatientClock(client._clock(), hurry))


class _ImpatientClock:
    def __init__(self, clock: Clock, hurry: anyio.Event) -> None:
        self._clock = clock
        self._hurry = hurry
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.sleep = clock.sleep

    async def async_sleep(self, seconds: float) -> None:
        """Wait in a task.

        Raises:
            GivenUp: There is hurry.
        """
        if isinstance(self._clock, SystemClock):
            with anyio.move_on_after(seconds):
                await self._hurry.wait()
        else:
            await self._clock.async_sleep(seconds)
        if self._hurry.is_set():
            raise GivenUp
