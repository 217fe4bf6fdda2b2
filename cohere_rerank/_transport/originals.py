"""Notice when a tool has replaced a function of httpx or httpcore.

respx, pytest-httpx, vcrpy and the instrumentations of OpenTelemetry and Sentry each replace one of these functions. Our
own connections would go past them, so that a mocked test would send real requests and a trace would have a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import httpcore
import httpx

Functions = Callable[[], tuple[Any, ...]]


class Originals:
    """The functions that tools replace, for blocking or for asynchronous requests.

    Args:
        functions: Returns the functions as they are now.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._known: tuple[Any, ...] = ()  # the original functions, once they were seen

    def are_in_place(self) -> bool:
        """Return whether no tool has replaced one of the functions: one comparison for a request."""
        functions = self._functions()
        if self._known:
            return functions == self._known
        if not all(map(_is_original, functions)):
            return False
        self._known = functions
        return True


def _is_original(function: Any) -> bool:
    """Return whether a function is not a wrapper, and was written in httpx or httpcore."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return False
    return str(function.__globals__.get("__name__")).partition(".")[0] in ("httpx", "httpcore")


BLOCKING = Originals(
    lambda: (
        httpx.Client.send,
        httpx.Client._send_single_request,
        httpx.Client._transport_for_url,
        httpx.HTTPTransport.handle_request,
        httpcore.ConnectionPool.handle_request,
    )
)
ASYNCHRONOUS = Originals(
    lambda: (
        httpx.AsyncClient.send,
        httpx.AsyncClient._send_single_request,
        httpx.AsyncClient._transport_for_url,
        httpx.AsyncHTTPTransport.handle_async_request,
        httpcore.AsyncConnectionPool.handle_async_request,
    )
)
