"""Collects a reply's body piece by piece, decompressing as it goes, and never past a limit."""

from __future__ import annotations

import zlib

from .errors import InvalidResponseError, ResponseTooLargeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What is asked for. httpx can read more, but its decoders have no limit: a reply of a few kB may become gigabytes.
ACCEPT_ENCODING = "gzip, deflate"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib finds out which of the two it is


class Body:
    """The body of one reply.

    Args:
        headers: The reply's headers, names in lower case.
        limit: Most bytes to hold, after decompression.
    """

    def __init__(self, headers: Mapping[str, str], status: int, limit: int) -> None:
        self._headers = headers
        self._status = status
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._unzip = self._decompressor(headers.get("content-encoding", ""))
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise self._too_large()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes off the wire.

        Raises:
            ResponseTooLargeError: The body is larger than the limit.
            InvalidResponseError: It is not in the encoding that its header names.
        """
        if self._unzip is not None:
            try:
                chunk = self._unzip.decompress(chunk, self._limit - self._size + 1)
            except zlib.error as error:
                chunk = self._as_raw_deflate(chunk, error)
        self._size += len(chunk)
        if self._size > self._limit:
            raise self._too_large()
        self._chunks.append(chunk)

    def content(self) -> bytes:
        """The whole body, once all of it was fed."""
        if self._unzip is not None and self._size and not self._unzip.eof:
            raise self._broken("the compressed body ends too early")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _decompressor(self, encoding: str) -> zlib._Decompress | None:
        encoding = encoding.strip().lower()
        if encoding in ("", "identity"):
            return None
        if encoding in ("gzip", "x-gzip", "deflate"):
            return zlib.decompressobj(_GZIP_OR_ZLIB)
        raise self._broken(f"it is encoded as {encoding[:40]!r}, and only {ACCEPT_ENCODING} was asked for")

    def _as_raw_deflate(self, chunk: bytes, error: zlib.error) -> bytes:
        # "deflate" means zlib's format, but some servers send the bare stream.
        if self._size == 0 and self._headers.get("content-encoding", "").strip().lower() == "deflate":
            self._unzip = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                return self._unzip.decompress(chunk, self._limit + 1)
            except zlib.error:
                pass
        raise self._broken(f"the compressed body is damaged ({error})") from None

    def _too_large(self) -> ResponseTooLargeError:
        return ResponseTooLargeError(
            f"The reply is larger than {self._limit} bytes; raise max_response_bytes if that is right",
            status_code=self._status,
            headers=self._headers,
        )

    def _broken(self, problem: str) -> InvalidResponseError:
        return InvalidResponseError(
            f"The reply cannot be read: {problem}", status_code=self._status, headers=self._headers
        )
