"""The server as an ASGI application: its routes, the steps of every request, and a JSON response in every case."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from anyio import move_on_after
from pydantic_core import to_json

from cohere_rerank._clock import Deadline, SystemClock

from . import dialects
from .api_keys import ApiKeys
from .backends import Backend, LocalBackend, RawRequest
from .caller_deadline import caller_timeout_s, late_error
from .compression import compress
from .cors import Cors
from .executor import BoundedExecutor
from .hosts import check_host
from .http import JSON, ClientDisconnected, HttpError, HttpExchange, Message, Receive, Response, Send
from .logs import ACCESS_LOGGER, error_fields, log_failure
from .metrics import CONTENT_TYPE, Metrics
from .models import model_list
from .openapi import openapi_document
from .playground import playground_response
from .settings import ServerSettings
from .tracing import flush_spans, request_span
from .upstream import UpstreamBackend

_log = logging.getLogger("cohere_rerank.server")
_access_log = logging.getLogger(ACCESS_LOGGER)

_PARSERS: dict[str, dialects.Parser] = {
    "/v2/rerank": dialects.parse_v2,
    "/v1/rerank": dialects.parse_v1,
    "/rerank": dialects.parse_jina_or_tei,
}
_TEI_ERROR_TYPES = {429: "Overloaded", 500: "Backend", 503: "Overloaded", 504: "Overloaded"}  # others: Validation
_CLIENT_DISCONNECTED = 499  # nginx's status for this; it appears only in logs and metrics
_NO_RESPONSE = Response(_CLIENT_DISCONNECTED, b"")
_OK = 200
_PROBES = ("/health", "/ready", "/metrics")  # they come every few seconds
_OPEN_TO_ANY_HOST = ("/health", "/ready")  # a probe names the address of its container, and they reveal nothing
_UPSTREAM = "upstream"
_OTHER = "other"  # in logs and metrics, instead of values that a caller made up
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_Handler = Callable[[HttpExchange], Awaitable[Response]]


def create_app(settings: ServerSettings | None = None) -> App:
    """Return the ASGI application. Without settings, it uses the lexical scorer and accepts every caller.

    Raises:
        ImportError: An extra is not installed.
        InvalidRequestError: The scorer does not exist, or the upstream's address is not valid.
    """
    return App(settings or ServerSettings())


class App:
    """The server. One event loop runs it."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._api_keys = ApiKeys(settings.api_keys)
        self._metrics = Metrics()
        self._executor = BoundedExecutor(settings.concurrency, settings.queue, self._metrics.record_queue)
        self._backend = _create_backend(settings, self._executor, self._metrics)
        self._cors = Cors(settings.cors_origins)
        self._openapi = to_json(openapi_document(settings))
        self._openapi_tag = f'W/"{hashlib.sha256(self._openapi).hexdigest()[:32]}"'  # weak: it may be compressed
        self._playground_response = playground_response()
        self._routes: dict[str, _Handler] = {
            "/": self._playground,
            "/v1/models": self._models,
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._render_metrics,
            "/openapi.json": self._openapi_document,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            exchange = HttpExchange(scope, receive, send)
            with self._metrics.in_flight(), request_span(exchange, scope, _PARSERS):
                await self._handle(exchange)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            with move_on_after(None):  # anyio imports its backend now, and not for the first request
                await self._executor.run(self._backend.load)
        except Exception as error:  # noqa: BLE001 - a scorer can raise anything
            reason = error.message if isinstance(error, HttpError) else type(error).__name__
            _log.error("the scorer cannot be loaded: %s", reason, extra={"fields": error_fields(error)})
            await send({"type": "lifespan.startup.failed", "message": reason})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._backend.aclose()
        self._executor.close()
        await asyncio.to_thread(flush_spans)
        await send({"type": "lifespan.shutdown.complete"})

    async def _handle(self, exchange: HttpExchange) -> None:
        started_s = time.perf_counter()
        response: Response | None
        try:
            response = await self._respond(exchange)
        except HttpError as error:
            response = _error_response(exchange, error)
        except ClientDisconnected:
            response = None
        except asyncio.CancelledError:  # the server stops, and its grace period is over
            shutdown = HttpError(503, "the server is shutting down", {"connection": "close"})
            response = _error_response(exchange, shutdown)
        except Exception as error:  # noqa: BLE001 - a caller must never see a stack trace
            log_failure(_log, "a request failed", error, exchange.request_id)
            failure = HttpError(500, "internal server error; the server's log has the request's id")
            response = _error_response(exchange, failure)
        if response is not None:
            added = self._cors.headers(exchange.headers.get("origin"))
            if added:
                response = response._replace(headers={**response.headers, **added})
            response = await compress(response, exchange.headers.get("accept-encoding", ""))
            await exchange.send(response)
        self._record(exchange, response or _NO_RESPONSE, time.perf_counter() - started_s)

    async def _respond(self, exchange: HttpExchange) -> Response:
        origin = exchange.headers.get("origin")
        page = None if self._cors.allows(origin) else origin
        if exchange.path not in _OPEN_TO_ANY_HOST:
            check_host(self._settings.allowed_hosts, exchange.headers.get("host"), page)
        handler = self._routes.get(exchange.path)
        parser = _PARSERS.get(exchange.path)
        if handler is None and parser is None:
            raise HttpError(404, f"404 page not found; rerank requests go to {', '.join(_PARSERS)}")
        preflight = self._cors.preflight(exchange.method, exchange.headers, "GET" if handler is not None else "POST")
        if preflight is not None:
            return preflight
        if handler is not None:
            _check_method(exchange, "GET", "HEAD")
            return await handler(exchange)
        _check_method(exchange, "POST")
        self._check_key(exchange)
        _check_content_type(exchange)
        assert parser is not None
        return await self._rank_in_time(exchange, parser)

    async def _rank_in_time(self, exchange: HttpExchange, parser: dialects.Parser) -> Response:
        timeout_s = caller_timeout_s(exchange.headers)
        if timeout_s is None:
            return await self._rank(exchange, parser, None)
        deadline = Deadline(SystemClock(), timeout_s)
        with move_on_after(timeout_s):
            try:
                return await self._rank(exchange, parser, deadline)
            except HttpError:
                if deadline.remaining() > 0:
                    raise
        raise late_error(timeout_s)

    async def _rank(self, exchange: HttpExchange, parser: dialects.Parser, deadline: Deadline | None) -> Response:
        settings = self._settings
        with self._executor.admit():
            raw = RawRequest(
                content=await exchange.read(settings.max_body_bytes, settings.body_timeout_s),
                parser=parser,
                model=settings.model,
                is_strict=settings.is_strict,
                request_id=exchange.request_id,
                deadline=deadline,
            )
            ranked = self._backend.rank_now(raw)
            if ranked is None:
                ranked = await exchange.cancel_on_disconnect(self._backend.rerank(raw))
        engine = ranked.answered_by if settings.upstream is None or ranked.is_fallback else _UPSTREAM
        self._metrics.record_answer(engine, is_fallback=ranked.is_fallback)
        headers = {"x-answered-by": ranked.answered_by}
        return Response(200, ranked.body, headers, n_documents=ranked.n_documents, answered_by=ranked.answered_by)

    def _check_key(self, exchange: HttpExchange) -> None:
        self._api_keys.check(exchange.headers.get("authorization"))

    def _record(self, exchange: HttpExchange, response: Response, seconds: float) -> None:
        """Log and count a request, without anything of its content."""
        known = (*_PARSERS, *self._routes)  # if a path ends with two of them, the longer one comes first
        is_known = exchange.path in known
        path = exchange.path if is_known else _OTHER
        method = exchange.method if exchange.method in _METHODS else _OTHER
        status = response.status
        self._metrics.record_request(path, method, status, seconds, response.n_documents)
        fields = {
            "request_id": exchange.request_id,
            "client": exchange.client,
            "method": method,
            "path": path if is_known else _known_suffix(exchange.path, known),
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_bytes": exchange.n_bytes,
            "documents": response.n_documents,
        }
        if response.answered_by is not None:
            fields["answered_by"] = response.answered_by
        is_probe = path in _PROBES and status == _OK
        _access_log.log(logging.DEBUG if is_probe else logging.INFO, "request", extra={"fields": fields})

    async def _playground(self, _exchange: HttpExchange) -> Response:
        return self._playground_response

    async def _models(self, exchange: HttpExchange) -> Response:
        self._check_key(exchange)
        return _json_response(model_list(self._settings))

    async def _health(self, _exchange: HttpExchange) -> Response:
        return _json_response({"status": "ok"})

    async def _ready(self, _exchange: HttpExchange) -> Response:
        if self._executor.is_full:
            raise HttpError(503, "the queue is full", {"retry-after": "1"})
        if self._executor.is_stuck(self._settings.stuck_after_s):
            raise HttpError(503, f"all threads have been busy for more than {self._settings.stuck_after_s:g} seconds")
        return _json_response({"status": "ready"})

    async def _render_metrics(self, _exchange: HttpExchange) -> Response:
        return Response(200, await asyncio.to_thread(self._metrics.render), {}, CONTENT_TYPE)

    async def _openapi_document(self, exchange: HttpExchange) -> Response:
        headers = {"etag": self._openapi_tag, "cache-control": "no-cache"}
        known = exchange.headers.get("if-none-match", "")
        is_known = known.strip() == "*" or self._openapi_tag in (tag.strip() for tag in known.split(","))
        return Response(304, b"", headers) if is_known else Response(200, self._openapi, headers)


def _create_backend(settings: ServerSettings, executor: BoundedExecutor, metrics: Metrics) -> Backend:
    if settings.upstream is None:
        return LocalBackend(settings, executor)
    return UpstreamBackend(settings, executor, metrics)


def _known_suffix(path: str, known: Iterable[str]) -> str:
    """Return what a log may say about an unknown path: the known path that it ends with, after a wrong base URL."""
    return next((f"*{route}" for route in known if path.endswith(route)), _OTHER)


def _json_response(value: Any) -> Response:
    return Response(200, to_json(value))


def _error_response(exchange: HttpExchange, error: HttpError) -> Response:
    body = {"id": exchange.request_id, "message": error.message}
    if exchange.path == "/rerank":  # clients of Text Embeddings Inference read these fields
        body.update(error=error.message, error_type=_TEI_ERROR_TYPES.get(error.status, "Validation"))
    return Response(error.status, to_json(body), error.headers)


def _check_method(exchange: HttpExchange, *allowed: str) -> None:
    if exchange.method not in allowed:
        names = ", ".join(allowed)
        message = f"405 method not allowed; {exchange.path} accepts {names}"
        raise HttpError(405, message, {"allow": names})


def _check_content_type(exchange: HttpExchange) -> None:
    kind, _, parameters = exchange.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").partition("charset=")[2].strip('"')
    if kind.strip() != JSON or charset not in ("", "utf-8", "utf8"):
        raise HttpError(415, f"the request's Content-Type must be {JSON}, in UTF-8")
    if exchange.headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(415, "the request's body must not be compressed", {"accept-encoding": "identity"})
