"""Ctrl-C and SIGTERM: the first stops a job gently, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job import Job

__all__ = ["Signals", "heeding"]


class Signals:
    """Whom a signal is for: the job at work, if there is one."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._is_heeded = False

    @contextmanager
    def stopping(self, job: Job) -> Iterator[None]:
        """Let the first signal stop the job."""
        self._job, self._is_heeded = job, False
        try:
            yield
        finally:
            self._job = None

    def heed(self, number: int, frame: object) -> None:  # noqa: ARG002 - what a handler is given
        """The handler."""
        if self._job is None or self._is_heeded:
            raise KeyboardInterrupt
        self._is_heeded = True
        self._job.stop("interrupted", "interrupted")


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
