"""Signals: the first one stops a job gracefully, the second at once, and the third kills the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .job import Job

__all__ = ["SIGNALS", "SignalHandler", "handling_signals"]

# Windows has no SIGHUP. Elsewhere it is sent when a terminal closes.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_KILLING = 3  # the number of the signal that kills


class SignalHandler:
    """Stops the running job at the first signal. Without a job, or at the second signal, raises KeyboardInterrupt.

    Attributes:
        kill_workers: Ends the worker processes of the job at once.
        is_aborting: Whether a signal has raised KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._job: Job | None = None
        self._n_signals = 0
        self.kill_workers: Callable[[], object] = int  # does nothing
        self.is_aborting = False

    @contextmanager
    def stopping(self, job: Job) -> Iterator[None]:
        """Let the first signal stop this job while the block runs."""
        self._job = job
        try:
            yield
        finally:
            self._job = None

    def handle(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        """Handle one signal.

        Raises:
            KeyboardInterrupt: No job runs, or it was stopped before.
        """
        self._n_signals += 1
        if self._job is not None and self._n_signals == 1:
            self._job.stop("interrupted", "interrupted")
            return
        self.is_aborting = True
        self.kill_workers()
        if self._n_signals >= _KILLING:  # a scorer or a system call does not return
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise KeyboardInterrupt


@contextmanager
def handling_signals() -> Iterator[SignalHandler]:
    """Handle SIGINT, SIGTERM and SIGHUP while the block runs, and yield the handler.

    The block must contain the event loop, which would set handlers of its own. A signal that is ignored, for example
    because of nohup, stays ignored. In a thread other than the main thread Python sets no handlers, and this does
    nothing.
    """
    handler = SignalHandler()
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, handler.handle) for number in numbers]
    try:
        yield handler
    finally:
        for number, previous in zip(numbers, before):
            signal.signal(number, previous)
