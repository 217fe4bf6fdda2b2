"""A small real HTTP/1.1 server that answers like Cohere's rerank API and misbehaves on demand.

    with Server() as server:
        server.script(reply(503), reset("body"))  # the first two; later ones get a good answer
        ClientV2(api_key="k", base_url=server.url).rerank(...)
        assert [request.json["query"] for request in server.requests] == ["q", "q", "q"]

A reply is an ``async def (exchange) -> None`` that writes whatever bytes it likes; the functions
below make the usual ones. Nothing needs to sleep: ``hold`` keeps replies back, ``wait_until`` waits
for what the server has seen.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json as json_
import socket
import ssl
import struct
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Pairs = list[tuple[str, str]]
Reply = Callable[["Exchange"], Awaitable[None]]

PATIENCE_S = 10.0  # how long a test waits for something that should happen at once
FIELDS = {
    "model",
    "query",
    "documents",
    "top_n",
    "max_tokens_per_doc",
    "priority",
    "relevant_spans",
}


@dataclass
class Request:
    """What the server read: headers as sent, the connection's number from 1, monotonic seconds."""

    method: str
    path: str
    headers: Pairs
    body: bytes
    connection: int
    time: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json_.loads(self.body)

    def header(self, name: str) -> str | None:
        """The header's value, values of repeats joined, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


class Exchange:
    """One request and the connection to answer it on."""

    def __init__(
        self,
        server: Server,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.server = server
        self.request = request
        self._reader = reader
        self._writer = writer
        self.keep_alive = (request.header("connection") or "").lower() != "close"

    async def send(self, data: bytes) -> None:
        """Write, wait until the kernel took it; ConnectionError once the client is gone."""
        if self._reader.at_eof() or self._writer.is_closing():
            raise ConnectionResetError("the client is gone")
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, status: int, headers: Pairs) -> None:
        await self.send(head(status, headers))

    async def until_gone(self) -> None:
        """Wait until the client hangs up."""
        while await self._reader.read(65536):
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
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Custom"
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        *(f"{name}: {value}" for name, value in headers),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


# Replies ----------------------------------------------------------------------------------------


def answer() -> Reply:
    """What the API would answer; the server's default."""

    async def send(exchange: Exchange) -> None:
        status, payload = exchange.server.respond(exchange.request)
        await reply(status, json=payload)(exchange)

    return send


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
        json: The body as a value; or ``text``; or ``body`` as bytes. None of them: an empty body.
        headers: Further headers; they replace the default ``content-type``.
        encoding: ``gzip`` or ``deflate``: compress the body and say so. ``headers`` can mislabel.
        chunked: Send the body in chunks of 1,000 bytes, without a content-length.
        close: Hang up afterwards unannounced, as a server does whose keep-alive ran out.
    """
    content_type = "text/html" if text is not None and text.lstrip().startswith("<") else "text/plain"
    if json is not None:
        content_type, body = "application/json", json_.dumps(json).encode()
    elif text is not None:
        body = text.encode()
    body = body if body is not None else b""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(
            (
                "content-type",
                content_type if json is not None or text is not None else "application/json",
            )
        )
    if encoding is not None:
        body = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
        pairs.append(("content-encoding", encoding))
    pairs.append(("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body))))

    async def send(exchange: Exchange) -> None:
        pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)] if chunked else [body]
        await exchange.send(head(status, pairs) + (b"" if chunked else body))
        if chunked:
            await exchange.send(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
        if close:
            exchange.keep_alive = False

    return send


def error(status: int, message: str, **options: Any) -> Reply:
    """An error in Cohere's form: ``{"id", "message"}``."""
    return reply(status, json={"id": str(uuid.uuid4()), "message": message}, **options)


def html(status: int = 200) -> Reply:
    """The page of a proxy or a captive portal."""
    return reply(status, text="<!doctype html><html><body><h1>Sign in to continue</h1></body></html>")


def redirect(status: int, location: str) -> Reply:
    """A redirect without a body."""
    return reply(status, headers={"location": location})


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

    async def send(exchange: Exchange) -> None:
        await exchange.send(_half_a_reply(chunked))
        exchange.keep_alive = False

    return send


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


def stall() -> Reply:
    """Neither answer nor read on; as ``early``, the request's body stays unread."""

    async def send(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    return send


def drip(where: str = "body", interval_s: float = 0.01) -> Reply:
    """A byte of ``body`` or ``head``, or a whole ``1xx`` reply, again and again, without end."""
    body = head(200, [("content-type", "application/json"), ("content-length", "1000000")])
    start, again = {
        "body": (body + b'{"id": "', b"x"),
        "head": (b"HTTP/1.1 200 OK\r\nx-slow: ", b"x"),
        "1xx": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    }[where]

    async def send(exchange: Exchange) -> None:
        if start:
            await exchange.send(start)
        while True:
            await exchange.send(again)
            await asyncio.sleep(interval_s)

    return send


def huge(n_bytes: int, *, chunked: bool = False) -> Reply:
    """A valid answer of about ``n_bytes``, blanks for the most part, made while it is sent."""
    block = b" " * 65536
    n_blocks = n_bytes // len(block)
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(n_blocks * len(block) + 15))

    async def send(exchange: Exchange) -> None:
        await exchange.send_head(200, [("content-type", "application/json"), framing])
        for piece in [b'{"results": [', *[block] * n_blocks, b"]}"]:
            await exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await exchange.send(b"0\r\n\r\n" if chunked else b"")

    return send


@functools.cache
def gzip_bomb(n_bytes: int) -> Reply:
    """A valid answer of about ``n_bytes`` once decompressed, a thousandth of that on the wire."""
    packer = zlib.compressobj(wbits=31)
    block = b" " * 1_000_000
    packed = [
        packer.compress(b'{"results": ['),
        *(packer.compress(block) for _ in range(n_bytes // len(block))),
    ]
    body = b"".join([*packed, packer.compress(b"]}"), packer.flush()])
    return reply(body=body, headers={"content-encoding": "gzip", "content-type": "application/json"})


def deep_json(depth: int = 100_000) -> Reply:
    """Lists within lists, deeper than any recursive parser goes."""
    return reply(body=b'{"results": ' + b"[" * depth + b"]" * depth + b"}")


def delayed(seconds: float, then: Reply) -> Reply:
    """Another reply, later."""

    async def send(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await then(exchange)

    return send


# The API ----------------------------------------------------------------------------------------


def score(query: str, document: str) -> float:
    """A document's score, in [0, 1): of the two texts alone, so splitting a list changes none."""
    text = f"{query}\0{document}".encode("utf-8", "surrogatepass")
    return zlib.crc32(text) / 2**32


def respond(body: bytes) -> tuple[int, dict[str, Any]]:
    """The API as a function of a request's body: (status, answer)."""
    try:
        asked = json_.loads(body)
    except ValueError as cause:
        return _error(400, f"invalid json syntax: {cause}")
    problem = _problem(asked)
    if problem is not None:
        return _error(*problem)
    query, documents = asked["query"], asked["documents"]
    ranking = sorted(((-score(query, document), index) for index, document in enumerate(documents)))
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": -minus} for minus, index in ranking]
    results = results[: asked.get("top_n", len(documents))]
    spans = asked.get("relevant_spans")
    if spans is not None and spans.get("mode") == "enabled":
        for result in results:
            result["relevant_spans"] = _spans(query, documents[result["index"]], spans)
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": float(-(-len(documents) // 100))},
    }
    return 200, {"id": str(uuid.uuid4()), "results": results, "meta": meta}


def _spans(query: str, document: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Each word of the document that is also in the query, scored like a document."""
    found, start = [], 0
    for word in document.split():
        start = document.index(word, start)
        if word in query.split():
            found.append({"start": start, "end": start + len(word), "score": score(query, word)})
        start += len(word)
    found = [span for span in found if span["score"] >= options.get("threshold", 0.1)]
    return sorted(found, key=lambda span: -span["score"])[: options.get("max_spans", len(found))]


def _error(status: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"id": str(uuid.uuid4()), "message": message}


def _problem(asked: Any) -> tuple[int, str] | None:
    """What Cohere would find wrong with a request, in its documented words where there are some."""
    if not isinstance(asked, dict):
        return 400, "invalid json syntax: expected an object"
    for name, value in asked.items():
        if name not in FIELDS:
            return 422, (
                f"unknown field: parameter '{name}' is not a valid field. For proper usage, please "
                "refer to https://docs.cohere.com/v2/reference/rerank"
            )
        if value is None:
            return 422, f"invalid type: parameter '{name}' must not be null"
    if not isinstance(asked.get("model"), str) or not asked["model"]:
        return 400, "a model parameter is required for this endpoint."
    if not isinstance(asked.get("query"), str) or not asked["query"].strip():
        return 400, "invalid request: query must not be empty or be only whitespace"
    documents = asked.get("documents")
    if not isinstance(documents, list) or not documents:
        return 400, "invalid request: list of documents must not be empty"
    if len(documents) > 10_000:
        return 400, (
            "invalid request: number of total max chunks (number of documents * max chunks per "
            "doc) must be less than 10000"
        )
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            return 422, f"invalid type: document at index {index} must be a string"
        if not document:
            return 400, f"invalid request: document at index {index} cannot be empty"
    for name, low, high in (
        ("top_n", 1, None),
        ("max_tokens_per_doc", 1, None),
        ("priority", 0, 999),
    ):
        value = asked.get(name, low)
        if type(value) is not int:
            return 422, f"invalid type: parameter '{name}' must be an integer"
        if value < low or (high is not None and value > high):
            return 400, f"invalid request: {name} is out of range"
    return None


# The server -------------------------------------------------------------------------------------


class _Connection(asyncio.StreamReaderProtocol):
    """Known to its server from its first moment, also if it is stopped before the handler has begun."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(loop=loop), server._serve, loop=loop)
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport_made = transport
        self._server._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._transports.discard(self._transport_made)
        super().connection_lost(exc)


class Server:
    """The server, in a thread of its own, on a free port of 127.0.0.1.

    Args:
        tls: ``"trusted"``: a certificate of an authority that ``client_ssl_context()`` trusts;
            ``"self-signed"``: one that nobody trusts; None: plain HTTP.
        path: The one path that is answered; others are 404.

    Attributes:
        requests: What was asked, in order of arrival.
        default: The reply once the script is used up.
        early: What to answer to the mere headers of a request, its body unread; None: read it first.
        keys: The API keys that are accepted; None accepts any request, without a key too.
        n_connections, n_open: Connections accepted, and open now.
        n_in_flight, max_in_flight: Requests read and not yet answered.
    """

    def __init__(self, *, tls: str | None = None, path: str = "/v2/rerank") -> None:
        self.tls = tls
        self.path = path
        self.requests: list[Request] = []
        self.default: Reply = answer()
        self.early: Reply | None = None
        self.keys: set[str] | None = None
        self.n_connections = self.n_open = self.n_in_flight = self.max_in_flight = 0
        self._script: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._gate: asyncio.Event | None = None
        self._transports: set[Any] = set()  # nothing else may hold one whose handler was cancelled early
        self._handlers: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Server:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test server", daemon=True)
        self._thread.start()
        self._listener = self._run(self._listen())
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def start_over(self) -> None:
        """Forget what was asked and what was arranged, for a server that several tests share."""
        self._script.clear()
        self.requests.clear()
        self.path, self.default, self.early, self.keys = "/v2/rerank", answer(), None, None

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each, in order of arrival."""
        self._script.extend(replies)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every reply back until the block ends."""
        self._gate = asyncio.Event()
        try:
            yield
        finally:
            gate, self._gate = self._gate, None
            self._loop.call_soon_threadsafe(gate.set)

    def wait_until(self, condition: Callable[[Server], bool]) -> None:
        """Wait for what the server sees: ``server.wait_until(lambda s: len(s.requests) == 3)``."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), PATIENCE_S):
                raise AssertionError(f"never happened; {len(self.requests)} requests, {self.n_open} connections open")

    def client_ssl_context(self) -> ssl.SSLContext:
        """A client's TLS settings that trust the ``"trusted"`` certificate."""
        context = ssl.create_default_context()
        _authority().configure_trust(context)
        return context

    def write_authority(self, path: Path) -> Path:
        """Write the certificate of the authority that signed the ``"trusted"`` one, for SSL_CERT_FILE."""
        _authority().cert_pem.write_to_path(str(path))
        return path

    def drop_connections(self) -> None:
        """Close every open connection, as a restart does, and wait until that is done."""
        self._run(self._drop())

    def respond(self, request: Request) -> tuple[int, dict[str, Any]]:
        """What the API answers to a request: (status, JSON)."""
        if urlsplit(request.path).path != self.path or request.method != "POST":
            return _error(404, "404 page not found")
        if self.keys is not None:
            scheme, _, key = (request.header("authorization") or "").partition(" ")
            if not key:
                return _error(401, "no api key supplied")
            if scheme.lower() != "bearer" or key not in self.keys:
                return _error(401, "invalid api token")
        return respond(request.body)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: _Connection(self, loop),
            "127.0.0.1",
            0,
            ssl=_server_ssl_context(self.tls) if self.tls else None,
            backlog=512,
        )

    async def _stop(self) -> None:
        self._listener.close()
        for _ in range(3):  # a connection just accepted has its handler some turns of the loop later
            await asyncio.sleep(0)
        await self._drop()
        others = asyncio.all_tasks() - {asyncio.current_task()}  # connections whose handshake is not done
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for transport in list(self._transports):
            transport.abort()
        for _ in range(3):  # the loop closes aborted sockets in its next turn
            await asyncio.sleep(0)
        if self.tls:
            await asyncio.sleep(0.01)

    async def _drop(self) -> None:
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._count(n_connections=1, n_open=1)
        number = self.n_connections
        try:
            while (request := await _read_head(reader, number)) is not None:
                if self.early is not None:
                    await self.early(Exchange(self, request, reader, writer))
                    await _drain(reader, writer)
                    break
                await _read_body(reader, request)
                if not await self._exchange(Exchange(self, request, reader, writer)):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client is gone, or the server stops
        finally:
            writer.close()
            self._handlers.discard(task)
            self._count(n_open=-1)

    async def _exchange(self, exchange: Exchange) -> bool:
        """Answer one request; whether the connection stays open."""
        replying = self._script.popleft() if self._script else self.default
        gate = self._gate
        with self._changed:
            self.requests.append(exchange.request)
        self._count(n_in_flight=1)
        try:
            if gate is not None:
                await gate.wait()
            await replying(exchange)
        finally:
            self._count(n_in_flight=-1)
        return exchange.keep_alive

    def _count(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self.max_in_flight = max(self.max_in_flight, self.n_in_flight)
            self._changed.notify_all()


async def _read_head(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """The next request, without its body, or None once the client has hung up between two."""
    try:
        first = await reader.readexactly(1)
        if not first.isalpha():
            raise ConnectionAbortedError("this is no HTTP, perhaps TLS")
        head = first + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cause:
        if cause.partial:
            raise
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    pairs = (line.partition(":") for line in lines[1:] if line)
    return Request(method, path, [(name, value.strip()) for name, _, value in pairs], b"", connection)


async def _read_body(reader: asyncio.StreamReader, request: Request) -> None:
    if "chunked" in (request.header("transfer-encoding") or ""):
        request.body = await _read_chunks(reader)
    else:
        request.body = await reader.readexactly(int(request.header("content-length") or 0))


async def _drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close politely: no RST that would make the client lose the reply while it still writes."""
    if writer.can_write_eof():
        writer.write_eof()
    while await reader.read(65536):
        pass


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while n_bytes := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(n_bytes))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)


@contextmanager
def refusing_url() -> Iterator[str]:
    """An address where nobody listens, and nobody else can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@functools.cache
def _authority() -> Any:
    import trustme

    return trustme.CA()


@functools.cache
def _server_ssl_context(kind: str) -> ssl.SSLContext:
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "trusted":
        _authority().issue_cert("127.0.0.1").configure_cert(context)
        return context
    nobody = trustme.CA()  # its own certificate is signed by itself
    with nobody.cert_pem.tempfile() as cert, nobody.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    return context
