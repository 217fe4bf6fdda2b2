"""Collect and decompress the body of a reply, with a bound on its size and on the work."""

from __future__ import annotations

import zlib
from io import BytesIO

from cohere_rerank.errors import InvalidResponseError, ResponseTooLargeError

from .contract import FIRST_REDIRECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# httpx can decode more encodings, but its decoders have no limit: a reply of a few kB may become gigabytes.
ACCEPT_ENCODING = "gzip, deflate"
MAX_ERROR_BYTES = 256 * 1024  # of the body of an error, after decompression
_COMPRESSIONS = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress")
_STEP_BYTES = 64 * 1024  # decompressed at once
_MAX_PIECES = 20_000  # each costs time, however small it is; a larger limit allows more
_PIECES_IN_A_STEP = 500
_MAX_OVERHEAD_BYTES = 64 * 1024  # of the compressed form
_HTML_STARTS = (b"<!doctype html", b"<html")


class BoundedBody:
    """The body of one reply.

    Args:
        headers: The headers of the reply, with names in lower case.
        limit: The largest body of a success in bytes, as sent and after decompression.

    Raises:
        ResponseTooLargeError: The body is larger than the limit.
        InvalidResponseError: The body cannot be decompressed.

    With an error status neither is raised, because the status says enough. The body is then empty, ``is_discarded`` is
    True, and there is nothing more to read.
    """

    def __init__(self, headers: Mapping[str, str], status: int, limit: int) -> None:
        self._headers = headers
        self._status = status
        self._limit = limit if status < FIRST_REDIRECT else min(limit, MAX_ERROR_BYTES)
        self._first = b""
        self._all: BytesIO | None = None  # only if there is more than one piece
        self._size = 0
        self._n_wire_bytes = self._n_pieces = 0
        self.is_discarded = False
        self._decompressor = self._decompressor_for(headers.get("content-encoding", ""))
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._limit:
            self._reject_too_large()

    def _decompressor_for(self, encoding: str) -> _Decompressor | None:
        # Some servers send "utf-8" or "none". httpx ignores unknown encodings too.
        names = [name for name in encoding.lower().replace(" ", "").split(",") if name in _COMPRESSIONS]
        if not names:
            return None
        if len(names) > 1 or names[0] not in ("gzip", "x-gzip", "deflate"):
            self._discard(f"its Content-Encoding is {encoding[:40]!r}, but only {ACCEPT_ENCODING} can be read")
        return _Decompressor(may_be_raw=names[0] == "deflate")

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes from the connection."""
        for _ in self.steps(chunk):
            pass

    def steps(self, chunk: bytes) -> Iterator[None]:
        """Add the next bytes from the connection. Yield between steps of bounded work."""
        if self.is_discarded:
            return
        self._n_pieces += 1
        self._n_wire_bytes += len(chunk)
        is_too_much = self._n_wire_bytes > self._limit + _MAX_OVERHEAD_BYTES
        if is_too_much or self._n_pieces > _MAX_PIECES + self._limit // 256:
            self._reject_too_large(chunk)
        elif self._decompressor is None:
            self._add(chunk)
            if self._n_pieces % _PIECES_IN_A_STEP == 0:
                yield
        else:
            yield from self._decompressed(self._decompressor, chunk)

    def _decompressed(self, decompressor: _Decompressor, chunk: bytes) -> Iterator[None]:
        try:
            for piece in decompressor.pieces(chunk):
                self._add(piece)
                if self.is_discarded:
                    return
                if len(piece) == _STEP_BYTES:
                    yield
        except zlib.error as error:
            self._discard(f"the compressed body is damaged ({error})")

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._reject_too_large(piece)
        elif self._all is not None:
            self._all.write(piece)
        elif not self._first:
            self._first = piece
        else:  # not a list of pieces, because there may be one for each byte
            self._all = BytesIO()
            self._all.write(self._first)
            self._all.write(piece)

    def content(self) -> bytes:
        """Return the whole body, after all of it was fed."""
        if self._decompressor is not None and not self._decompressor.is_complete and not self.is_discarded:
            self._discard("the compressed body ends too early")
        return self._first if self._all is None else self._all.getvalue()

    def _discard(self, problem: str) -> None:
        if self._status < FIRST_REDIRECT:
            message = f"The reply cannot be read: {problem}"
            raise InvalidResponseError(message, status_code=self._status, headers=self._headers) from None
        self.is_discarded = True
        self._first, self._all = b"", None

    def _reject_too_large(self, piece: bytes = b"") -> None:
        if self._status < FIRST_REDIRECT:
            if (self._first or piece).lstrip()[:20].lower().startswith(_HTML_STARTS):
                self._discard("an HTML page came instead of JSON; check base_url (cohere-rerank doctor helps)")
            raise ResponseTooLargeError(
                f"The reply is larger than {self._limit} bytes, more than this request can need. If that is expected, "
                "set max_response_bytes.",
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

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield the next decompressed bytes, at most `_STEP_BYTES` at once."""
        data = self._pending + data
        self._pending = b""
        is_full = False  # zlib may hold more output
        while data or is_full:
            if self._stream is None or self._stream.eof:
                data = data if self._stream is None else data.lstrip(b"\0")  # gzip allows padding after a member
                if len(data) < 2:
                    self._pending = data
                    return
                if self._stream is not None and data[:2] != b"\x1f\x8b":
                    return  # such as CRLF after the last member; httpx ignores it too
                self._stream = zlib.decompressobj(self._window_bits(data))
            piece = self._stream.decompress(data, _STEP_BYTES)
            is_full = len(piece) == _STEP_BYTES and not self._stream.eof
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    @property
    def is_complete(self) -> bool:
        """Whether nothing, or only whole streams, were fed."""
        return not self._pending if self._stream is None else self._stream.eof

    def _window_bits(self, data: bytes) -> int:
        # "deflate" means zlib's format (RFC 1950, whose header is a multiple of 31), but some send a raw stream.
        is_zlib = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
        is_raw = self._may_be_raw and not is_zlib and data[:2] != b"\x1f\x8b"
        return -zlib.MAX_WBITS if is_raw else 32 + zlib.MAX_WBITS  # 32: zlib detects gzip and zlib by their headers
