"""Notice when a tool has replaced a function of httpx or httpcore.

respx, pytest-httpx, vcrpy and the instrumentations of OpenTelemetry and Sentry each replace one of these functions. Our
own connections would go past them, so that a mocked test would send real requests and a trace would have a gap.
"""

from __future__ import annotations

import sys
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Functions = Callable[[Any, Any], tuple[Any, ...]]


class Originals:
    """The functions that tools replace, for blocking or for asynchronous requests.

    Args:
        functions: Returns the functions as they are now, from the modules httpx and httpcore.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._known: tuple[Any, ...] = ()  # the original functions, once they were seen

    def are_in_place(self) -> bool:
        """Return whether no tool has replaced one of the functions: one comparison for a request."""
        modules = sys.modules
        if "httpx" not in modules and "httpcore" not in modules:
            return True  # a tool imports what it replaces
        import httpcore
        import httpx

        functions = self._functions(httpx, httpcore)
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
    lambda httpx, httpcore: (
        httpx.Client.send,
        httpx.Client._send_single_request,
        httpx.Client._transport_for_url,
        httpx.HTTPTransport.handle_request,
        httpcore.ConnectionPool.handle_request,
    )
)
ASYNCHRONOUS = Originals(
    lambda httpx, httpcore: (
        httpx.AsyncClient.send,
        httpx.AsyncClient._send_single_request,
        httpx.AsyncClient._transport_for_url,
        httpx.AsyncHTTPTransport.handle_async_request,
        httpcore.AsyncConnectionPool.handle_async_request,
    )
)
