"""Read the bytes of one reply of HTTP/1.1, in pieces of any size. No I/O.

The fast path reads plain, unambiguous replies only: a normal status line, header lines of printable ASCII, and one
known framing. Everything else goes to h11, with all bytes that were read so far. So doubt costs time, and the rules
of framing stay with a library. `tests/transport/test_reply_reader.py` compares both.
"""

from __future__ import annotations

import re

from cohere_rerank.errors import ResponseTooLargeError

from .connection_errors import RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .h11_reader import H11Reader

MAX_PLAIN_HEAD_BYTES = 65_536
_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t -~]*"
_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: (%b))?\r\n((?:%b:%b\r\n)*)\r\n" % (_TEXT, _NAME, _TEXT))
_EMPTY_LINE = re.compile(rb"\n\r?\n")  # where h11 sees the end of a head
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_MAX_SIZE_LINE = 10
_SINGLE = ("content-length", "transfer-encoding", "connection")  # repeated, they are not plain

_IN_HEAD, _IN_LENGTH, _IN_CHUNKS, _IN_H11 = range(4)
_AT_SIZE, _AT_CHUNK_END, _AT_LAST = -1, 0, -2  # where in the chunks; a positive number: bytes that remain of one


class ReplyReader:
    """One reply.

    Args:
        method: The method of the request. A reply to HEAD has no body.
        max_bytes: The largest number of bytes on the wire, headers included. Default: None, no limit.
        is_last: Whether the connection must not be used again, whatever the reply says.

    Attributes:
        status: The status. 0 until the head is complete.
        headers: The headers, with names in lower case. The last one of a name counts.
        body: The bytes of the body that the last call of `feed` read.
        is_reusable: Whether the connection can be used again. False until the reply is complete.
    """

    status = 0
    reason = b""
    http_version = b"HTTP/1.1"
    headers: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed
    body = b""
    is_reusable = False
    _method = "POST"
    _is_last = False
    _n_bytes = 0
    _state = _IN_HEAD
    _buffer: bytearray | None = None
    _head = b""  # of a reply in chunks
    _left = 0
    _lines: list[str] = []  # noqa: RUF012
    _h11: H11Reader | None = None

    def __init__(self, method: str = "POST", max_bytes: int | None = None, *, is_last: bool = False) -> None:
        self._method = method
        self._max_bytes = max_bytes
        self._is_last = is_last

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The headers as they came."""
        parts = [line.partition(":") for line in self._lines]
        return [(name, value.strip(" \t")) for name, _, value in parts]

    def feed(self, data: bytes) -> bool:
        """Read the next bytes, or the end of the connection if there are none. Return whether the reply is complete.

        Raises:
            RemoteProtocolError: This is not HTTP/1.1, or it ends too early.
            ResponseTooLargeError: It is larger than *max_bytes*.
        """
        self._n_bytes += len(data)
        if self._max_bytes is not None and self._n_bytes > self._max_bytes:
            raise ResponseTooLargeError(
                "The server sent more than this request can need. If that is expected, set max_response_bytes."
            )
        if self._state == _IN_HEAD:
            found = _HEAD.match(data) if self._buffer is None else None
            return self._read_partial_head(data) if found is None else self._start(data, found)
        self.body = b""
        if self._state == _IN_H11:
            return self._read_by_h11(data)
        if not data:
            raise RemoteProtocolError("peer closed connection without sending complete message body")
        return self._read_length(data) if self._state == _IN_LENGTH else self._read_chunks(data)

    def _read_partial_head(self, data: bytes) -> bool:
        if not data:
            raise RemoteProtocolError("Server disconnected without sending a response.")
        if self._buffer is None:
            self._buffer = bytearray()
        buffer = self._buffer
        n_before = len(buffer)
        buffer += data
        is_plain_start = buffer.startswith(b"HTTP/1.1 "[: len(buffer)])
        end = _EMPTY_LINE.search(buffer, max(0, n_before - 3))
        if is_plain_start and end is None and len(buffer) <= MAX_PLAIN_HEAD_BYTES:
            return False
        whole = bytes(buffer)
        self._buffer = None
        found = _HEAD.match(whole) if end is not None and is_plain_start else None
        return self._hand_over(whole) if found is None else self._start(whole, found)

    def _start(self, data: bytes, found: re.Match[bytes]) -> bool:
        """Read a head of plain lines, and what came with it of the body."""
        status, reason, lines = found.groups()
        fields = lines.decode("ascii").split("\r\n")
        fields.pop()
        headers = {}
        for line in fields:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip(" \t")
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        connection = headers.get("connection")
        end = found.end()
        if (
            (length is None) == (coding is None)
            or (length is not None and not (length.isdigit() and len(length) < 16))
            or (coding is not None and coding != "chunked")
            or (connection is not None and connection.lower() not in ("keep-alive", "close"))
            or "upgrade" in headers
            or self._method in ("HEAD", "CONNECT")
            or status in (b"204", b"304")
            or end > MAX_PLAIN_HEAD_BYTES
            or (len(headers) < len(fields) and _repeats_framing(fields))
        ):
            return self._hand_over(data)
        self.status = int(status)
        self.reason = reason or b""
        self.headers = headers
        self._lines = fields
        if connection is not None and connection.lower() == "close":
            self._is_last = True
        rest = data[end:]
        if length is None:
            self._state = _IN_CHUNKS
            self._left = _AT_SIZE
            self._head = data[:end]
            return self._read_chunks(rest)
        left = int(length)
        if len(rest) == left:
            self.body = rest
            self.is_reusable = not self._is_last
            return True
        self._state = _IN_LENGTH
        self._left = left
        return self._read_length(rest)

    def _read_length(self, data: bytes) -> bool:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            self.body = data
            return False
        self.body = data if left == 0 else data[:left]
        self.is_reusable = left == 0 and not self._is_last
        return True

    def _read_chunks(self, data: bytes) -> bool:
        if self._buffer is not None:
            data = bytes(self._buffer) + data
            self._buffer = None
        pieces: list[bytes] = []
        at, n_bytes, left = 0, len(data), self._left
        while at < n_bytes:
            if left > 0:
                piece = data[at : at + left]
                pieces.append(piece)
                at += len(piece)
                left -= len(piece)
            elif left == _AT_SIZE:
                found = _CHUNK_SIZE.match(data, at)
                if found is None:
                    break
                left = int(found[1], 16) or _AT_LAST
                at = found.end()
            elif data[at : at + 2] != b"\r\n":
                break
            else:
                at += 2
                if left == _AT_LAST:
                    self.is_reusable = at == n_bytes and not self._is_last
                    self.body = b"".join(pieces)
                    return True
                left = _AT_SIZE
        self._left = left
        self.body = b"".join(pieces)
        return at < n_bytes and self._keep_or_hand_over(data[at:])

    def _keep_or_hand_over(self, rest: bytes) -> bool:
        """Keep the start of a plain line until the remainder of the line comes. Hand everything else over."""
        if self._left == _AT_SIZE:
            is_start = len(rest) < _MAX_SIZE_LINE and b"\n" not in rest
        else:
            is_start = rest == b"\r"
        if is_start:
            self._buffer = bytearray(rest)
            return False
        body = self.body
        # h11 reads the head, and reaches the place where we are.
        self._hand_over(self._head + {_AT_SIZE: b"", _AT_LAST: b"0\r\n"}.get(self._left, b"1\r\n."))
        is_complete = self._read_by_h11(rest)
        self.body = body + self.body
        return is_complete

    def _hand_over(self, data: bytes) -> bool:
        """Let h11 read the reply, from its first byte on."""
        from .h11_reader import H11Reader

        self._state = _IN_H11
        self._h11 = H11Reader(self._method, self._max_bytes)
        return self._read_by_h11(data)

    def _read_by_h11(self, data: bytes) -> bool:
        reader = self._h11
        assert reader is not None, "it is made before this state is entered"
        is_complete = reader.feed(data)
        self.body = reader.body
        if reader.status:
            self.status, self.reason, self.http_version = reader.status, reader.reason, reader.http_version
            self._lines = [f"{name}:{value}" for name, value in reader.fields]
            self.headers = {name.lower(): value for name, value in reader.fields}
        self.is_reusable = reader.is_reusable and not self._is_last
        return is_complete


def _repeats_framing(lines: list[str]) -> bool:
    names = [line.partition(":")[0].lower() for line in lines]
    return any(names.count(name) > 1 for name in _SINGLE)
