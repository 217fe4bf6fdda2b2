"""Cancel a request from another thread."""

from __future__ import annotations

from threading import Lock
from typing import Protocol

from .connection_errors import ReadError


class _Connection(Protocol):
    def abort(self) -> None: ...


class Cancellation:
    """Cancels the one request that it belongs to: it shuts down the connection, so that every wait on it ends."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection: _Connection | None = None
        self._is_cancelled = False

    def attach(self, connection: _Connection) -> None:
        """Note the connection that the request uses from now on.

        Raises:
            ReadError: The request was cancelled before.
        """
        with self._lock:
            if self._is_cancelled:
                raise ReadError("the request was cancelled")
            self._connection = connection

    def detach(self) -> bool:
        """Note that the request no longer uses a connection, and return whether that connection can be reused."""
        with self._lock:
            self._connection = None
            return not self._is_cancelled

    def cancel(self) -> None:
        """Cancel the request."""
        with self._lock:
            self._is_cancelled = True
            if self._connection is not None:
                self._connection.abort()
