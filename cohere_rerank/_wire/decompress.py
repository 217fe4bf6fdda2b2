"""Collect and decompress the body of a reply, within a limit."""

from __future__ import annotations

import zlib

from cohere_rerank.errors import InvalidResponseError, ResponseTooLargeError

from .contract import FIRST_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# httpx can decode more encodings, but its decoders have no limit: a reply of a few kB may become gigabytes.
ACCEPT_ENCODING = "gzip, deflate"


class BoundedBody:
    """The body of one reply.

    Args:
        headers: The reply's headers, names in lower case.
        limit: Bytes to hold at most, after decompression.

    Raises:
        ResponseTooLargeError: The body is larger than the limit.
        InvalidResponseError: The body cannot be decompressed.

    With an error status neither is raised, because the status says enough. The body is then empty, ``is_discarded`` is
    True, and there is nothing more to read.
    """

    def __init__(self, headers: Mapping[str, str], status: int, limit: int) -> None:
        self._headers = headers
        self._status = status
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self.is_discarded = False
        encoding = headers.get("content-encoding", "").strip().lower()
        self._decompressor = None if encoding in ("", "identity") else _Decompressor(may_be_raw=encoding == "deflate")
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self._discard(f"its Content-Encoding is {encoding[:40]!r}, but only {ACCEPT_ENCODING} can be read")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            self._reject_too_large()

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes from the connection."""
        if self.is_discarded:
            return
        if self._decompressor is not None:
            try:
                chunk = self._decompressor.decompress(chunk, self._limit - self._size + 1)
            except zlib.error as error:
                self._discard(f"the compressed body is damaged ({error})")
                return
        self._size += len(chunk)
        if self._size > self._limit:
            self._reject_too_large()
            return
        self._chunks.append(chunk)

    def content(self) -> bytes:
        """Return the whole body, after all of it was fed."""
        if self._decompressor is not None and not self._decompressor.is_complete and not self.is_discarded:
            self._discard("the compressed body ends too early")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _discard(self, problem: str) -> None:
        if self._status < FIRST_ERROR:
            message = f"The reply cannot be read: {problem}"
            raise InvalidResponseError(message, status_code=self._status, headers=self._headers) from None
        self.is_discarded = True
        self._chunks.clear()

    def _reject_too_large(self) -> None:
        if self._status < FIRST_ERROR:
            raise ResponseTooLargeError(
                f"The reply is larger than {self._limit} bytes. If that is expected, raise max_response_bytes.",
                status_code=self._status,
                headers=self._headers,
            )
        self._discard("it is too large")


class _Decompressor:
    """Decompress gzip with any number of members, and deflate in both of its forms."""

    def __init__(self, *, may_be_raw: bool) -> None:
        self._may_be_raw = may_be_raw
        self._stream: zlib._Decompress | None = None
        self._pending = b""  # the first byte of a stream, too little to tell its form

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return the next decompressed bytes, at most *most* (>= 1) of them."""
        pieces, data = [], self._pending + data
        while data and most > 0:
            if self._stream is None or self._stream.eof:
                data = data if self._stream is None else data.lstrip(b"\0")  # gzip allows padding after a member
                if len(data) < 2:
                    break
                self._stream = zlib.decompressobj(self._window_bits(data))
            pieces.append(self._stream.decompress(data, most))
            most -= len(pieces[-1])
            data = self._stream.unused_data
        self._pending = data
        return b"".join(pieces)

    @property
    def is_complete(self) -> bool:
        """Whether nothing, or only whole streams, were fed."""
        return not self._pending and (self._stream is None or self._stream.eof)

    def _window_bits(self, data: bytes) -> int:
        # "deflate" means zlib's format (RFC 1950, whose header is a multiple of 31), but some send a raw stream.
        is_zlib = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
        is_raw = self._may_be_raw and not is_zlib and data[:2] != b"\x1f\x8b"
        return -zlib.MAX_WBITS if is_raw else 32 + zlib.MAX_WBITS  # 32: zlib detects gzip and zlib by their headers
