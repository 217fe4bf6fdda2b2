"""Ends the process in time: after a signal, and when the supervisor of a worker is gone."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
from types import FrameType
from typing import Any

GRACE_S = 25  # for requests in flight
EXIT_S = 30.0  # for the whole process


def start_exit_timer() -> None:
    """End the process after 30 seconds, even if it is still busy.

    The timer is a C thread of `faulthandler`, so it also works while other code keeps the interpreter's lock.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)  # for a traceback, which would not be JSON; stays open until the end
    faulthandler.dump_traceback_later(EXIT_S, exit=True, file=nowhere)


def cancel_exit_timer() -> None:
    """Stop the timer, because the server has stopped."""
    faulthandler.cancel_dump_traceback_later()


def prepare_worker() -> None:
    """Start the exit timer on a signal, and stop this worker process when its supervisor is gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        _start_timer_on(number)
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_stop_after_supervisor, name="cohere_rerank_supervisor", daemon=True).start()


def _start_timer_on(number: int) -> None:
    handler: Any = signal.getsignal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        start_exit_timer()
        if callable(handler):
            handler(number, frame)

    if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
        signal.signal(number, handle)


def _stop_after_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
