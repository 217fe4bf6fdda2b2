"""Replies of a `SocketServer`, to the byte: whole ones, broken ones and slow ones."""

from __future__ import annotations

import asyncio
import gzip
import json as json_
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

from .wire import Exchange, Headers, Reply, head

__all__ = ["delayed", "dripped", "encode", "error", "hang", "hang_up", "raw", "reply", "reset", "truncated"]

_CHUNK_BYTES = 1000


def reply(
    status: int = 200,
    *,
    json: Any = None,
    text: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | Headers | None = None,
    encoding: str | None = None,
    chunked: bool = False,
    close: bool = False,
) -> Reply:
    """Return a whole reply. Without *json*, *text* and *body*, its body is empty.

    Args:
        status: The status.
        json: The body as data.
        text: The body as text.
        body: The body as bytes.
        headers: Further headers. They replace the default ``content-type``.
        encoding: ``gzip`` or ``deflate``: compress the body and declare it. *headers* can declare something else.
        chunked: Send the body in chunks of 1,000 bytes, without a content-length.
        close: Close the connection afterwards without notice, as a server does when its keep-alive time is over.
    """
    content_type = "application/json"
    if json is not None:
        body = json_.dumps(json).encode()
    elif text is not None:
        content_type = "text/html" if text.lstrip().startswith("<") else "text/plain"
        body = text.encode()
    body = body if body is not None else b""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("content-type", content_type))
    if encoding is not None:
        body = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
        pairs.append(("content-encoding", encoding))
    data = encode(status, pairs, body, chunked=chunked)

    async def send(exchange: Exchange) -> None:
        await exchange.send(data)
        if close:
            exchange.keep_alive = False

    return send


def encode(status: int, headers: Headers, body: bytes, *, chunked: bool = False) -> bytes:
    """Return a response as bytes, with its framing."""
    if not chunked:
        return head(status, [*headers, ("content-length", str(len(body)))]) + body
    chunks = [body[i : i + _CHUNK_BYTES] for i in range(0, len(body), _CHUNK_BYTES)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head(status, [*headers, ("transfer-encoding", "chunked")]) + framed + b"0\r\n\r\n"


def error(status: int, message: str, **options: Any) -> Reply:
    """Return an error in Cohere's form: ``{"id", "message"}``."""
    return reply(status, json={"id": str(uuid.uuid4()), "message": message}, **options)


def hang_up() -> Reply:
    """Close without sending a byte, as a server does that drops a reused connection."""

    async def send(exchange: Exchange) -> None:
        exchange.keep_alive = False

    return send


def reset(where: str = "start") -> Reply:
    """Send RST at the ``start``, inside the ``head`` or inside the ``body``."""
    before = {"start": b"", "head": b"HTTP/1.1 200 OK\r\ncontent-ty", "body": _partial_response()}[where]

    async def send(exchange: Exchange) -> None:
        if before:
            await exchange.send(before)
        exchange.reset()

    return send


def truncated(chunked: bool = False) -> Reply:
    """Send half a body, then FIN: less than its content-length, or no last chunk."""
    return raw(_partial_response(chunked))


def _partial_response(chunked: bool = False) -> bytes:
    body = b'{"results": [{"index": 0, "relev'
    if chunked:
        framed = head(200, [("content-type", "application/json"), ("transfer-encoding", "chunked")])
        return framed + b"%x\r\n%b\r\n" % (len(body), body)
    return head(200, [("content-type", "application/json"), ("content-length", "1000")]) + body


def raw(data: bytes) -> Reply:
    """Send these bytes, then FIN."""

    async def send(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.keep_alive = False

    return send


def hang() -> Reply:
    """Send nothing, and wait until the client closes the connection."""

    async def send(exchange: Exchange) -> None:
        await exchange.until_disconnect()

    return send


def dripped(data: bytes, interval_s: float) -> Reply:
    """Send these bytes one by one, with a pause after each."""

    async def send(exchange: Exchange) -> None:
        for i in range(len(data)):
            await exchange.send(data[i : i + 1])
            await asyncio.sleep(interval_s)

    return send


def delayed(seconds: float, then: Reply) -> Reply:
    """Wait, then send another reply."""

    async def send(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await then(exchange)

    return send
