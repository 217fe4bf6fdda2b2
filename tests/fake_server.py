"""A small real HTTP/1.1 server that answers like Cohere's rerank API and misbehaves on demand.

    with Server() as server:
        server.script(reply(503), reset("body"))  # the first two; later ones get a good answer
        ClientV2(api_key="k", base_url=server.url).rerank(...)
        assert [request.json["query"] for request in server.requests] == ["q", "q", "q"]

The machinery is the package's own, `cohere_rerank.testing`; the replies of the API here are not, so that no test
compares the package with itself. A reply is an ``async def (exchange) -> None`` that writes whatever bytes it likes;
these functions make the usual ones. Nothing needs to sleep: ``hold`` keeps replies back, ``wait_until`` waits for what
the server has seen.
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


def answer() -> Reply:
    """What the API would answer; the server's default."""

    async def send(exchange: Exchange) -> None:
        server: Any = exchange.server
        status, payload = server.respond(exchange.request)
        await reply(status, json=payload)(exchange)

    return send


def html(status: int = 200) -> Reply:
    """The page of a proxy or a captive portal."""
    return reply(status, text="<!doctype html><html><body><h1>Sign in to continue</h1></body></html>")


def redirect(status: int, location: str) -> Reply:
    """A redirect without a body."""
    return reply(status, headers={"location": location})


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


class Server(SocketServer):
    """The server, in a thread of its own, on a free port of 127.0.0.1.

    Args:
        tls: ``"trusted"``: a certificate of an authority that ``client_ssl_context()`` trusts;
            ``"self-signed"``: one that nobody trusts; None: plain HTTP.
        path: The one path that is answered; others are 404.

    Attributes:
        default: The reply once the script is used up.
        keys: The API keys that are accepted; None accepts any request, without a key too.
    """

    def __init__(self, *, tls: str | None = None, path: str = "/v2/rerank") -> None:
        super().__init__(tls=_server_ssl_context(tls) if tls else None)
        self.path = path
        self.default: Reply = answer()
        self.keys: set[str] | None = None
        self._script: deque[Reply] = deque()
        self._gate: asyncio.Event | None = None

    def start_over(self) -> None:
        """Forget what was asked and what was arranged, for a server that several tests share."""
        self._script.clear()
        self.requests.clear()
        self.path, self.default, self.early, self.keys = "/v2/rerank", answer(), None, None

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each, in order of arrival."""
        self._script.extend(replies)

    def next_reply(self, request: Request) -> Reply:
        replying = self._script.popleft() if self._script else self.default
        return replying if self._gate is None else _after(self._gate, replying)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every reply back until the block ends."""
        self._gate = asyncio.Event()
        try:
            yield
        finally:
            gate, self._gate = self._gate, None
            self._loop.call_soon_threadsafe(gate.set)

    def client_ssl_context(self) -> ssl.SSLContext:
        """A client's TLS settings that trust the ``"trusted"`` certificate."""
        context = ssl.create_default_context()
        _authority().configure_trust(context)
        return context

    def write_authority(self, path: Path) -> Path:
        """Write the certificate of the authority that signed the ``"trusted"`` one, for SSL_CERT_FILE."""
        _authority().cert_pem.write_to_path(str(path))
        return path

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


def _after(gate: asyncio.Event, replying: Reply) -> Reply:
    async def send(exchange: Exchange) -> None:
        await gate.wait()
        await replying(exchange)

    return send


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
