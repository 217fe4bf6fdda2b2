"""The fault server as a program: ``cohere-rerank serve --faults FILE``."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from .faults import FaultServer

__all__ = ["serve"]

_TURN_S = 0.5  # where a signal does not end a wait, it is seen as soon as this
_log = logging.getLogger("cohere_rerank.testing")


def serve(host: str, port: int, file: str | PathLike[str]) -> None:
    """Serve a faults file until SIGINT or SIGTERM; for ``cohere-rerank serve --faults FILE``.

    Says on stderr where it listens, what each request met, and in the end which of the file's faults none has met; the
    latter two by the logger ``cohere_rerank.testing``.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        file: YAML or JSON.

    Raises:
        InvalidRequestError: The file has a mistake; names the entry.
        OSError: It cannot be read, or the port is taken.
    """
    server = FaultServer(file, host=host, port=port)
    server.keeps_requests = False
    logging.basicConfig(format="%(message)s")  # does nothing where the program has set up its own
    _log.setLevel(logging.INFO)
    with _told_to_stop() as stop, server:
        sys.stderr.write(f"listening on {server.url}\n")
        sys.stderr.flush()
        while not stop.wait(_TURN_S):
            pass
    names = [f"faults[{i}] ({fault.kind})" for i, fault in server.unused_in_plan.items()]
    if names:
        _log.warning("no request has met %s", ", ".join(names), extra={"fields": {"unused": names}})


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, in the main thread, where alone signals arrive."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
