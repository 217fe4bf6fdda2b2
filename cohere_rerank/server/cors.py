"""Cross-origin requests of browsers (CORS, Fetch standard). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .http import Response

ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_REQUEST_HEADERS = "authorization, content-type, x-client-name, x-request-id, x-request-timeout"
_RESPONSE_HEADERS = "retry-after, x-answered-by, x-request-id"
_MAX_AGE_S = 600  # a browser keeps the reply to a preflight request for as long


def check_origins(origins: Any) -> tuple[str, ...]:
    """Return the origins as browsers write them: in lower case, and without the default port.

    Raises:
        InvalidRequestError: A value is not an origin.
    """
    if not isinstance(origins, (list, tuple, set, frozenset)) or not all(isinstance(item, str) for item in origins):
        raise InvalidRequestError(f"cors_origins must be a list or tuple of strings, got {type(origins).__name__}")
    return tuple(_check_origin(origin) for origin in origins)


def _check_origin(origin: str) -> str:
    text = origin.lower()
    if text == ANY_ORIGIN:
        return text
    if not _ORIGIN.fullmatch(text):
        raise InvalidRequestError(
            f"cors_origins must be origins such as https://app.example.org, got {origin!r}; write the scheme and the "
            "host, without a path; * allows every web page"
        )
    return text.removesuffix(_DEFAULT_PORTS[text.partition(":")[0]])


class Cors:
    """Decides which web pages may read the responses.

    Without origins it changes nothing. Cookies are never allowed, because the server has none: a page sends the key in
    the Authorization header.

    Args:
        origins: The allowed origins, after `check_origins`.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)
        self._allows_any = ANY_ORIGIN in self._origins

    def allows(self, origin: str | None) -> bool:
        """Return whether a page of this origin may read the responses."""
        return origin is not None and (self._allows_any or origin in self._origins)

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers of a response to a request of this origin."""
        if not self._origins:
            return {}
        headers = {} if self._allows_any else {"vary": "origin"}  # a cache must not give one page's copy to another
        if self.allows(origin):
            headers["access-control-allow-origin"] = ANY_ORIGIN if self._allows_any else str(origin)
            headers["access-control-expose-headers"] = _RESPONSE_HEADERS
        return headers

    def preflight(self, method: str, headers: dict[str, str], allowed_method: str) -> Response | None:
        """Return the reply to a preflight request, or None if the request is not one of an allowed origin.

        Args:
            method: The method of the request.
            headers: Its headers by lower-case name.
            allowed_method: The method that the path accepts.
        """
        is_preflight = method == "OPTIONS" and "access-control-request-method" in headers
        if not is_preflight or not self.allows(headers.get("origin")):
            return None
        allowed = {
            "access-control-allow-methods": allowed_method,
            "access-control-allow-headers": _REQUEST_HEADERS,
            "access-control-max-age": str(_MAX_AGE_S),
        }
        return Response(204, b"", allowed)
