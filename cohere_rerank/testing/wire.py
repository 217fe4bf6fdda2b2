"""One request as it came over a socket, and the connection to answer it on. HTTP/1.1 is read by h11."""

from __future__ import annotations

import asyncio
import json as json_
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from .socket_server import SocketServer

__all__ = ["Exchange", "Request", "RequestReader", "head", "phrase"]

Pairs = list[tuple[str, str]]
Reply = Callable[["Exchange"], Awaitable[None]]

MAX_BODY_BYTES = 256 * 1024 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_BLOCK = 256 * 1024
_STATUS_BYTES = len(b"HTTP/1.1 200")


@dataclass(repr=False)
class Request:
    """What the server read.

    Attributes:
        method: Such as ``"POST"``.
        path: As sent, with the query if there is one.
        headers: Pairs, as sent and in that order.
        body: All of it, without its framing.
        connection: The number of its connection, from 1.
        time: Seconds of ``time.monotonic`` when its headers had arrived.
    """

    method: str
    path: str
    headers: Pairs
    body: bytes
    connection: int
    time: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        """The body as data.

        Raises:
            ValueError: It is no JSON.
        """
        return json_.loads(self.body)

    @property
    def model(self) -> Any:
        """The body's ``model``."""
        return self.json["model"]

    @property
    def query(self) -> Any:
        """The body's ``query``."""
        return self.json["query"]

    @property
    def documents(self) -> Any:
        """The body's ``documents``, as they were sent: structured ones are YAML by then."""
        return self.json["documents"]

    @property
    def key(self) -> str | None:
        """The API key that it was sent with."""
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        return key if scheme.lower() == "bearer" and key else None

    def header(self, name: str) -> str | None:
        """The header's value, values of repeats joined, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def __repr__(self) -> str:  # pytest prints it: no text, no key
        return f"<{self.method} {self.path.partition('?')[0]}, {len(self.body)} bytes>"


class RequestReader:
    """Reads the requests of one connection, one after the other.

    Args:
        number: Of the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self._number = number
        self._rest = b""

    async def head(self) -> Request | None:
        """The next request, without its body, or None once the client has hung up between two.

        Raises:
            h11.RemoteProtocolError: This is no HTTP.
        """
        # A fresh state for each request: h11 follows both sides, and what is sent here may break every rule.
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        if self._rest:
            self._http.receive_data(self._rest)
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()]
        return Request(event.method.decode(), event.target.decode("latin-1"), headers, b"", self._number)

    async def body(self, request: Request) -> None:
        """Read the rest of a request.

        Raises:
            h11.RemoteProtocolError: The framing is broken, the client hung up, or the body is longer than anybody's.
        """
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces, n_bytes = [], 0
        while isinstance(event := await self._event(), h11.Data):
            pieces.append(bytes(event.data))
            n_bytes += len(event.data)
            if n_bytes > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
        request.body = b"".join(pieces)
        self._rest = self._http.trailing_data[0]

    async def _event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_BLOCK))
        return event


class Exchange:
    """One request and the connection to answer it on.

    Attributes:
        keep_alive: Whether the connection stays open afterwards.
    """

    def __init__(
        self, server: SocketServer, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.request = request
        self._reader = reader
        self._writer = writer
        self._begin = b""  # of what was sent
        self.keep_alive = (request.header("connection") or "").lower() != "close"

    @property
    def status(self) -> int | None:
        """The status that was sent; None if nothing was that has one."""
        code = self._begin[_STATUS_BYTES - 3 :]
        return int(code) if len(code) == 3 and code.isdigit() else None

    async def send(self, data: bytes) -> None:
        """Write, wait until the kernel took it; ConnectionError once the client is gone."""
        if self._reader.at_eof() or self._writer.is_closing():
            raise ConnectionResetError("the client is gone")
        self._begin += data[: _STATUS_BYTES - len(self._begin)]
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, status: int, headers: Pairs) -> None:
        """Write status line and headers."""
        await self.send(head(status, headers))

    async def until_gone(self) -> None:
        """Wait until the client hangs up."""
        while await self._reader.read(_BLOCK):
            pass
        self.keep_alive = False

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
        self.keep_alive = False


def head(status: int, headers: Pairs) -> bytes:
    """Status line and headers as bytes."""
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def phrase(status: int) -> str:
    """The status in words; also one that is nobody's standard, such as 498 or 520."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Custom"
