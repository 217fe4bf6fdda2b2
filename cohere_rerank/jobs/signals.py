"""Ctrl-C and SIGTERM: the first stops a job gently, the second at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job import Job
    from .report import JobReport

__all__ = ["Signals", "heeding"]


class Signals:
    """Whom a signal is for: the job at work, if there is one."""

    def __init__(self) -> None:
        self._interrupt: Callable[[], None] | None = None

    @contextmanager
    def stopping(self, job: Job, tell: Callable[[JobReport], object]) -> Iterator[None]:
        """Let the first signal stop the job, and report so at once."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if job.stopped == "interrupted":
                raise KeyboardInterrupt
            job.stop("interrupted", "interrupted")
            loop.call_soon_threadsafe(lambda: tell(job.report()))  # not here, in the middle of anything

        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None

    def heed(self, number: int, frame: object) -> None:  # noqa: ARG002 - what a handler is given
        """The handler."""
        if self._interrupt is None:
            raise KeyboardInterrupt
        self._interrupt()


@contextmanager
def heeding() -> Iterator[Signals]:
    """Handle SIGINT and SIGTERM; around the event loop, which would set handlers of its own. Only a main thread can."""
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signals.heed) for number in numbers]
    try:
        yield signals
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
