"""Collect one whole reply: its head, and its body, decompressed and bounded."""

from __future__ import annotations

from cohere_rerank._wire.contract import FIRST_REDIRECT
from cohere_rerank._wire.decompress import BoundedBody

from .reply_reader import ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class WholeReply(ReplyReader):
    """One reply, read to its end.

    Args:
        max_body_bytes: The largest body in bytes, after decompression.
        max_bytes: The largest number of bytes on the wire.

    Attributes:
        content: The body, once ``is_complete`` is True.
    """

    content = b""
    is_complete = False
    _bounded: BoundedBody | None = None

    def __init__(self, max_body_bytes: int, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._max_body_bytes = max_body_bytes

    def collect(self, data: bytes) -> Iterator[None] | None:
        """Read the next bytes from the connection. Return the steps that remain to be done, if they may take long.

        Raises:
            RemoteProtocolError: This is not HTTP/1.1, or it ends too early.
            ResponseTooLargeError: The reply is too large.
            InvalidResponseError: The body cannot be decompressed.
        """
        is_whole = self.feed(data)
        if self._bounded is None:
            if not self.status:
                return None
            body = self.body
            if (
                is_whole
                and self.status < FIRST_REDIRECT
                and len(body) <= self._max_body_bytes
                and "content-encoding" not in self.headers
            ):
                self.content = body
                self.is_complete = True
                return None
            self._bounded = BoundedBody(self.headers, self.status, self._max_body_bytes)
        return self._steps(self._bounded, is_whole)

    def _steps(self, bounded: BoundedBody, is_whole: bool) -> Iterator[None]:
        yield from bounded.steps(self.body)
        self.body = b""
        if is_whole:
            self.content = bounded.content()
        elif bounded.is_discarded:
            self.is_reusable = False
        self.is_complete = is_whole or bounded.is_discarded
