"""SIGINT and SIGTERM: the first signal stops a job gracefully, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job import Job

__all__ = ["SignalHandler", "handling_signals"]


class SignalHandler:
    """Passes the first signal to the running job. Without one, or at the second signal, raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._has_stopped_job = False

    @contextmanager
    def stopping(self, job: Job) -> Iterator[None]:
        """Let the first signal stop this job while the block runs."""
        self._job, self._has_stopped_job = job, False
        try:
            yield
        finally:
            self._job = None

    def handle(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        """Handle one signal.

        Raises:
            KeyboardInterrupt: No job runs, or it was stopped before.
        """
        if self._job is None or self._has_stopped_job:
            raise KeyboardInterrupt
        self._has_stopped_job = True
        self._job.stop("interrupted", "interrupted")


@contextmanager
def handling_signals() -> Iterator[SignalHandler]:
    """Handle SIGINT and SIGTERM while the block runs, and yield the handler.

    The block must contain the event loop, which would set handlers of its own. In a thread other than the main thread
    Python sets no handlers, and this does nothing.
    """
    handler = SignalHandler()
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handler.handle) for number in numbers]
    try:
        yield handler
    finally:
        for number, previous in zip(numbers, before):
            signal.signal(number, previous)
