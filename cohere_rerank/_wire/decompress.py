"""Collects a reply's body piece by piece, decompressing as it goes, and never past a limit."""

from __future__ import annotations

import zlib

from cohere_rerank.errors import InvalidResponseError, ResponseTooLargeError

from .contract import FIRST_ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What is asked for. httpx can read more, but its decoders have no limit: a reply of a few kB may become gigabytes.
ACCEPT_ENCODING = "gzip, deflate"


class Body:
    """The body of one reply.

    Args:
        headers: The reply's headers, names in lower case.
        limit: Most bytes to hold, after decompression.

    Raises:
        ResponseTooLargeError: The body is larger than the limit.
        InvalidResponseError: It cannot be decompressed. (In both cases an error's body counts as empty, since its
            status says enough; ``is_lost`` then says that there is nothing more to read it for.)
    """

    def __init__(self, headers: Mapping[str, str], status: int, limit: int) -> None:
        self._headers = headers
        self._status = status
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self.is_lost = False
        encoding = headers.get("content-encoding", "").strip().lower()
        self._unzip = None if encoding in ("", "identity") else _Unzip(may_be_raw=encoding == "deflate")
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            self._lose(f"it is encoded as {encoding[:40]!r}, and only {ACCEPT_ENCODING} was asked for")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            self._refuse_size()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes off the wire."""
        if self.is_lost:
            return
        if self._unzip is not None:
            try:
                chunk = self._unzip.decompress(chunk, self._limit - self._size + 1)
            except zlib.error as error:
                self._lose(f"the compressed body is damaged ({error})")
                return
        self._size += len(chunk)
        if self._size > self._limit:
            self._refuse_size()
            return
        self._chunks.append(chunk)

    def content(self) -> bytes:
        """The whole body, once all of it was fed."""
        if self._unzip is not None and not self._unzip.is_complete and not self.is_lost:
            self._lose("the compressed body ends too early")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _lose(self, problem: str) -> None:
        if self._status < FIRST_ERROR:
            message = f"The reply cannot be read: {problem}"
            raise InvalidResponseError(message, status_code=self._status, headers=self._headers) from None
        self.is_lost = True
        self._chunks.clear()

    def _refuse_size(self) -> None:
        if self._status < FIRST_ERROR:
            raise ResponseTooLargeError(
                f"The reply is larger than {self._limit} bytes; raise max_response_bytes if that is right",
                status_code=self._status,
                headers=self._headers,
            )
        self._lose("it is too large")


class _Unzip:
    """Decompresses gzip, of any number of members, and deflate in both of its forms."""

    def __init__(self, *, may_be_raw: bool) -> None:
        self._may_be_raw = may_be_raw
        self._stream: zlib._Decompress | None = None
        self._start = b""  # a first byte of a stream, which alone does not tell its form

    def decompress(self, data: bytes, most: int) -> bytes:
        """What comes out next, at most so many bytes, >= 1; the caller gives up when there are that many."""
        pieces, data = [], self._start + data
        while data and most > 0:
            if self._stream is None or self._stream.eof:
                data = data if self._stream is None else data.lstrip(b"\0")  # gzip allows padding after a member
                if len(data) < 2:
                    break
                self._stream = zlib.decompressobj(self._window_bits(data))
            pieces.append(self._stream.decompress(data, most))
            most -= len(pieces[-1])
            data = self._stream.unused_data
        self._start = data
        return b"".join(pieces)

    @property
    def is_complete(self) -> bool:
        """Whether nothing, or whole streams only, were fed."""
        return not self._start and (self._stream is None or self._stream.eof)

    def _window_bits(self, data: bytes) -> int:
        # "deflate" means zlib's format (RFC 1950, whose header is a multiple of 31), but some servers send the bare
        # stream.
        is_zlib = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
        is_raw = self._may_be_raw and not is_zlib and data[:2] != b"\x1f\x8b"
        return -zlib.MAX_WBITS if is_raw else 32 + zlib.MAX_WBITS  # 32: zlib tells gzip and zlib apart itself
