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

_TURN_S = 0.5  # where a signal does not end a wait, it is seen as soon as this
_log = logging.getLogger("cohere_rerank.testing")


def serve(host: str, port: int, file: str | PathLike[str]) -> None:
    """Serve a faults file until SIGINT or SIGTERM; for ``cohere-rerank serve --faults FILE``. After SIGTERM it returns.

    Says where it listens, what each request met, and in the end which of the file's faults none has shown; all by the
    logger ``cohere_rerank.testing``, on stderr.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        file: YAML or JSON.

    Raises:
        InvalidRequestError: The file has a mistake; names the entry.
        OSError: It cannot be read, or the port is taken.
        KeyboardInterrupt: After SIGINT, when all has been said.
    """
    server = FaultServer(file, host=host, port=port)
    server.keeps_requests = False
    logging.basicConfig(format="%(message)s")  # does nothing where the program has set up its own
    _log.setLevel(logging.INFO)
    with _told_to_stop() as stop, server:
        _log.info("listening on %s", server.url, extra={"fields": {"url": server.url}})
        while not stop.event.wait(_TURN_S):
            pass
    names = [f"faults[{i}] ({fault.kind})" for i, fault in server.unused_in_plan.items()]
    if names:
        _log.warning("no reply has shown %s", ", ".join(names), extra={"fields": {"unused": names}})
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt


class _Stop:
    """The first signal that came, and an event that it set."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number: int | None = None

    def __call__(self, number: int, _frame: object) -> None:
        self.number = number if self.number is None else self.number
        self.event.set()


@contextmanager
def _told_to_stop() -> Iterator[_Stop]:
    """What SIGINT and SIGTERM set, in the main thread, where alone signals arrive."""
    stop = _Stop()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [signal.signal(number, stop) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
