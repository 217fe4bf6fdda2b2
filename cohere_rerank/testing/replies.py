"""What a `SocketServer` can answer, byte by byte: whole replies, broken ones, slow ones."""

from __future__ import annotations

import asyncio
import gzip
import json as json_
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

from .wire import Exchange, Pairs, Reply, head

__all__ = ["delayed", "dripped", "error", "hang", "hang_up", "raw", "reply", "reset", "truncated", "whole"]

_PIECE = 1000


def reply(
    status: int = 200,
    *,
    json: Any = None,
    text: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | Pairs | None = None,
    encoding: str | None = None,
    chunked: bool = False,
    close: bool = False,
) -> Reply:
    """A whole reply.

    Args:
        status: Of the status line.
        json: The body as a value; or *text*; or *body* as bytes. None of them: an empty body.
        text: See *json*.
        body: See *json*.
        headers: Further headers; they replace the default ``content-type``.
        encoding: ``gzip`` or ``deflate``: compress the body and say so. *headers* can mislabel.
        chunked: Send the body in chunks of 1,000 bytes, without a content-length.
        close: Hang up afterwards unannounced, as a server does whose keep-alive ran out.
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
    data = whole(status, pairs, body, chunked=chunked)

    async def send(exchange: Exchange) -> None:
        await exchange.send(data)
        if close:
            exchange.keep_alive = False

    return send


def whole(status: int, headers: Pairs, body: bytes, *, chunked: bool = False) -> bytes:
    """A reply as bytes, with its framing."""
    if not chunked:
        return head(status, [*headers, ("content-length", str(len(body)))]) + body
    pieces = [body[i : i + _PIECE] for i in range(0, len(body), _PIECE)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head(status, [*headers, ("transfer-encoding", "chunked")]) + framed + b"0\r\n\r\n"


def error(status: int, message: str, **options: Any) -> Reply:
    """An error in Cohere's form: ``{"id", "message"}``."""
    return reply(status, json={"id": str(uuid.uuid4()), "message": message}, **options)


def hang_up() -> Reply:
    """Close without a byte, as on a connection that is reused just when the server drops it."""

    async def send(exchange: Exchange) -> None:
        exchange.keep_alive = False

    return send


def reset(where: str = "start") -> Reply:
    """RST at the ``start``, inside the ``head`` or inside the ``body``."""
    before = {"start": b"", "head": b"HTTP/1.1 200 OK\r\ncontent-ty", "body": _half_a_reply()}[where]

    async def send(exchange: Exchange) -> None:
        if before:
            await exchange.send(before)
        exchange.reset()

    return send


def truncated(chunked: bool = False) -> Reply:
    """Half a body, then FIN: shorter than its content-length, or without the last chunk."""
    return raw(_half_a_reply(chunked))


def _half_a_reply(chunked: bool = False) -> bytes:
    body = b'{"results": [{"index": 0, "relev'
    if chunked:
        framed = head(200, [("content-type", "application/json"), ("transfer-encoding", "chunked")])
        return framed + b"%x\r\n%b\r\n" % (len(body), body)
    return head(200, [("content-type", "application/json"), ("content-length", "1000")]) + body


def raw(data: bytes) -> Reply:
    """These bytes, then FIN."""

    async def send(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.keep_alive = False

    return send


def hang() -> Reply:
    """Never answer."""

    async def send(exchange: Exchange) -> None:
        await exchange.until_gone()

    return send


def dripped(data: bytes, interval_s: float) -> Reply:
    """These bytes, one by one, with a pause after each."""

    async def send(exchange: Exchange) -> None:
        for i in range(len(data)):
            await exchange.send(data[i : i + 1])
            await asyncio.sleep(interval_s)

    return send


def delayed(seconds: float, then: Reply) -> Reply:
    """Another reply, later."""

    async def send(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await then(exchange)

    return send
