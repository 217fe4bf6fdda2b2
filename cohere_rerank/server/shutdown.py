"""Ends the process in time: after a signal, and when the supervisor of a worker is gone."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

GRACE_S = 25  # for requests in flight
EXIT_S = 30.0  # for the whole process
HEALTH_CHECK_S = 30  # after which a worker without a response is replaced; on a busy machine a start takes over 5 s
# A closed terminal sends SIGHUP to the supervisor and to its workers, and Ctrl-\\ sends SIGQUIT. Windows has neither.
LIKE_SIGTERM = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name))

# A process of its own, because no thread of Python runs while other code keeps the interpreter's lock. Its standard
# input gets a byte for each signal to the server, and ends with the server.
_WATCHDOG = """
import os, select, signal, sys, time
stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
for number in stops:
    signal.signal(number, signal.SIG_IGN)
server, end_s = os.getppid(), None
while end_s is None or end_s > time.monotonic():
    if select.select([0], [], [], None if end_s is None else max(0, end_s - time.monotonic()))[0]:
        received = os.read(0, 1)
        if not received:
            sys.exit()
        if end_s is None and received[0] in stops:
            end_s = time.monotonic() + float(sys.argv[1])
if os.getppid() == server:
    os.kill(server, signal.SIGKILL)
"""


@contextmanager
def exit_watchdog() -> Iterator[None]:
    """Kill this process 30 seconds after a signal that stops it, even if native code keeps the interpreter's lock.

    Python's own signal handlers do not run then, but the C part writes the number of each signal to a pipe.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if sys.platform != "win32" and sys.executable and is_main:  # Windows has no SIGTERM that a process could survive
        command = [sys.executable, "-I", "-S", "-c", _WATCHDOG, str(EXIT_S)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **pipes) as watchdog:  # noqa: S603 - this file wrote the command
            assert watchdog.stdin is not None
            os.set_blocking(watchdog.stdin.fileno(), False)
            before = signal.set_wakeup_fd(watchdog.stdin.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(before)
                with suppress(OSError):
                    watchdog.stdin.close()
    else:
        yield


def handle_like_sigterm() -> None:
    """Let SIGHUP and SIGQUIT do what SIGTERM does, unless they are ignored, as `nohup` does."""
    for number in LIKE_SIGTERM:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGTERM))


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
    if threading.current_thread() is threading.main_thread():
        handle_like_sigterm()
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
