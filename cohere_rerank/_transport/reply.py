"""What the runners get of one reply."""

from __future__ import annotations

from cohere_rerank._error_bodies import request_id

from .request_secrets import Secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import httpx

    from cohere_rerank._settings import Secret

_ABOUT_THE_WIRE = ("content-encoding", "transfer-encoding", "content-length")


class Reply:
    """One whole reply, read and decompressed. Header names are in lower case.

    Args:
        source: The reply as it came: an object with ``fields``, ``http_version`` and ``reason``, or a response of
            httpx or of httpx2.
        key: The key of the request.
        sent_headers: The headers that the call added.
    """

    __slots__ = ("_key", "_sent_headers", "_source", "content", "headers", "status_code")

    def __init__(
        self,
        source: Any,
        status_code: int,
        headers: dict[str, str],
        content: bytes,
        key: Secret | None,
        sent_headers: Mapping[str, str],
    ) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content
        self._source = source
        self._key = key
        self._sent_headers = sent_headers

    def hide(self, value: Any) -> Any:
        """Return a value of this reply without the secrets of its request, wherever the server quotes them."""
        return Secrets(self._key, self._sent_headers).hide(value)

    def request_id(self, body_id: str | None = None) -> str | None:
        """Return the server's id of the request, from the headers or else the body. It does not show the key."""
        sent_id = request_id(self.headers, None) or body_id
        key = None if self._key is None else self._key.value
        is_shorter = sent_id is not None and isinstance(key, str) and len(sent_id) < len(key)  # the usual case
        return sent_id if sent_id is None or (is_shorter and not self._sent_headers) else self.hide(sent_id)

    def to_httpx_response(self, *, is_refused: bool = False) -> httpx.Response:
        """Return an ``httpx.Response`` with its content, for ``with_raw_response``.

        Its headers do not show the key. Neither does the content of a reply that was refused, as that of an error.
        """
        source = self._source
        if hasattr(source, "fields"):
            import httpx

            kind: Any = httpx.Response
            fields = source.fields
            extensions = {"http_version": source.http_version, "reason_phrase": source.reason}
        else:
            kind = type(source)  # httpx2 has its own class
            fields = source.headers.multi_items()
            extensions = {name: value for name, value in source.extensions.items() if name != "network_stream"}
        headers = [
            (name.encode("latin-1"), self.hide(value).encode("latin-1"))
            for name, value in fields
            if name.lower() not in _ABOUT_THE_WIRE
        ]
        response: httpx.Response = kind(
            self.status_code,
            headers=headers,
            content=self.hide(self.content) if is_refused else self.content,
            extensions=extensions,
        )
        return response
