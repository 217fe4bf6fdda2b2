"""A small real HTTP/1.1 server that behaves like Cohere's rerank API and fails on demand.

    with Server() as server:
        server.script(reply(503), reset("body"))  # for the first two requests; later requests get a valid reply
        ClientV2(api_key="k", base_url=server.url).rerank(...)
        assert [request.json["query"] for request in server.requests] == ["q", "q", "q"]

It uses the package's own socket server, `cohere_rerank.testing`. It does not use the package's replies of the API, so
that no test compares the package with itself. A reply is an ``async def (exchange) -> None`` that writes any bytes; the
functions below make the usual replies. No test needs to sleep: ``hold_replies`` holds replies back, and ``wait_until``
waits until the server has seen something.
"""

from __future__ import annotations

import asyncio
import functools
import json as json_
import socket
import ssl
import uuid
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cohere_rerank.testing.replies import delayed as delayed
from cohere_rerank.testing.replies import error as error
from cohere_rerank.testing.replies import hang as hang
from cohere_rerank.testing.replies import hang_up as hang_up
from cohere_rerank.testing.replies import raw as raw
from cohere_rerank.testing.replies import reply
from cohere_rerank.testing.replies import reset as reset
from cohere_rerank.testing.replies import truncated as truncated
from cohere_rerank.testing.socket_server import SocketServer
from cohere_rerank.testing.wire import Exchange, Reply, Request, head

FIELDS = {
    "model",
    "query",
    "documents",
    "top_n",
    "max_tokens_per_doc",
    "priority",
    "relevant_spans",
}


# Replies ----------------------------------------------------------------------------------------


def good_reply() -> Reply:
    """Reply as the API would. This is the server's default."""

    async def send(exchange: Exchange) -> None:
        server: Any = exchange.server
        status, payload = server.respond(exchange.request)
        await reply(status, json=payload)(exchange)

    return send


def html(status: int = 200) -> Reply:
    """Send the page of a proxy or a captive portal."""
    return reply(status, text="<!doctype html><html><body><h1>Sign in to continue</h1></body></html>")


def redirect(status: int, location: str) -> Reply:
    """Send a redirect without a body."""
    return reply(status, headers={"location": location})


def stall() -> Reply:
    """Neither reply nor read. As ``reply_before_body``, it leaves the request's body unread."""

    async def send(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    return send


def drip(where: str = "body", interval_s: float = 0.01) -> Reply:
    """Send a byte of the ``body`` or the ``head``, or a whole ``1xx`` reply, again and again without end."""
    body = head(200, [("content-type", "application/json"), ("content-length", "100000")])
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
    """Send a valid reply of about ``n_bytes``. Most of them are spaces, made while the reply is sent."""
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
    """Send a valid reply of about ``n_bytes`` after decompression, and a thousandth of that on the wire."""
    packer = zlib.compressobj(wbits=31)
    block = b" " * 1_000_000
    packed = [
        packer.compress(b'{"results": ['),
        *(packer.compress(block) for _ in range(n_bytes // len(block))),
    ]
    body = b"".join([*packed, packer.compress(b"]}"), packer.flush()])
    return reply(body=body, headers={"content-encoding": "gzip", "content-type": "application/json"})


def deep_json(depth: int = 100_000) -> Reply:
    """Send nested lists, deeper than any recursive parser can read."""
    return reply(body=b'{"results": ' + b"[" * depth + b"]" * depth + b"}")


# The API ----------------------------------------------------------------------------------------


def score(query: str, document: str) -> float:
    """Return a document's score in [0, 1). It depends on the two texts only, so splitting a list changes no score."""
    text = f"{query}\0{document}".encode("utf-8", "surrogatepass")
    return zlib.crc32(text) / 2**32


def respond(body: bytes) -> tuple[int, dict[str, Any]]:
    """Return the API's reply to a request's body as (status, data)."""
    try:
        request = json_.loads(body)
    except ValueError as cause:
        return _error(400, f"invalid json syntax: {cause}")
    problem = _problem(request)
    if problem is not None:
        return _error(*problem)
    query, documents = request["query"], request["documents"]
    ranking = sorted(((-score(query, document), index) for index, document in enumerate(documents)))
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": -minus} for minus, index in ranking]
    results = results[: request.get("top_n", len(documents))]
    spans = request.get("relevant_spans")
    if spans is not None and spans.get("mode") == "enabled":
        for result in results:
            result["relevant_spans"] = _spans(query, documents[result["index"]], spans)
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": float(-(-len(documents) // 100))},
    }
    return 200, {"id": str(uuid.uuid4()), "results": results, "meta": meta}


def _spans(query: str, document: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the words of the document that are also in the query, scored like documents."""
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


def _problem(request: Any) -> tuple[int, str] | None:
    """Return the error that Cohere would report for a request, in its documented words where they exist."""
    if not isinstance(request, dict):
        return 400, "invalid json syntax: expected an object"
    for name, value in request.items():
        if name not in FIELDS:
            return 422, (
                f"unknown field: parameter '{name}' is not a valid field. For proper usage, please "
                "refer to https://docs.cohere.com/v2/reference/rerank"
            )
        if value is None:
            return 422, f"invalid type: parameter '{name}' must not be null"
    if not isinstance(request.get("model"), str) or not request["model"]:
        return 400, "a model parameter is required for this endpoint."
    if not isinstance(request.get("query"), str) or not request["query"].strip():
        return 400, "invalid request: query must not be empty or be only whitespace"
    documents = request.get("documents")
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
        value = request.get(name, low)
        if type(value) is not int:
            return 422, f"invalid type: parameter '{name}' must be an integer"
        if value < low or (high is not None and value > high):
            return 400, f"invalid request: {name} is out of range"
    return None


# The server -------------------------------------------------------------------------------------


class Server(SocketServer):
    """The server. It runs in a thread of its own, on a free port of 127.0.0.1.

    Args:
        tls: ``"trusted"``: use a certificate from an authority that ``client_ssl_context()`` trusts.
            ``"self-signed"``: use a certificate that no client trusts. None: plain HTTP.
        path: The only path of the API; other paths get 404.

    Attributes:
        default: The reply after the script is used up.
        keys: The accepted API keys. None: accept every request, also without a key.
    """

    def __init__(self, *, tls: str | None = None, path: str = "/v2/rerank") -> None:
        super().__init__(tls=_server_ssl_context(tls) if tls else None)
        self.path = path
        self.default: Reply = good_reply()
        self.keys: set[str] | None = None
        self._script: deque[Reply] = deque()
        self._release: asyncio.Event | None = None

    def clear(self) -> None:
        """Remove the recorded requests and the script, for a server that several tests share."""
        self._script.clear()
        self.requests.clear()
        self.path, self.default, self.reply_before_body, self.keys = "/v2/rerank", good_reply(), None, None

    def script(self, *replies: Reply) -> None:
        """Send these replies to the next requests, one each, in order of arrival."""
        self._script.extend(replies)

    def next_reply(self, request: Request) -> Reply:
        replying = self._script.popleft() if self._script else self.default
        return replying if self._release is None else _after(self._release, replying)

    @contextmanager
    def hold_replies(self) -> Iterator[None]:
        """Hold every reply back until the block ends."""
        self._release = asyncio.Event()
        try:
            yield
        finally:
            release, self._release = self._release, None
            self._loop.call_soon_threadsafe(release.set)

    def client_ssl_context(self) -> ssl.SSLContext:
        """Return TLS settings for a client that trust the ``"trusted"`` certificate."""
        context = ssl.create_default_context()
        _authority().configure_trust(context)
        return context

    def write_authority(self, path: Path) -> Path:
        """Write the certificate of the authority behind the ``"trusted"`` certificate, for SSL_CERT_FILE."""
        _authority().cert_pem.write_to_path(str(path))
        return path

    def respond(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Return the API's reply to a request as (status, data)."""
        if urlsplit(request.path).path != self.path or request.method != "POST":
            return _error(404, "404 page not found")
        if self.keys is not None:
            scheme, _, key = (request.header("authorization") or "").partition(" ")
            if not key:
                return _error(401, "no api key supplied")
            if scheme.lower() != "bearer" or key not in self.keys:
                return _error(401, "invalid api token")
        return respond(request.body)


def _after(release: asyncio.Event, replying: Reply) -> Reply:
    async def send(exchange: Exchange) -> None:
        await release.wait()
        await replying(exchange)

    return send


@contextmanager
def refusing_url() -> Iterator[str]:
    """Yield an address that refuses connections. The port stays reserved, so no other program can listen there."""
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
    untrusted = trustme.CA()  # the certificate of an authority is signed with its own key
    with untrusted.cert_pem.tempfile() as cert, untrusted.private_key_pem.tempfile() as key:
        context.load_cert_chain(cert, key)
    return context
