"""One HTTP/1.1 request from a socket, and the connection for its response. h11 parses the requests."""

from __future__ import annotations

import asyncio
import json as json_
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11

__all__ = ["Exchange", "Request", "RequestReader", "head", "phrase"]

Headers = list[tuple[str, str]]
Reply = Callable[["Exchange"], Awaitable[None]]

MAX_BODY_BYTES = 256 * 1024 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024
_STATUS_BYTES = len(b"HTTP/1.1 200")


@dataclass(repr=False)
class Request:
    """A request as the server read it.

    Attributes:
        method: The method, such as ``"POST"``.
        path: The path as sent, with the query string if there is one.
        headers: The headers as pairs, in the order in which they were sent.
        body: The whole body, without its framing.
        connection: The number of its connection, counted from 1.
        time: The time at which its headers had arrived, in seconds of ``time.monotonic``.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    connection: int
    time: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        """The body as data.

        Raises:
            ValueError: The body is not JSON.
        """
        return json_.loads(self.body)

    @property
    def model(self) -> Any:
        """The ``model`` in the body."""
        return self.json["model"]

    @property
    def query(self) -> Any:
        """The ``query`` in the body."""
        return self.json["query"]

    @property
    def documents(self) -> Any:
        """The ``documents`` in the body, as sent: clients send structured documents as YAML."""
        return self.json["documents"]

    @property
    def key(self) -> str | None:
        """The API key of the request, or None."""
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        return key if scheme.lower() == "bearer" and key else None

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. Several values are joined with commas."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def __repr__(self) -> str:  # pytest prints it, so it contains no text and no key
        return f"<{self.method} {self.path.partition('?')[0]}, {len(self.body)} bytes>"


class RequestReader:
    """Reads the requests of one connection, one after the other.

    Args:
        reader: The stream to read from.
        writer: The stream for an interim response.
        number: The number of the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self._number = number
        self._pending = b""

    async def head(self) -> Request | None:
        """Return the next request without its body, or None if the client closed the connection.

        Raises:
            h11.RemoteProtocolError: The data is not valid HTTP, or its framing is ambiguous.
        """
        # h11 tracks both sides, and replies may break every rule. So each request gets a new h11 connection.
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        if self._pending:
            self._http.receive_data(self._pending)
        event = await self._next_event()
        if not isinstance(event, h11.Request):
            return None
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:  # RFC 9112, section 6.3
            raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding exclude each other")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()]
        return Request(event.method.decode(), event.target.decode("latin-1"), headers, b"", self._number)

    async def body(self, request: Request) -> None:
        """Read the body of a request.

        Raises:
            h11.RemoteProtocolError: The framing is broken, the client closed the connection, or the body is larger
                than `MAX_BODY_BYTES`.
        """
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces, n_bytes = [], 0
        while isinstance(event := await self._next_event(), h11.Data):
            pieces.append(bytes(event.data))
            n_bytes += len(event.data)
            if n_bytes > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
        request.body = b"".join(pieces)
        self._pending = self._http.trailing_data[0]

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event


class Exchange:
    """One request, and the connection for its response.

    Attributes:
        server: The `SocketServer` that received the request. Replies may read its settings.
        request: The request.
        keep_alive: Whether the connection stays open afterwards.
    """

    def __init__(
        self, server: Any, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.request = request
        self._reader = reader
        self._writer = writer
        self._sent_start = b""
        self.keep_alive = (request.header("connection") or "").lower() != "close"

    @property
    def status(self) -> int | None:
        """The status that was sent, or None if no status was sent."""
        code = self._sent_start[_STATUS_BYTES - 3 :]
        return int(code) if len(code) == 3 and code.isdigit() else None

    async def send(self, data: bytes) -> None:
        """Write the data, and wait until the kernel has it.

        Raises:
            ConnectionError: The client closed the connection.
        """
        if self._reader.at_eof() or self._writer.is_closing():
            raise ConnectionResetError("the client closed the connection")
        self._sent_start += data[: _STATUS_BYTES - len(self._sent_start)]
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, status: int, headers: Headers) -> None:
        """Write the status line and the headers."""
        await self.send(head(status, headers))

    async def until_disconnect(self) -> None:
        """Wait until the client closes the connection."""
        while await self._reader.read(_READ_BYTES):
            pass
        self.keep_alive = False

    def reset(self) -> None:
        """Close the connection with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
        self.keep_alive = False


def head(status: int, headers: Headers) -> bytes:
    """Return the status line and the headers as bytes."""
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def phrase(status: int) -> str:
    """Return the reason phrase of a status. Statuses without a standard, such as 498, have one too."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Custom"
