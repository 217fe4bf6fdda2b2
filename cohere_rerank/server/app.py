"""The server as an ASGI application: routes, the steps every request takes, and an answer in JSON whatever happens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pydantic_core import to_json

from . import dialects, models, playground
from .access import Keys
from .answers import Question, answers_of
from .http import JSON, Exchange, Gone, Message, Receive, Refused, Reply, Send
from .logs import about, log_failure
from .metrics import CONTENT_TYPE, Metrics
from .openapi import document
from .settings import Settings
from .threads import Threads

_log = logging.getLogger("cohere_rerank.server")
_access = logging.getLogger("cohere_rerank.server.access")

_RERANK: dict[str, dialects.Reader] = {
    "/v2/rerank": dialects.v2,
    "/v1/rerank": dialects.v1,
    "/rerank": dialects.jina_or_tei,
}
_TEI_ERRORS = {413: "Validation", 422: "Validation", 429: "Overloaded", 503: "Overloaded", 500: "Backend"}
_GONE = 499  # in logs and metrics only, as nginx has it
_OTHER = "other"  # in logs and metrics: what a caller made up
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_Page = Callable[[Exchange], Awaitable[Reply]]


def create_app(settings: Settings | None = None) -> App:
    """The ASGI application; without settings one that all may call, on the lexical scorer.

    Raises:
        ImportError: An extra is not installed.
        InvalidRequestError: There is no such scorer, or the upstream's address is none.
    """
    return App(settings or Settings())


class App:
    """The server. One event loop runs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.api_keys)
        self._metrics = Metrics()
        self._threads = Threads(settings.concurrency, settings.queue, self._metrics.queued)
        self._answers = answers_of(settings, self._threads)
        self._openapi = to_json(document(settings))
        self._page = playground.page()
        self._pages: dict[str, _Page] = {
            "/": self._playground,
            "/v1/models": self._models,
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._scrape,
            "/openapi.json": self._document,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's event, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with self._metrics.under_way():
                await self._serve(Exchange(scope, receive, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._threads.run(self._answers.load)
        except Exception as error:  # noqa: BLE001 - whatever a scorer raises
            reason = error.message if isinstance(error, Refused) else type(error).__name__
            _log.error("the scorer cannot be loaded: %s", reason, extra={"fields": about(error)})
            await send({"type": "lifespan.startup.failed", "message": reason})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._answers.aclose()
        self._threads.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, exchange: Exchange) -> None:
        started_s = time.perf_counter()
        n_documents = 0
        try:
            reply, n_documents = await self._answered(exchange)
        except Refused as refusal:
            reply = _error(exchange, refusal)
        except Gone:
            reply = None
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            reply = _error(exchange, Refused(503, "the server is shutting down", {"connection": "close"}))
        except Exception as error:  # noqa: BLE001 - a caller never sees a stack trace
            log_failure(_log, "a request failed", error, exchange.request_id)
            reply = _error(exchange, Refused(500, "internal server error; the server's log has the request's id"))
        if reply is not None:
            await exchange.send(reply)
        self._note(exchange, _GONE if reply is None else reply.status, time.perf_counter() - started_s, n_documents)

    async def _answered(self, exchange: Exchange) -> tuple[Reply, int]:
        """The reply, and how many documents were ranked for it."""
        page = self._pages.get(exchange.path)
        if page is not None:
            _check_method(exchange, "GET", "HEAD")
            return await page(exchange), 0
        reader = _RERANK.get(exchange.path)
        if reader is None:
            raise Refused(404, f"404 page not found; rerank requests go to {', '.join(_RERANK)}")
        _check_method(exchange, "POST")
        self._keys.check(exchange.headers.get("authorization"))
        _check_content(exchange)
        settings = self._settings
        with self._threads.place():
            content = await exchange.read(settings.max_body_bytes, settings.body_timeout_s)
            question = Question(content, reader, settings.model, settings.is_strict, exchange.request_id)
            outcome = await exchange.unless_gone(self._answers.answer(question))
        return Reply(outcome.status, outcome.body), outcome.n_documents

    def _note(self, exchange: Exchange, status: int, seconds: float, n_documents: int) -> None:
        """Log and count a request; never what it held."""
        known = (*_RERANK, *self._pages)  # of two that end a path, the longer stands first
        is_known = exchange.path in known
        path = exchange.path if is_known else _OTHER
        method = exchange.method if exchange.method in _METHODS else _OTHER
        self._metrics.answered(path, method, status, seconds, n_documents)
        fields = {
            "request_id": exchange.request_id,
            "client": exchange.client,
            "method": method,
            "path": path if is_known else _ending(exchange.path, known),
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_bytes": exchange.n_bytes,
            "documents": n_documents,
        }
        _access.info("request", extra={"fields": fields})

    async def _playground(self, _exchange: Exchange) -> Reply:
        return self._page

    async def _models(self, exchange: Exchange) -> Reply:
        self._keys.check(exchange.headers.get("authorization"))
        return _json(models.listed(self._settings))

    async def _health(self, _exchange: Exchange) -> Reply:
        return _json({"status": "ok"})

    async def _ready(self, _exchange: Exchange) -> Reply:
        if self._threads.is_full:
            raise Refused(503, "the queue is full", {"retry-after": "1"})
        return _json({"status": "ready"})

    async def _scrape(self, _exchange: Exchange) -> Reply:
        return Reply(200, await asyncio.to_thread(self._metrics.text), {}, CONTENT_TYPE)

    async def _document(self, _exchange: Exchange) -> Reply:
        return Reply(200, self._openapi)


def _ending(path: str, known: Iterable[str]) -> str:
    """What a log may say of a path that is none of ours: which of ours a wrong base URL was put before."""
    return next((f"*{own}" for own in known if path.endswith(own)), _OTHER)


def _json(value: Any) -> Reply:
    return Reply(200, to_json(value))


def _error(exchange: Exchange, refusal: Refused) -> Reply:
    body = {"id": exchange.request_id, "message": refusal.message}
    if exchange.path == "/rerank":  # where clients of Text Embeddings Inference look for it
        kind = _TEI_ERRORS.get(refusal.status, "Validation")
        body.update(error=refusal.message, error_type=kind)
    return Reply(refusal.status, to_json(body), refusal.headers)


def _check_method(exchange: Exchange, *allowed: str) -> None:
    if exchange.method not in allowed:
        names = ", ".join(allowed)
        message = f"405 method not allowed; {exchange.path} takes {names}"
        raise Refused(405, message, {"allow": names})


def _check_content(exchange: Exchange) -> None:
    kind, _, parameters = exchange.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").partition("charset=")[2].strip('"')
    if kind.strip() != JSON or charset not in ("", "utf-8", "utf8"):
        raise Refused(415, f"the request's Content-Type must be {JSON}, in UTF-8")
    if exchange.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "the request's body must not be compressed", {"accept-encoding": "identity"})
