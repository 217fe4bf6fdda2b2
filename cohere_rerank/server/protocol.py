"""uvicorn's HTTP protocol with limits on connections, on time and on framing, and with JSON errors."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

import h11
from pydantic_core import to_json

from cohere_rerank._extras import importing

from .http import JSON
from .listener import max_connections

with importing("server", "The server"):
    from uvicorn.protocols.http.h11_impl import H11Protocol

_log = logging.getLogger("cohere_rerank.server")
_TLS_HELLO = b"\x16\x03"  # RFC 8446, section 5.1
_INVALID_HTTP = "the server cannot read this as an HTTP request"
_MAX_HEAD_BYTES = 64 * 1024
_HEAD_TIMEOUT_S = 10.0  # for the head of a request
_DISCARD_TIMEOUT_S = 30.0  # for the rest of a body after the response
_STALL_TIMEOUT_S = 10.0  # for a client that reads nothing of its response
_READ_BYTES = 64 * 1024  # at once, so that one connection cannot keep the event loop for long
_FIRST_READ_BYTES = 4 * 1024  # before it is known whether a body comes in chunks
_CHUNKS_PER_READ = 64  # h11 needs 27 us for a chunk, however small
_CHUNK_HEAD_BYTES = 5
_MAX_PIECES = 20_000
_MIN_PIECE_BYTES = 64


class _StrictConnection(h11.Connection):
    """h11's connection. It also rejects ambiguous framing and bodies in tiny chunks."""

    is_chunked = is_head = False
    _n_pieces = _n_bytes = 0

    def next_event(self) -> Any:
        """Return the next event.

        Raises:
            h11.RemoteProtocolError: The data breaks a rule of HTTP or of this class.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            self.is_chunked = b"transfer-encoding" in names
            self.is_head = event.method == b"HEAD"
            self._n_pieces = self._n_bytes = 0
            if self.is_chunked and b"content-length" in names:  # RFC 9112, section 6.3
                raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding exclude each other")
        elif isinstance(event, h11.Data):
            self._n_pieces += 1
            self._n_bytes += len(event.data)
            if self._n_pieces > _MAX_PIECES + self._n_bytes // _MIN_PIECE_BYTES:
                raise h11.RemoteProtocolError("the body has too many small chunks")
        return event

    def n_bytes_to_read(self) -> int:
        """Return how much to read at once, so that the event loop soon gets to other connections."""
        if self.their_state is h11.IDLE:
            return _FIRST_READ_BYTES
        if not self.is_chunked:
            return _READ_BYTES
        mean_bytes = self._n_bytes // max(1, self._n_pieces)
        return min(_READ_BYTES, _CHUNKS_PER_READ * (mean_bytes + _CHUNK_HEAD_BYTES))


class _JoinedWrites:
    """A transport that sends the head of a response together with the beginning of the body.

    Two packets would cost a second system call, and 40 ms if the client delays its acknowledgement of the first one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send the data, or keep it if it is the head of a response."""
        data, self._head = self._head + data, b""
        if data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1":
            self._head = data
        elif data:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that waits for its body, because there is none."""
        data, self._head = self._head, b""
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Send everything, and close the connection."""
        self.flush()
        self._transport.close()


class StrictH11Protocol(H11Protocol):
    """uvicorn's protocol on h11, with these additions.

    A connection closes if the head of a request takes too long, if the client sends the rest of a body for too long
    after the response, or if it reads nothing of a response. At the limit of connections, a new connection replaces
    the one that has been idle for the longest time. Invalid HTTP gets a response in JSON.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn: _StrictConnection = _StrictConnection(h11.SERVER, _MAX_HEAD_BYTES)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # The idle connections of a server, in the order of the time since which they are idle.
        self._idle: dict[StrictH11Protocol, None] = vars(self.server_state).setdefault("idle_connections", {})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first head, and make room if the server has too many connections."""
        self._socket_transport = transport
        super().connection_made(_JoinedWrites(transport))  # type: ignore[arg-type]
        self._read_at_most(_FIRST_READ_BYTES)
        self._set_timer("head", _HEAD_TIMEOUT_S, transport.close)
        self._idle[self] = None
        if len(self.connections) > max_connections():
            next(iter(self._idle))._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._idle.pop(self, None)
        self._clear_timers("head", "discard", "stall")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read the data. A head that has begun must be complete within its time."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._read_at_most(self.conn.n_bytes_to_read())
        if self.conn.their_state is not h11.IDLE:
            self._idle.pop(self, None)
            self._clear_timers("head")
        elif "head" not in self._timers:
            self._clear_timers("discard")
            self._set_timer("head", _HEAD_TIMEOUT_S, self.transport.close)

    def on_response_complete(self) -> None:
        """Limit the time that the client takes for the rest of its body, and to read the response."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()
        n_bytes = self.transport.get_write_buffer_size()
        if n_bytes and "stall" not in self._timers:
            self._set_timer("stall", _STALL_TIMEOUT_S, self._abort_if_stalled, n_bytes)
        if self.conn.their_state is h11.IDLE:
            self._idle[self] = None
        elif self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
            self._set_timer("discard", _DISCARD_TIMEOUT_S, self.transport.abort)

    def _abort_if_stalled(self, n_bytes_before: int) -> None:
        n_bytes = self.transport.get_write_buffer_size()
        if n_bytes >= n_bytes_before:
            self.transport.abort()
        elif n_bytes:
            self._set_timer("stall", _STALL_TIMEOUT_S, self._abort_if_stalled, n_bytes)

    def _make_room(self) -> None:
        """Close this connection, because it is idle and a new one needs its place."""
        self._idle.pop(self, None)
        self.connections.discard(self)
        self.transport.abort()

    def _read_at_most(self, n_bytes: int) -> None:
        self._socket_transport.max_size = n_bytes  # type: ignore[attr-defined]  # of asyncio's transports

    def _set_timer(self, name: str, seconds: float, callback: Callable[..., object], *arguments: object) -> None:
        def expire() -> None:
            del self._timers[name]
            callback(*arguments)

        self._timers[name] = self.loop.call_later(seconds, expire)

    def _clear_timers(self, *names: str) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn logs its own message
        """Send a 400, unless a response has already started. Then close the connection."""
        if self.cycle is not None:  # the application handles this request or the previous one
            self.cycle.disconnected = True  # keep the application from sending a second response
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = str(uuid.uuid4())
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.conn.is_head
            body = to_json({"id": request_id, "message": _INVALID_HTTP})
            headers = {
                "content-type": JSON,
                "content-length": str(len(body)),
                "x-request-id": request_id,
                "x-content-type-options": "nosniff",
                "connection": "close",
            }
            response = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
            for event in (response, h11.Data(data=b"" if is_head else body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            fields = {"request_id": request_id}
            is_tls = self.conn.trailing_data[0].startswith(_TLS_HELLO)
            reason = "a client speaks TLS, but this server needs http://" if is_tls else "invalid HTTP"
            _log.warning("%s; request %s", reason, request_id, extra={"fields": fields})
        self.transport.close()
