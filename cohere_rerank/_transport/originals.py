"""Notice when a tool has replaced a function of httpx or httpcore.

respx, pytest-httpx, vcrpy and the instrumentations of OpenTelemetry and Sentry each replace one of these functions. Our
own connections would go past them, so that a mocked test would send real requests and a trace would have a gap.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import httpcore
import httpx

Target = tuple[type, str]


class Originals:
    """The functions that tools replace, for blocking or for asynchronous requests."""

    def __init__(self, *targets: Target) -> None:
        self._targets = targets
        self._known: tuple[Any, ...] | None = None  # the original functions, once they were seen

    def are_in_place(self) -> bool:
        """Return whether no tool has replaced one of the functions: one comparison for a request."""
        current = tuple([getattr(cls, name) for cls, name in self._targets])
        if self._known is not None:
            return current == self._known
        if not all(map(_is_original, self._targets)):
            return False
        self._known = current
        return True


def _is_original(target: Target) -> bool:
    """Return whether a method is a plain function that was written in the package of its class."""
    cls, name = target
    function = cls.__dict__.get(name)
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return False
    package = cls.__module__.partition(".")[0]
    return str(function.__globals__.get("__name__")).partition(".")[0] == package


BLOCKING = Originals(
    (httpx.Client, "send"),
    (httpx.Client, "_send_single_request"),
    (httpx.HTTPTransport, "handle_request"),
    (httpcore.ConnectionPool, "handle_request"),
)
ASYNCHRONOUS = Originals(
    (httpx.AsyncClient, "send"),
    (httpx.AsyncClient, "_send_single_request"),
    (httpx.AsyncHTTPTransport, "handle_async_request"),
    (httpcore.AsyncConnectionPool, "handle_async_request"),
)
