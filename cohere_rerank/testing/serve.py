"""The fault server as a program: ``cohere-rerank serve --faults FILE``."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from .faults import FaultServer

__all__ = ["serve"]

_POLL_S = 0.5  # on some systems a signal does not end a wait
_log = logging.getLogger("cohere_rerank.testing")


def serve(host: str, port: int, file: str | PathLike[str]) -> None:
    """Serve a faults file until SIGINT or SIGTERM, or until the terminal is closed.

    After SIGTERM or SIGHUP the function returns. If SIGHUP was ignored before, it stays so.

    The logger ``cohere_rerank.testing`` writes to stderr: the server's address, each request with its fault, and at
    the end the faults of the file that no response showed.

    Args:
        host: The address to listen on.
        port: The port. 0 takes a free port.
        file: The faults file, YAML or JSON.

    Raises:
        InvalidRequestError: The file has a mistake. The message names the entry.
        OSError: The file cannot be read, or another program uses the port.
        KeyboardInterrupt: After SIGINT, when everything is logged.
    """
    server = FaultServer(file, host=host, port=port)
    server.keeps_requests = False
    logging.basicConfig(format="%(message)s")  # does nothing if the program has its own log settings
    _log.setLevel(logging.INFO)
    with _stop_on_signal() as stop, server:
        _log.info("listening on %s", server.url, extra={"fields": {"url": server.url}})
        while not stop.event.wait(_POLL_S):
            pass
    names = [f"faults[{i}] ({fault.kind})" for i, fault in server.unused_in_plan.items()]
    if names:
        _log.warning("no response showed %s", ", ".join(names), extra={"fields": {"unused": names}})
    if stop.signal_number == signal.SIGINT:
        raise KeyboardInterrupt


class _StopSignal:
    """A signal handler that remembers the first signal and sets an event."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number: int | None = None

    def __call__(self, number: int, _frame: object) -> None:
        self.signal_number = number if self.signal_number is None else self.signal_number
        self.event.set()


@contextmanager
def _stop_on_signal() -> Iterator[_StopSignal]:
    """Handle SIGINT, SIGTERM and SIGHUP inside the block. Only the main thread can handle signals."""
    stop = _StopSignal()
    signals = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    hangup = getattr(signal, "SIGHUP", None)  # Windows does not have it
    if signals and hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # as nohup does
        signals.append(hangup)
    handlers = [signal.signal(number, stop) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, handlers):
            signal.signal(number, handler)
